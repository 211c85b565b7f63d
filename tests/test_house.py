"""The rules of the house (CONTRIBUTING.md), read from the source: sizes, names, and who may import
whom.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from invset import __version__

PACKAGE = Path(__file__).parents[1] / "invset"
FILES = sorted(PACKAGE.rglob("*.py"))

MAX_LINES = 300

#: Floors from the top. A folder or file imports lower floors alone, and itself.
FLOORS = (
    ("__main__",),
    ("cli",),
    ("launch", "completion"),
    ("commands", "bad_input"),
    ("api",),
    ("report",),
    ("studies",),
    ("config",),
    ("analysis",),
    ("problem",),
    ("samplers", "training"),
    ("nets",),
    ("hub",),
    ("files",),
    ("core",),
    ("interrupt",),
    ("progress",),
    ("errors", "own_modules", "streams", "terminal", "whole", "__init__"),
)
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}

#: Rooms that may look at fewer others than lie below them.
ONLY = {
    # no sampler by name: what it needs to know of one is in the records and in the log's titles
    "report": {*FLOOR} - {"config", "training"},
    "core": {"errors"},
    "samplers": {"core", "errors"},
}

#: What the core imports beside the standard library.
CORE_IMPORTS = {"torch", "invset"}

#: What it doesn't take of that: files, other processes, and what speaks to a person.
FILES_AND_TALK = {
    "csv",
    "glob",
    "io",
    "json",
    "logging",
    "os",
    "pathlib",
    "pickle",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "tempfile",
}

#: Files of report/ that draw tensors while a run goes on; what makes pages needs no torch.
DRAWS_TENSORS = {
    "report/animation.py",
    "report/paper_figure.py",
    "report/run_folder.py",
    "report/sheet.py",
    "report/summary.py",
}

#: What is not yet as the rules say. An entry that is no longer needed makes its test fail.
UNFINISHED: set[str] = set()


def name_of(file: Path) -> str:
    return file.relative_to(PACKAGE).as_posix()


def room_of(file: Path) -> str:
    """The folder of a file in invset/, or the file itself."""
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of the modules that are imported anywhere, and of what is taken out of them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(tree: ast.AST) -> set[str]:
    """Rooms of the package that are imported; "__init__" is the version and other names of its
    own.
    """
    names = {name.split(".")[1] for name in imported(tree) if name.startswith("invset.")}
    return {name if name in FLOOR else "__init__" for name in names}


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def check(kind: str, found: set[str]) -> None:
    """What was found breaks the rule, but for what is known to be unfinished."""
    broken = {f"{kind}: {what}" for what in found}
    known = {entry for entry in UNFINISHED if entry.startswith(f"{kind}: ")}
    assert sorted(broken - known) == [], "against the rules of the house"
    assert sorted(known - broken) == [], "finished: take it out of UNFINISHED"


def test_unfinished_has_no_unknown_kind() -> None:
    kinds = {entry.split(":")[0] for entry in UNFINISHED}
    assert kinds <= {"long", "up", "core"}


def test_no_file_name_is_there_twice() -> None:
    # a section of the page has the name of the analysis that it shows: that is how it is found
    once = [file for file in FILES if file.parent.name != "sections"]
    names = Counter(file.name for file in once if file.name != "__init__.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_every_folder_holds_something() -> None:
    folders = {file.parent for file in FILES}
    assert [
        name_of(f) for f in folders if all(g.stat().st_size == 0 for g in f.rglob("*.py"))
    ] == []


def test_files_are_short() -> None:
    lines = {name_of(file): len(file.read_text(encoding="utf-8").splitlines()) for file in FILES}
    check("long", {name for name, count in lines.items() if count > MAX_LINES})


def test_every_room_has_a_floor() -> None:
    assert {room_of(file) for file in FILES} == set(FLOOR)


def test_imports_point_downward() -> None:
    upward = set()
    for file in FILES:
        room = room_of(file)
        if room == "__init__":
            continue  # the front door serves names from every floor
        for other in rooms_imported(parsed(file)) - {room}:
            allowed = FLOOR[other] > FLOOR[room] and other in ONLY.get(room, FLOOR)
            if not allowed and other != "__init__":
                upward.add(f"{name_of(file)} imports {other}")
    check("up", upward)


def test_core_knows_tensors_alone() -> None:
    found = set()
    for file in PACKAGE.glob("core/*.py"):
        tree = parsed(file)
        for name in imported(tree):
            top = name.split(".")[0]
            if top in FILES_AND_TALK or top not in CORE_IMPORTS | sys.stdlib_module_names:
                found.add(f"{name_of(file)} imports {top}")
            if name.startswith("invset.") and name.split(".")[1] not in ("core", "errors"):
                found.add(f"{name_of(file)} imports invset.{name.split('.')[1]}")
        for node in ast.walk(tree):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in ("open", "print"):
                found.add(f"{name_of(file)} calls {called.id}")
    check("core", found)


def test_pages_are_made_without_torch() -> None:
    found = set()
    for file in PACKAGE.glob("report/*.py"):
        top = ast.Module(
            [node for node in parsed(file).body if isinstance(node, (ast.Import, ast.ImportFrom))],
            [],
        )
        if any(name.split(".")[0] in ("torch", "torchvision") for name in imported(top)):
            found.add(name_of(file))
    assert found == DRAWS_TENSORS


@pytest.mark.parametrize(
    ("text", "rooms"),
    [
        ("from invset.core import space", {"core"}),
        ("import invset.nets.mini as mini", {"nets"}),
        ("from invset import __version__", {"__init__"}),
        ("def f():\n    from invset.errors import InvsetError", {"errors"}),
        ("import torch", set()),
    ],
)
def test_rooms_of_imports(text: str, rooms: set[str]) -> None:
    assert rooms_imported(ast.parse(text)) == rooms


def test_the_citation_is_of_this_version() -> None:
    citation = OmegaConf.load(PACKAGE.parent / "CITATION.cff")
    assert str(citation.version) == __version__
    assert [author.name for author in citation.authors] == ["the invset authors"]
    assert [paper.year for paper in citation.references] == [2020, 2017]
    for key in ("cff-version", "message", "title"):  # what the format asks for
        assert citation[key], key


def unencoded(tree: ast.Module) -> Iterator[int]:
    """Lines that read or write text as the locale has it."""
    binary = ("os", "Image", "av", "gzip", "tarfile", "bundle", "archive", "cls")  # or no files
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or any(one.arg == "encoding" for one in call.keywords):
            continue
        holder, _, name = ast.unparse(call.func).rpartition(".")
        modes = [ast.unparse(one) for one in (*call.args, *call.keywords)]
        bytes_ = any(re.fullmatch(r"(mode=)?'[rwax+]*b[rwax+]*'", one) for one in modes)
        opens = name == "open" and holder not in binary and not bytes_
        texts = name in ("read_text", "write_text") and holder
        pipes = holder == "subprocess" and any(one.startswith("text=") for one in modes)
        if opens or texts or pipes:
            yield call.lineno


def test_text_has_an_encoding() -> None:
    root = PACKAGE.parent
    files = [
        path
        for part in ("invset", "benchmarks", "examples")
        for path in (root / part).rglob("*.py")
    ]
    against = [
        f"{path.relative_to(root)}:{line}"
        for path in files
        for line in unencoded(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert against == [], "say encoding="
    for text in ("p.read_text()", "open(p)", "p.open('w')", "subprocess.run(p, text=True)"):
        assert list(unencoded(ast.parse(text))) == [1]
    for text in ("p.read_text(encoding='utf-8')", "open(p, 'rb')", "p.open(mode='wb')"):
        assert list(unencoded(ast.parse(text))) == []

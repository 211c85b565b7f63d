"""What the documents name exists: files, functions and tests, links, and commands that compose."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import EXAMPLES, OUTSIDE
from omegaconf import OmegaConf

from invset.cli import COMMANDS, pick
from invset.config.compose import compose, samplers
from invset.config.parts import components, options_of
from invset.config.validate import check_components

ROOT = Path(__file__).parents[1]
BOOKS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

#: Words that stand for something of the reader's, or that the shell fills in.
PLACEHOLDERS = re.compile(r"\b(FOLDER|DATE|TIME|NAME|OPTION)\b|…|\$")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


books = pytest.mark.parametrize("book", BOOKS, ids=name_of)


def text_of(book: Path) -> str:
    return book.read_text(encoding="utf-8")


# links


def links(text: str) -> Iterator[str]:
    """Targets of links and pictures to files, without what stands behind ``#``."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file = target.split("#")[0]
        if file and not re.match(r"[a-z]+:", target):
            yield file


@books
def test_links_lead_somewhere(book: Path) -> None:
    gone = []
    for link in links(text_of(book)):
        target = (book.parent / link).resolve()
        if not target.exists():
            gone.append(link)
    assert gone == []


# files, functions and tests


def python_file(path: str) -> Path | None:
    """A file that a document names, relative to the repository, ``invset/`` or ``tests/``."""
    for folder in (ROOT, ROOT / "invset", ROOT / "tests"):
        if (folder / path).is_file():
            return folder / path
    return None


@cache
def names_in(file: Path) -> set[str]:
    """Names of classes, functions and methods (``Class.method`` and ``method``), fields and
    constants of a file.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(text_of(file))):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            found.add(node.name)
        if isinstance(node, (ast.AnnAssign, ast.Assign)):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {one.id for one in targets if isinstance(one, ast.Name)}
        if isinstance(node, ast.ClassDef):
            inner = (one for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}.{one.name}" for one in inner}
    return found


def named(text: str) -> Iterator[tuple[str, str]]:
    """File and name of each `` `file.py: name` `` in a document."""
    yield from re.findall(r"`([\w/]+\.py): ([\w.]+)`", text)


def rows(text: str) -> list[list[str]]:
    """Cells of the table "equation, file: function, compared with"."""
    _, _, table = text.partition("| equation | file: function | compared with |\n|---|---|---|\n")
    lines = table.split("\n\n")[0].splitlines()
    return [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in lines]


@books
def test_python_files_exist(book: Path) -> None:
    paths = re.findall(r"(?<![\w/])((?:\w+/)+\w+\.py|test_\w+\.py)\b", text_of(book))
    ours = [path for path in paths if not PLACEHOLDERS.search(path)]
    assert [path for path in ours if python_file(path) is None] == []


@books
def test_dotted_names_exist(book: Path) -> None:
    gone = []
    for dotted in re.findall(r"\binvset(?:\.\w+)+", text_of(book)):
        parts = dotted.split(".")[1:]
        ends = [
            end for end in range(len(parts), 0, -1) if python_file(f"{'/'.join(parts[:end])}.py")
        ]
        rest = ".".join(parts[ends[0] :]) if ends else ""
        known = names_in(ROOT / "invset" / f"{'/'.join(parts[: ends[0]])}.py") if ends else set()
        if not ends or (rest and rest not in known):
            gone.append(dotted)
    assert gone == []


@books
def test_names_in_files_exist(book: Path) -> None:
    gone = []
    for path, name in named(text_of(book)):
        file = python_file(path)
        if file is None or name not in names_in(file):
            gone.append(f"{path}: {name}")
    assert gone == []


METHOD = rows(text_of(ROOT / "docs" / "method.md"))


def test_the_table_of_equations_is_read() -> None:
    assert len(METHOD) > 30
    assert {len(row) for row in METHOD} == {3}


@pytest.mark.parametrize("row", METHOD, ids=lambda row: row[0])
def test_an_equation_names_code_and_tests(row: list[str]) -> None:
    """Each word in code marks is a name in a file that the same cell has named."""
    for cell in row[1:]:
        file: Path | None = None
        known: set[str] = set()
        for words in re.findall(r"`([^`]+)`", cell):
            path, _, name = words.partition(": ")
            if path.endswith(".py"):
                file = python_file(path)
                assert file is not None, path
                known |= names_in(file)
                if not name:
                    continue
            else:
                name = words
            if re.fullmatch(r"[A-Za-z_][\w.]*", name) and not name.startswith("torch."):
                assert any(one == name or one.endswith(f".{name}") for one in known), name


def test_what_an_equation_is_compared_with_is_a_test() -> None:
    for equation, code, proof in METHOD:
        assert re.search(r"`(test_\w+\.py)?(: )?test_\w+", proof), equation
        assert ".py" in code, equation


# commands


def blocks(text: str) -> Iterator[str]:
    """Code blocks: indented by four blanks after an empty line, or fenced and in no language."""
    yield from re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for block in re.findall(r"(?:^|\n\n)((?: {4}.*\n?)+)", plain):
        yield re.sub(r"^ {4}", "", block, flags=re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    """Commands of ``invset`` in a document: lines of code blocks, with those that go on behind a
    backslash joined, and words in code marks.
    """
    for block in blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            # a function of a shell that wraps the command is not one
            if line.strip().startswith("invset "):
                yield " ".join(line.split())
    plain = re.sub(r"^(```.*?^```| {4}.*$)", "", text, flags=re.DOTALL | re.MULTILINE)
    for inline in re.findall(r"`(invset [a-z][^`]*)`", plain):
        yield " ".join(inline.split())


def words_of(command: str) -> list[str]:
    """What is typed behind ``invset``, without the comment."""
    return shlex.split(command, comments=True)[1:]


COMPOSED = sorted(
    {
        command
        for book in BOOKS
        for command in commands(text_of(book))
        if not PLACEHOLDERS.search(" ".join(words_of(command)))
        and words_of(command)[0] in ("run", "probe", "compare", "train", "fit")
        and any("=" in word for word in words_of(command))
    }
)


def test_commands_are_found() -> None:
    assert len(COMPOSED) > 30
    assert {words_of(command)[0] for command in COMPOSED} >= {"run", "probe", "compare"}


@cache
def known_options() -> set[str]:
    """Every ``sampler.``, ``limits.`` and ``runtime.`` option that any sampler's run has."""
    plain = ["sampler=two_stage", "sampler.step_rule._target_=invset.core.steps.Plain"]
    runs = [*([f"sampler={name}"] for name in samplers()), [*plain, "sampler.step_rule.beta=0.1"]]
    runs.append([f"sampler._target_={OUTSIDE}"])
    found = set()
    for words in runs:
        for path, part in components(compose("run", words)):
            found |= {f"{path}{key}" for key in options_of(part) or {}} | {path.rstrip(".")}
    return found


@books
def test_options_exist(book: Path) -> None:
    words = re.findall(r"\b(?:sampler|limits|runtime)(?:\.[a-z]\w*)+(?=[=`\s])", text_of(book))
    known = known_options()
    assert [word for word in words if word not in known and not word.endswith(".py")] == []


@books
def test_commands_exist(book: Path) -> None:
    for command in commands(text_of(book)):
        words = words_of(command)
        if words and re.fullmatch("[a-z]+", words[0]):
            assert words[0] in {name.split()[0] for name in COMMANDS}, command


@pytest.mark.parametrize("command", COMPOSED)
def test_a_command_composes(command: str) -> None:
    name, rest = pick(words_of(command))
    for launcher in re.findall(r"hydra/launcher=([a-z]+)", command):
        pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")
    _, config, _ = COMMANDS[name]
    assert config is not None
    sweep = "-m" in rest
    own = "--config-dir" in rest  # typed in examples/
    rest = [word for word in rest if word not in ("--config-dir", ".")]
    overrides = []
    for word in rest:
        if word == "-m":
            continue
        key, _, value = word.partition("=")
        # of a sweep the first value: range=[4,6],[10,12] and neuron=horse,ship
        first = re.match(r"(\[[^\]]*\]|[^,\[]*),", value) if sweep else None
        overrides.append(f"{key}={first[1]}" if first else word)
    cfg = compose(config, overrides, more=EXAMPLES if own else None)
    check_components(cfg, whole=False)
    assert OmegaConf.to_container(cfg)


def test_tests_that_are_named_exist() -> None:
    named = re.findall(r"`(test_\w+\.py)(?:::(\w+))?`", text_of(ROOT / "docs" / "reliability.md"))
    assert len(named) > 30
    for file, name in named:
        text = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {name}" in text, f"{file}::{name}"

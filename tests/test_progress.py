"""What is told while a person waits, and to whom."""

from __future__ import annotations

import ast
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from toys import seeded

from invset import progress
from invset.errors import InvsetError
from invset.files import images
from invset.files.images import load_images
from invset.nets.network import Network
from invset.problem.encode import activations
from invset.progress import (
    Volume,
    bar,
    bars,
    listen,
    listening,
    stage,
    volume_typed,
)

PACKAGE = Path(progress.__file__).parent

Told = list[tuple[int, int | None]]


def tell(told: Told, done: int, total: int | None) -> None:
    told.append((done, total))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_pictures_are_counted_as_they_are_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(images, "_CHUNK", 2)
    for i in range(5):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    told: Told = []
    load_images(tmp_path, progress=lambda done, total: tell(told, done, total))
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_pictures_are_counted_as_they_are_looked_at() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 4))
    network = Network(net, image_size=4, output="2", encoder="1")
    pixels = torch.randint(256, (5, 3, 4, 4), generator=seeded(), dtype=torch.uint8)
    told: Told = []
    found = activations(
        network,
        pixels,
        ["0", "1"],
        flatten=["1"],
        batch_size=2,
        progress=lambda done, total: tell(told, done, total),
    )
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]
    maps = net[0](pixels.float() / 255)
    torch.testing.assert_close(found["0"], maps[:, :, 1, 1])  # the centre
    torch.testing.assert_close(found["1"], maps.flatten(1))


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What a person sees, at once."""
    made = Terminal()
    monkeypatch.setattr(progress, "_DELAY", 0)
    monkeypatch.setattr(sys, "stderr", made)
    return made


def count() -> None:
    with bar("reading cats", "image") as made:
        if made._drawn is not None:
            made._drawn.mininterval = 0  # each call is drawn
        made(0, 4)
        made(3, 4)
        made(1, 4)  # a download that begins anew


def test_a_bar_tells_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    shows = terminal(monkeypatch)
    with listening(Volume.NORMAL):
        count()
    shown = shows.getvalue()
    assert "reading cats" in shown
    assert re.search(r"3/4 \[[\d:]+<[\d:]+, +[\d.]+image/s\]", shown)
    assert shown.endswith("\r")  # it is gone


def test_a_stage_is_shown_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    shows = terminal(monkeypatch)
    with listening(Volume.NORMAL):
        with stage("loading cats"):
            assert shows.getvalue() == "\rloading cats …"
        assert shows.getvalue().endswith("\r"), "it is gone"
        before = len(shows.getvalue())
        with bars(False), stage("loading cats"):
            assert len(shows.getvalue()) == before
    with listening(Volume.QUIET), stage("loading cats"):
        assert len(shows.getvalue()) == before
    with stage("loading cats"):  # a script
        assert len(shows.getvalue()) == before


def test_a_bar_is_for_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    shows = terminal(monkeypatch)
    count()  # a script
    with listening(Volume.QUIET):
        count()
    with listening(Volume.NORMAL), bars(False):  # progress=false
        count()
    assert shows.getvalue() == ""
    with listening(Volume.NORMAL):
        listen(Volume.NORMAL, alone=False)  # a job beside others
        count()
    assert shows.getvalue() == ""
    monkeypatch.setattr(progress, "_DELAY", 2)
    with listening(Volume.NORMAL):
        count()  # it is short
    assert shows.getvalue() == ""


def test_a_file_gets_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    with listening(Volume.NORMAL), bar("reading cats", "image") as made:
        for done in range(0, 101, 10):
            made(done, 100)
            clock.now += 20
    lines = capsys.readouterr().err.splitlines()
    # after 80 and 160 seconds: 40 and 80 of 100 at one in two seconds
    assert lines == [
        "reading cats:  40% 40/100 [01:20<02:00,  2.00s/image]",
        "reading cats:  80% 80/100 [02:40<00:40,  2.00s/image]",
    ]


SAID = {"stage: 0.0 s": 1, "going": 0, "odd": 0, "wrong": -1}


@pytest.mark.parametrize("volume", Volume)
def test_lines_by_volume(volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    ours, others = logging.getLogger("invset.some"), logging.getLogger("others")
    with listening(volume):
        with stage("stage"):
            ours.info("going")
        ours.warning("odd")
        ours.error("wrong")
        others.info("fine")
        others.warning("hm")
        others.error("no")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning(UserWarning("old"), UserWarning, "file.py", 1)
    out, err = capsys.readouterr()
    assert out == ""
    wanted = ["going", "stage: 0.0 s", "odd", "wrong"]
    assert [line for line in err.splitlines() if line in SAID] == [
        line for line in wanted if SAID[line] <= volume
    ]
    assert ("others: fine" in err) is (volume is Volume.LIBRARIES)
    assert ("others: hm" in err) is ("UserWarning: old" in err) is (volume > Volume.QUIET)
    assert "others: no" in err


def test_logging_is_left_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    root, ours = logging.getLogger(), logging.getLogger("invset")
    before = (root.level, ours.level, list(root.handlers), warnings.showwarning)
    with listening(Volume.NORMAL):
        with listening(Volume.LIBRARIES):
            pass
        ours.info("heard")
        ours.debug("not heard")
    assert (root.level, ours.level, list(root.handlers), warnings.showwarning) == before
    assert capsys.readouterr().err == "heard\n"


@pytest.mark.parametrize(
    ("words", "volume", "rest"),
    [
        ("run n=1", 0, "run n=1"),
        ("-q run n=1", -1, "run n=1"),
        ("run n=1 --quiet -m", -1, "run n=1 -m"),
        ("run -v n=1", 1, "run n=1"),
        ("run -v n=1 --verbose", 2, "run n=1"),
        ("run -vv -v", 2, "run"),
        ("run -q -q", -1, "run"),
        ("run -V n=-v", 0, "run -V n=-v"),
    ],
)
def test_flags_stand_anywhere(words: str, volume: int, rest: str) -> None:
    assert volume_typed(words.split()) == (volume, rest.split())


def test_more_and_less_is_refused() -> None:
    with pytest.raises(InvsetError, match="-q tells less and -v tells more; type one"):
        volume_typed(["run", "-q", "-vv"])


# who may print

#: Files that write to the terminal themselves.
PRINT = ("cli.py", "progress.py", "streams.py")


def prints(tree: ast.AST, of_commands: bool) -> Iterator[int]:
    """Lines with a print: of a command only those that print elsewhere than to the output."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("print", "tqdm.write"):
            continue
        if not of_commands or any(one.arg == "file" for one in node.keywords):
            yield node.lineno


def imports_tqdm(tree: ast.AST) -> bool:
    names = [
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    return any(str(name).split(".")[0] == "tqdm" for name in names)


def test_below_the_commands_nobody_prints() -> None:
    against, with_bars = [], []
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if name not in PRINT:
            lines = prints(tree, name.startswith("commands/"))
            against += [f"{name}:{line}" for line in lines]
        if imports_tqdm(tree):
            with_bars.append(name)
    assert against == [], "log to logging.getLogger(__name__)"
    assert with_bars == ["progress.py"], "count in a progress.bar"
    assert list(prints(ast.parse("x = 1\nprint(x)"), False)) == [2]
    assert list(prints(ast.parse("print(1)\nprint(x, file=sys.stderr)"), True)) == [2]
    assert imports_tqdm(ast.parse("def f():\n    from tqdm.auto import tqdm"))

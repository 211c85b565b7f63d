"""Text of any alphabet, and text that acts: in the terminal, in pages, charts and pictures."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from invset import cli
from invset.errors import InvsetError, brief
from invset.report.charts import histogram
from invset.report.grid import label_grid
from invset.report.page import _environment
from invset.report.strip import Strip, plot
from invset.studies.probed import REAL
from invset.terminal import Plain, one_line, plain, shown

#: What is typed or read, and what is shown of it.
SHOWN = {
    "Größe 日本 🦊 שלום $x$ <b> 'q' \t": "Größe 日本 🦊 שלום $x$ <b> 'q' \t",
    "a\x1b[31mred\x1b[0m": "a\\x1b[31mred\\x1b[0m",
    "\x9b31m\x07\x00\x7f": "\\x9b31m\\x07\\x00\\x7f",
    "over\rwritten": "over\\rwritten",
    "abc\u202etxt.exe": "abc\\u202etxt.exe",
    "caf\udce9": "caf\\xe9",
}


@pytest.mark.parametrize("text", SHOWN)
def test_a_text_that_acts_is_written_out(text: str) -> None:
    assert plain(text) == SHOWN[text]
    assert plain(plain(text)) == plain(text)


def test_a_bar_may_go_back_in_its_line() -> None:
    stream = io.StringIO()
    for text in ("\r 10% \x1b[31m", "\x1b[A\x1b[A", "\x1b[A up\r"):
        assert Plain(stream).write(text) == len(text)
    assert stream.getvalue() == "\r 10% \\x1b[31m\x1b[A\x1b[A\\x1b[A up\\r"


def test_a_stream_that_lacks_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    with shown():
        print("Grün 日本")
    assert sys.stdout is stream
    stream.flush()
    assert stream.buffer.getvalue() == b"Gr\\xfcn \\u65e5\\u672c\n"  # type: ignore[attr-defined]


def test_words_reach_the_terminal_written_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["\x1b[31m"], ["run", "network=mini", "neuron=\x1b[31m", "z1=1", "z2=2"]):
        monkeypatch.setattr(sys, "argv", ["invset", *words])
        GlobalHydra.instance().clear()
        with pytest.raises(SystemExit):
            cli.main()
        assert "\\x1b[31m" in capsys.readouterr().err.replace("\\\\", "\\")


def test_a_sentence_is_never_endless() -> None:
    assert brief("a word " + "x" * 1000) == f"a word {'x' * 100}…{'x' * 100}"
    assert len(brief("a " * 10_000)) < 3010
    assert brief("as it is") == "as it is"


def test_a_number_that_no_tensor_holds_is_refused() -> None:
    from invset.core.options import Bounds, check_option

    for kind in ("int", "float", "int | None"):
        with pytest.raises(InvsetError, match=r"below 2\^63"):
            check_option("n", 10**400, kind, Bounds(at_least=1))


#: A label that is no formula, that has letters which fonts lack, and that acts.
LABEL = "$\\frac{$ 日本 🦊 \x1b[31m"


def test_a_label_is_itself_in_charts() -> None:
    drawn = histogram(np.array([1.0, 2.0]), [(0.0, 3.0)], LABEL)
    assert "$\\frac{$ 日本 🦊 \\x1b[31m" in drawn  # and nothing warned
    assert "\x1b" not in drawn


def test_a_label_is_itself_in_pictures(tmp_path: Path) -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    for text in (LABEL, "a\nb", "x" * 100_000):
        assert label_grid([("row", images, ["1.0"])], text, footer=text).width < 5000
        strip = Strip(text, {REAL: (3, tuple(map(float, range(7))))})
        plot([strip], text, "range", tmp_path / "strip.png")  # and nothing warned


def test_a_page_holds_no_text_that_acts() -> None:
    page = _environment(()).from_string("{{ text }}").render(text=LABEL + "<b>")
    assert page == "$\\frac{$ 日本 🦊 \\x1b[31m&lt;b&gt;"


def test_one_line() -> None:
    assert one_line("a\n b\tc") == "a b c"
    assert one_line("x" * 400) == "x" * 299 + "…"

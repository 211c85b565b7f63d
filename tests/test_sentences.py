"""What is said of ranges that no real image comes near."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typed import typed

from invset.report.sentences import beyond_real

REACHED = {"real_images": 2000, "ends": [[-5.25, 21.3]]}
HORSE = ["fc8:8 horse"]
ABOVE = "lies above the largest of 2000 real images, 21.3."
BELOW = "lies below the smallest of 2000 real images, -5.25."


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((21.4, 30), [f"The range of fc8:8 horse {ABOVE}"]),
        ((21.3, 30), []),  # the largest is in it
        ((20, 30), []),
        ((-9, -5.25), []),
        ((-9, -5.3), [f"The range of fc8:8 horse {BELOW}"]),
    ],
)
def test_a_range_beyond_all_real_images(ends: tuple[float, float], told: list[str]) -> None:
    assert beyond_real(HORSE, [[ends]], REACHED) == told
    assert beyond_real(HORSE, [[ends]], {**REACHED, "ends": [None]}) == []


def test_several_ranges_and_several_neurons() -> None:
    rows = [[(z, z + 4)] for z in (-12, 5, 17, 22, 30)]
    assert beyond_real(HORSE, rows, REACHED) == [
        "2 of 5 ranges of fc8:8 horse lie above the largest of 2000 real images, 21.3.",
        "1 of 5 ranges of fc8:8 horse lie below the smallest of 2000 real images, -5.25.",
    ]
    both = {"real_images": 2000, "ends": [None, [0, 1]]}
    assert beyond_real(["a", "b"], [[(7, 8), (2, 3)]], both) == [
        "The range of b lies above the largest of 2000 real images, 1."
    ]


def test_the_terminal_and_the_page_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["network=mini", "neuron=horse", "z1=24", "z2=26", "n=2", "K=2", "animation=false"]
    assert typed(monkeypatch, "run", *words, "progress=false", f"hydra.run.dir={tmp_path}") == 0
    [said] = [line for line in capsys.readouterr().out.splitlines() if "largest of" in line]
    assert said == f"The range of fc8:8 horse {ABOVE}"
    assert said in json.loads((tmp_path / "summary.json").read_text())["sentences"]
    assert said in (tmp_path / "report.html").read_text()

"""Tables of figures over runs, against NumPy."""

from __future__ import annotations

import numpy as np

from invset.analysis.record import Figure
from invset.report.table import Line, cells, headlines, markdown

VENDI = Figure("a.vendi", "Vendi", form=".3f", headline=True, beside="b.vendi")
STEPS = Figure("a.steps", "steps", "gradient steps", form=".0f", headline=True)
KIND = Figure("b.kind", "real images", form="s", headline=True)
FIGURES = [VENDI, STEPS, KIND, Figure("b.vendi", "Vendi of real images"), Figure("c", "c")]


def test_means_deviations_and_real_images() -> None:
    x, y = np.random.default_rng(0).uniform(2, 9, (2, 3))
    runs = [
        {"a.vendi": x[i], "b.vendi": y[i], "a.steps": [7, None, 9][i], "b.kind": "in range", "c": 1}
        for i in range(3)
    ]
    lines = markdown(["name"], [Line(["all"], runs), Line(["one"], runs[:1])], FIGURES)
    assert lines[0] == "| name | Vendi (real images) | steps (gradient steps) | real images |"
    deviations = f"{x.mean():.3f} ± {x.std(ddof=1):.3f} ({y.mean():.3f})"
    steps = f"8 ± {np.std([7, 9], ddof=1):.0f}"  # of the two that are known
    assert lines[2] == f"| all | {deviations} | {steps} | in range |"
    assert lines[3] == f"| one | {x[0]:.3f} ({y[0]:.3f}) | 7 | in range |"


def test_columns_that_nobody_fills_are_left_out() -> None:
    line = Line(["x"], [{"a.vendi": "3.5", "b.vendi": "", "b.kind": None}])  # as read from a file
    columns = headlines(FIGURES, [line])
    assert [one.heading for one in columns] == ["Vendi"]
    assert cells(line, columns) == ["x", "3.500"]
    assert cells(Line(["failed"], []), columns) == ["failed", "–"]


def test_words_are_told_once() -> None:
    runs = [{"b.kind": word} for word in ("in range", "nearest", "in range")]
    assert cells(Line([], runs), [KIND]) == ["in range, nearest"]

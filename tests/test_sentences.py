"""What is said of a run: where its range lies, what ended it, what to read its samples with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typed import typed

from invset import InverseSetSampler, Neuron, Problem, Result, mini_generator, mini_network
from invset.core.sparse_feature import SparseEncoder
from invset.core.target import Meter
from invset.problem.in_views import Scales
from invset.report.sentences import beyond_real, sentences
from invset.samplers.base import Limits, Status

REACHED = {"real_images": 2000, "ends": [[-5.25, 21.3]]}
HORSE = ["fc8:8 horse"]
HORSE_NEURON = Neuron("fc8", 8, (5, 9))
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
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = ["network=mini", "neuron=horse", "z1=24", "z2=26", "n=2", "K=2", "animation=false"]
    with caplog.at_level("INFO"):
        done = typed(monkeypatch, "run", *words, "progress=false", f"hydra.run.dir={tmp_path}")
    assert done == 0
    [said] = [line for line in capsys.readouterr().out.splitlines() if "largest of" in line]
    assert said == f"The range of fc8:8 horse {ABOVE}"
    assert said in caplog.messages, "it is known before anything is sampled"
    assert said in json.loads((tmp_path / "summary.json").read_text())["sentences"]
    assert said in (tmp_path / "report.html").read_text()


def answered(neuron: Neuron = HORSE_NEURON) -> tuple[Problem, Result]:
    """A problem and four samples of it."""
    problem = Problem(mini_network(), mini_generator(), neurons=neuron)
    return problem, InverseSetSampler(k=2, n=4).run(problem)


def summary(**records: Any) -> dict[str, Any]:
    """Of a run with five samples."""
    held: dict[str, Any] = {"counts": {"saved": 5, "in_range": 5}}
    held |= {"reached": {"ends": [None], "real": None, "closest": [3.25], "real_images": 0}}
    return held | {"beside_real": {"real": None}} | records


def test_samples_that_are_nearly_alike_are_told() -> None:
    problem, found = answered()
    alike = "The samples are nearly alike: Vendi 1.32, where 1 is one repeated."
    assert alike in sentences(problem, found, summary(diversity={"vendi": 1.32}))
    for vendi, saved in ((1.5, 5), (1.32, 4)):  # four may be alike by chance
        counts = {"saved": saved, "in_range": saved}
        told = sentences(problem, found, summary(diversity={"vendi": vendi}, counts=counts))
        assert not any("alike" in line for line in told)


def test_neurons_without_real_images_are_told() -> None:
    problem, found = answered()
    unknown = (
        "No real images were measured for fc8:8 horse: whether any reach the range is unknown;"
    )
    assert any(line.startswith(unknown) for line in sentences(problem, found, summary()))
    known = summary(reached={"ends": [[0, 9]], "real": [[1, 2, 3]], "real_images": 7})
    assert not any(line.startswith("No real") for line in sentences(problem, found, known))


def test_samples_that_fill_a_part_of_the_range_are_told() -> None:
    problem, found = answered()
    f = torch.tensor([[5.0], [6.0], [6.5], [5.5], [7.0]])
    part = replace(found, activations=f)
    [told] = [line for line in sentences(problem, part, summary()) if "lie between" in line]
    assert told == "The samples lie between 5 and 7: 50% of the range's width."
    for values in (2 * f - 5, f[:4]):  # three quarters of it, and too few to tell
        some = replace(found, activations=values)
        assert not any("lie between" in line for line in sentences(problem, some, summary()))


def test_a_limit_tells_of_no_range_where_samples_were_found() -> None:
    problem, found = answered()
    found = replace(found, status=Status.BUDGET)
    assert not any(line.startswith("Reached") for line in sentences(problem, found, summary()))


@pytest.mark.parametrize("status", [Status.UNREACHABLE, Status.BUDGET])
def test_a_typed_limit_that_ended_a_run_is_told(status: Status) -> None:
    problem, found = answered()
    found = replace(found, status=status)
    none = summary(counts={"saved": 0, "in_range": 0})
    first, reached, *_ = sentences(problem, found, none)
    assert first.endswith(status.sentence)
    assert reached == "Reached: fc8:8 horse came to 3.25; try z1=1.62 z2=3.25."
    first, reached, *_ = sentences(problem, found, none, "code_steps=60")
    assert first.endswith(" s. limits.code_steps=60 ended it: raise it, or leave it out.")
    assert reached == "Reached: fc8:8 horse came to 3.25."  # it was not tried for long
    ended = replace(found, status=Status.REACHED)
    assert "limits." not in sentences(problem, ended, summary(), "code_steps=60")[0]


def test_which_limit_was_reached() -> None:
    limits = Limits(code_steps=10, seconds=2)
    assert limits.reached(Meter(3, 6), 1) == ""
    assert limits.reached(Meter(3, 60), 1) == "code_steps=10"
    assert limits.reached(Meter(3, 6), 2) == "seconds=2"
    assert Limits(forwards=3).reached(Meter(3, 0), 0) == "forwards=3"
    assert Limits().reached(Meter(10**9, 0), 10**9) == ""


def test_robust_features_that_are_off_in_the_whole_picture_are_told() -> None:
    feature = SparseEncoder(torch.eye(10), torch.zeros(10)).feature(7)
    problem, found = answered(Neuron("fc8", None, feature=feature, range=(5, 9)))
    whole = torch.tensor([[1.0], [0.0], [2.0], [-1.0]])
    told = sentences(problem, replace(found, scales=Scales(whole + 6, whole)), summary())
    assert any("is on in 2 of the 4 samples, read as whole pictures" in line for line in told)
    told = sentences(problem, replace(found, scales=Scales(whole + 6, whole + 2)), summary())
    assert not any("whole pictures" in line for line in told), "it is on in all of them"
    told = sentences(problem, replace(found, activations=whole), summary())
    assert any(line.endswith(" is on in 2 of the 4 samples.") for line in told)


def test_figures_without_real_images_are_those_of_the_samples() -> None:
    problem, found = answered()
    ours = {"nearest_neighbour": 9.87, "vendi": 3.21, "mean_pairwise_distance": 12.34}
    beside = {"alike": ours, "real": None, "distinct": None}
    told = sentences(problem, found, summary(beside_real=beside))
    assert "nearest neighbour 9.9, Vendi 3.2, mean pairwise distance 12.3" in told
    ladder = replace(found, ranges=[*found.ranges, *found.ranges])
    told = sentences(problem, ladder, summary(beside_real=beside))
    assert not any(line.startswith("nearest neighbour") for line in told)

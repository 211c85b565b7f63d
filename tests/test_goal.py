"""What runs with goal=max and goal=min keep, say and refuse."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import cube, linear, plain_set, run, seeded, uniform
from torch import Tensor

from invset import InverseSetSampler, Neuron, Problem, mini_generator, mini_network
from invset.cli import main
from invset.core.goal import loss
from invset.core.kept import Kept
from invset.core.ranges import ActivationRange
from invset.core.target import Seen, Target
from invset.errors import InvsetError
from invset.problem.result import spanned
from invset.samplers.base import Limits, Status
from invset.samplers.random import Random
from invset.studies.study import study_of


def target() -> Target:
    """A linear unit on the unit cube, of which nothing is asked."""
    w = linear()
    ends = torch.full((1,), torch.inf, dtype=torch.float64)
    return replace(plain_set(lambda c: c @ w, [(0, 1)], cube()), range=ActivationRange(-ends, ends))


def test_losses_by_hand() -> None:
    range_ = ActivationRange.of([(1.0, 3.0), (0.0, 10.0)])
    f = torch.tensor([[2.0, 5.0], [0.0, 5.0], [5.0, 20.0]])
    # in widths: inside; half of one below; one above each
    assert loss("range", range_, f).tolist() == [0, 0.25, 2]
    assert loss("max", range_, f).tolist() == [-7, -5, -25]
    assert loss("min", range_, f).tolist() == [7, 5, 25]


def rows(*numbers: float) -> Tensor:
    return torch.tensor(numbers).unsqueeze(1)


def largest(f: Tensor) -> Tensor:
    return -f[:, 0]


def test_the_best_of_each_search_is_kept() -> None:
    every = torch.ones(4, dtype=torch.bool)
    seen = Seen(rows(1, 2, 3, 4), rows(10, 30, 20, 99), rows(0, 0, 0, 0))
    search = torch.tensor([0, 0, 2, 3])  # there are three searches: 3 is dropped
    first = Kept.empty(3, seen).best(every, seen, search, largest, 7)
    assert first.trimmed()["u"].squeeze(1).tolist() == [2, 3]
    assert first.trimmed()["parent"].tolist() == [0, 2]
    assert int(first.count) == 2
    later = Seen(rows(5, 6, 7, 8), rows(30, 25, -5, 50), rows(0, 0, 0, 0))
    chosen = torch.tensor([True, True, True, False])
    search = torch.tensor([0, 2, 1, 2])
    second = first.best(chosen, later, search, largest, 8)
    # 30 does not beat 30; a search's first code is kept, however bad
    assert second.trimmed()["u"].squeeze(1).tolist() == [2, 7, 6]
    assert second.trimmed()["step"].tolist() == [7, 8, 8]
    # an earlier state stays as it was
    assert first.trimmed()["f"].squeeze(1).tolist() == [30, 20]


@pytest.mark.parametrize("goal", ["max", "min"])
def test_random_keeps_the_best_of_its_draws(goal: str) -> None:
    ended = run(Random(K=4, n=4, goal=goal, draws=10), target())
    assert ended.status is Status.REACHED
    assert ended.meter.forwards == 40
    draws = seeded()
    f = torch.cat([cube().sample(4, draws) for _ in range(10)]) @ linear()
    best = f.view(4, 10).amax(1) if goal == "max" else f.view(4, 10).amin(1)
    assert ended.kept is not None
    torch.testing.assert_close(ended.kept.trimmed()["f"][:, 0], best)
    assert ended.best_f is not None
    assert ended.best_f.item() == (f.max() if goal == "max" else f.min())


def test_a_run_that_gives_up_keeps_the_best_so_far() -> None:
    study = study_of(Random(K=4, n=4, goal="max", draws=100))
    here = target()
    found = study.found(here, study.run(here, seeded(), limits=Limits(code_steps=20)))
    assert found.status is Status.BUDGET
    assert found.goal == "max"
    assert found.parent.tolist() == [0]


def test_what_samples_span() -> None:
    f = uniform(5, 2).float()
    ends = spanned(f, f[0])
    assert ends == [(f[:, j].min().item(), f[:, j].max().item()) for j in range(2)]
    for same in (f[:1], f[:0]):  # one sample, or none: around it, or around the best
        ((low, high), _) = spanned(same, f[0])
        assert low < f[0, 0].item() < high
        ActivationRange.of(spanned(same, f[0]))
    ActivationRange.of(spanned(f[:0], torch.tensor([torch.nan, 0.0])))


def mini(**options: Any) -> Problem:
    return Problem(mini_network(), mini_generator(), neurons=[Neuron("fc8", "horse", **options)])


def test_from_python() -> None:
    one = InverseSetSampler(4, 4, "random", goal="max", draws=8).run(mini(), seed=0)
    assert one.goal == "max"
    assert one.in_range.all()
    ((ends,),) = one.ranges
    assert ends == (one.activations.min().item(), one.activations.max().item())


@pytest.mark.parametrize(
    ("options", "goal", "word"),
    [
        ({"range": (3, 4)}, "max", "goal=max takes no range, but fc8:8 horse has one"),
        ({}, "range", "fc8:8 horse has no range to sample"),
    ],
)
def test_a_range_and_a_goal_exclude_each_other(
    options: dict[str, Any], goal: str, word: str
) -> None:
    with pytest.raises(InvsetError, match=word):
        InverseSetSampler(4, 4, "random", goal=goal).run(mini(**options))


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr("sys.argv", ["invset", "run", "network=mini", "neuron=horse", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_from_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("sampler=random", "goal=min", "n=4", "sampler.draws=8", f"hydra.run.dir={tmp_path}/a")
    assert typed(monkeypatch, *words) == 0
    told = capsys.readouterr()
    assert "4 of 4 samples as small as found: fc8:8 horse from" in told.out
    assert "goal=min of fc8:8 horse -> " in told.err
    summary = json.loads((tmp_path / "a" / "summary.json").read_text(encoding="utf-8"))
    assert summary["goal"] == "min"
    assert summary["counts"]["in_range"] == 4
    ((ends,),) = summary["ranges"]
    assert summary["neurons"] == [{"name": "fc8:8 horse", "z1": ends[0], "z2": ends[1]}]
    page = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert "Goal" in page


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("sampler=random", "goal=max", "z1=3"), "goal=max takes no range; leave z1= out"),
        (("sampler=random", "goal=up", "z1=3", "z2=4"), "goal must be range, max or min"),
        (("sampler=random",), "the range is missing"),
        (("goal=max",), "sampler stream has no goal; leave goal=max out"),
    ],
)
def test_what_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    sentence: str,
) -> None:
    assert typed(monkeypatch, *words, f"hydra.run.dir={tmp_path}/a") == 2
    assert sentence in capsys.readouterr().err

"""MAP-Elites: the archive beside that of pyribs, operators by hand, and known corners."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cases import cube, linear, normal, plain_set, run, seeded
from ribs.archives import GridArchive
from torch import Tensor

from invset.core.cppn import Growth
from invset.core.space import Box, CodePrior
from invset.core.target import Layer, Target
from invset.errors import InvsetError
from invset.samplers.base import Limits, Status
from invset.samplers.drive import drive
from invset.samplers.map_elites import Archive, MapElites

WEIGHTS = torch.cat([linear(), normal(8, 4, seed=7)], 1)


def classes(**options: Any) -> Target:
    """Five linear units on the unit cube; the first is asked for."""
    target = plain_set(lambda c: c @ WEIGHTS[:, :1], [(0.9, 1.2)], cube())
    layer = Layer(lambda c: (c @ WEIGHTS.to(c), c), 0)
    return replace(target, layer=layer, **options)


def small(**options: Any) -> MapElites:
    return MapElites(**{"K": 1, "n": 20, "goal": "max", "batch": 10, **options})


def kept(ended: Any) -> dict[str, Tensor]:
    assert ended.kept is not None
    return ended.kept.trimmed()


def test_the_archive_is_that_of_pyribs() -> None:
    niches, dim = 6, 3
    archive = GridArchive(solution_dim=dim, dims=[niches], ranges=[(0, niches)])
    sampler = small(batch=7)
    empty = torch.full((1, niches), -torch.inf, dtype=torch.float64)
    elites = {"u": torch.zeros(niches, dim, dtype=torch.float64)}
    state = Archive(torch.arange(niches), empty, elites, 0, torch.tensor(0))
    for seed in range(12):
        u, fitness = normal(7, dim, seed=seed), normal(7, niches, seed=100 + seed)
        state = sampler._with(state, {"u": u}, fitness.unsqueeze(0))
        wins = 0
        for niche in range(niches):  # a candidate stands for every niche
            status = archive.add(
                u.numpy(), fitness[:, niche].numpy(), np.full((7, 1), niche + 0.5)
            )["status"]
            wins += int((status > 0).any())
        held = archive.data(["solution", "objective", "index"])
        order = held["index"].argsort()
        assert state.elites["u"].numpy() == pytest.approx(held["solution"][order])
        assert state.fitness[0].numpy() == pytest.approx(held["objective"][order])
        assert int(state.won) == wins


def test_archives_side_by_side_are_independent() -> None:
    sampler = small(K=2, batch=3)
    fitness = normal(2, 3, 4)
    found = {"u": normal(6, 2, seed=1)}
    none = torch.full((2, 4), -torch.inf, dtype=torch.float64)
    elites = {"u": torch.zeros(8, 2, dtype=torch.float64)}
    state = Archive(torch.arange(4), none, elites, 0, torch.tensor(0))
    after = sampler._with(state, found, fitness)
    for k in range(2):
        rows = 3 * k + fitness[k].argmax(0)
        assert torch.equal(after.elites["u"][4 * k : 4 * k + 4], found["u"][rows])
    # a tie leaves the elite, and what is no number never wins
    worse = torch.where(torch.arange(3).view(1, 3, 1) == 1, torch.nan, after.fitness.unsqueeze(1))
    again = sampler._with(after, {"u": torch.zeros(6, 2)}, worse)
    assert torch.equal(again.elites["u"], after.elites["u"])
    assert int(again.won) == 0


@pytest.mark.parametrize("goal", ["max", "min"])
@pytest.mark.parametrize("fitness", ["softmax", "activation"])
def test_every_niche_finds_its_corner_of_the_cube(goal: str, fitness: str) -> None:
    ended = run(small(goal=goal, fitness=fitness, generations=250, batch=40, rate=0.3), classes())
    assert ended.status is Status.REACHED
    found = kept(ended)
    assert found["parent"].tolist() == [0, 1, 2, 3, 4]
    assert ended.meter.forwards == 251 * 40
    scores = found["u"] @ WEIGHTS
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 8).double() @ WEIGHTS
    sign = 1 if goal == "max" else -1
    for niche in range(5):
        if fitness == "activation":
            mine, best = sign * scores[niche, niche], (sign * corners)[:, niche].max()
            assert mine > 0.95 * best
        else:
            mine = sign * scores[niche].log_softmax(0)[niche]
            best = (sign * corners.log_softmax(1))[:, niche].max()
            assert mine > best - 0.2


def test_a_range_is_aimed_at_in_every_niche() -> None:
    target = classes()
    ended = run(small(goal="range", generations=100, batch=30), target)
    assert ended.status is Status.REACHED
    scores = (kept(ended)["u"] @ WEIGHTS).diagonal()
    reachable = (WEIGHTS.clamp_min(0).sum(0) >= 0.9) & (WEIGHTS.clamp_max(0).sum(0) <= 1.2)
    assert reachable.sum() >= 3
    assert ((scores >= 0.9) & (scores <= 1.2))[reachable].all()


def test_which_elites_are_samples() -> None:
    target = replace(classes(), layer=replace(classes().layer, unit=2))
    found = kept(run(small(n=3, K=2, generations=20), target))
    # two of the first archive and one of the second; that of unit 3 of both
    assert found["parent"].tolist()[1:].count(2) + (found["parent"][0] == 2) == 2
    assert len(found["parent"]) == 3
    everything = kept(run(small(n=3, K=1, generations=20), target))
    assert 2 in everything["parent"].tolist()


def test_there_are_no_more_samples_than_niches() -> None:
    ended = run(small(n=100, K=3, generations=5, without=[2]), classes())
    assert ended.status is Status.REACHED
    assert kept(ended)["parent"].tolist() == [0, 2, 3, 4] * 3


def test_a_unit_that_is_no_niche_counts_in_the_softmax() -> None:
    sampler = small(without=[5], batch=1)
    units = normal(1, 5)
    niche = sampler._niches(units)
    found = sampler._fitness(classes(), units, niche)[0, 0].exp()
    torch.testing.assert_close(found, units.softmax(1)[0, :4])
    assert found.sum() < 1


def test_the_rate_is_halved() -> None:
    sampler = small(rate=0.2, halved_every=10)
    state = sampler.init(classes(), seeded())
    rates = [sampler._rate(replace(state, age=age)) for age in (0, 9, 10, 25)]
    assert rates == [0.2, 0.2, 0.1, 0.05]
    assert small(rate=0.2)._rate(replace(state, age=10**6)) == 0.2


@pytest.mark.parametrize("region", ["cube", "natural"])
def test_the_length_of_steps(region: str) -> None:
    space = cube() if region == "cube" else CodePrior.gaussian(8)
    target = replace(classes(), space=space)
    sampler = small(batch=4000, rate=1.0, eta=0.0)
    state = sampler.init(target, seeded())
    middle = torch.full_like(state.elites["u"], 0.5 if region == "cube" else 0.0)
    state = replace(state, elites={**state.elites, "u": middle})
    moved = sampler._children(target, state, seeded(1))["u"] - middle[0]
    # uniform in [-w, w] with w = √12 sd: its standard deviation is 2 sd; of these what is inside
    if region == "cube":
        assert moved.abs().max() == 0.5
        assert (moved.abs() == 0.5).double().mean().item() == pytest.approx(0.5, abs=0.02)
    else:
        assert moved.abs().max() < math.sqrt(12)
        assert moved.norm(dim=1).max() <= float(space.radius) * 1.0001


def grey(side: int = 6) -> Target:
    """Five units that look at the pixels of a grey picture."""
    w = normal(side * side, 5, seed=3).float()
    space = Box(0.0, 1.0, torch.rand(64, side * side, generator=seeded()))
    target = plain_set(lambda c: c @ w[:, :1], [(0.9, 1.2)], space)
    return replace(target, layer=Layer(lambda c: (c @ w, c), 0), picture=(1, side, side))


def test_networks_draw_elites() -> None:
    sampler = small(encoding="cppn", generations=60, batch=20, cppn=Growth(4))
    target = grey()
    ended = run(sampler, target)
    assert ended.status is Status.REACHED
    state = ended.state
    assert torch.equal(
        state.elites["u"],
        sampler._drawn(target, {k: v for k, v in state.elites.items() if k not in ("u", "f", "e")})[
            "u"
        ],
    )
    assert state.elites["used"].any()
    first = drive(sampler, grey(), seeded(), limits=Limits(code_steps=1))
    assert (state.fitness >= first.state.fitness).all()
    assert state.fitness.median() > first.state.fitness.median()


def test_a_run_that_was_interrupted_draws_the_same(tmp_path: Any) -> None:
    from test_drive import assert_same, through_a_file

    from invset.studies.study import study_of

    one = study_of(small(encoding="cppn", generations=23, batch=8))
    whole = one.found(grey(), one.run(grey(), seeded()))
    rng = seeded()
    looks = []

    def on_look(state: Any, rows: Any, count: int) -> None:
        looks.append(count)
        if len(looks) == 2:
            raise KeyboardInterrupt

    broken = one.run(grey(), rng, on_look=on_look)
    assert broken.status is Status.INTERRUPTED
    state, rng = through_a_file(one, broken, rng)
    target = grey()
    assert_same(one.found(target, one.run(target, rng, state)), whole)
    assert whole.asked == 5


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"goal": "range", "fitness": "softmax"}, "fitness=softmax is a probability"),
        ({"cppn": Growth(3)}, "cppn is of encoding=cppn"),
        ({"encoding": "tree"}, "encoding must be direct or cppn"),
        ({"without": 3}, "without must be a list of whole numbers"),
        ({"goal": "max", "rate": 2.0}, "rate must be a number"),
    ],
)
def test_what_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InvsetError, match=word):
        small(**options)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"encoding": "cppn"}, "encoding=cppn draws pixels"),
        ({"without": [1]}, "leaves out the neuron that is asked for"),
        ({"without": [6]}, "without names unit 6, and the layer has 1 to 5"),
    ],
)
def test_what_does_not_fit_a_target(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InvsetError, match=word):
        run(small(**options), classes())
    with pytest.raises(InvsetError, match="takes one neuron"):
        run(small(), replace(classes(), layer=None))

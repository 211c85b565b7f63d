"""CMA-ES beside pycma that is called by itself, and on a linear unit whose optimum is known."""

from __future__ import annotations

from typing import Any

import cma
import numpy as np
import pytest
import torch
from cases import cube, linear, normal, plain_set, run, seeded
from torch import Tensor

from invset.core.space import Free
from invset.core.target import Target
from invset.samplers.base import Limits, Status
from invset.samplers.cma_es import CMAES, CMAState
from invset.samplers.drive import Run, drive
from invset.studies.study import loaded, saved, study_of


def bowl() -> Target:
    """A smooth function of the plane and its minimum, without bounds."""
    centre = normal(6, seed=3)
    weights = torch.arange(1, 7, dtype=torch.float64)
    region = Free(normal(20, 6, seed=4))
    return plain_set(lambda c: ((c - centre) ** 2 * weights).sum(1, keepdim=True), [(0, 1)], region)


def asked(sampler: CMAES, target: Target, generations: int) -> tuple[CMAState, list[Tensor]]:
    """The first state, and the codes of each generation, with shape (K, population, dim)."""
    seen = []
    rng = seeded()
    first = state = sampler.init(target, rng)
    for _ in range(generations):
        state, offer = sampler.step(target, state, rng)
        seen.append(offer.seen.u.unflatten(0, (sampler.K, -1)))
        after = sampler.turn(state, False, sampler.n)
        assert after is not None
        state = after
    return first, seen


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_every_step_is_that_of_pycma_called_directly(covariance: str) -> None:
    target = bowl()
    sampler = CMAES(K=2, n=2, goal="min", population=7, covariance=covariance, sigma=0.3)
    first, seen = asked(sampler, target, 30)
    for place, search in enumerate(first.searches):
        options = {"seed": search.seed, "popsize": 7, "CMA_diagonal": covariance == "diagonal"}
        quiet = {"verbose": -9, "verb_log": 0}
        es = cma.CMAEvolutionStrategy(search.start.numpy(), 0.3, {**options, **quiet})
        for generation in seen:
            points = es.ask()
            np.testing.assert_array_equal(np.asarray(points), generation[place].numpy())
            es.tell(points, target.evaluate(torch.from_numpy(np.asarray(points)))[0][:, 0].tolist())


@pytest.mark.parametrize("covariance", ["full", "diagonal", "vkd"])
def test_the_minimum_is_found(covariance: str) -> None:
    target = bowl()
    options: dict[str, Any] = {"covariance": covariance, "iterations": 200}
    ended = run(CMAES(K=2, n=3, goal="min", **options), target)
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    assert kept["parent"].tolist() == [0, 1, 2]
    assert (kept["f"] < 1e-6).all()
    torch.testing.assert_close(kept["u"], normal(6, seed=3).expand(3, 6), atol=1e-2, rtol=0)


@pytest.mark.parametrize(("goal", "bound"), [("max", 0.0), ("min", 0.0)])
def test_the_corner_of_the_cube_is_found(goal: str, bound: float) -> None:
    w = linear()
    ended = run(
        CMAES(K=2, n=2, goal=goal, iterations=150), plain_set(lambda c: c @ w, [(0, 1)], cube())
    )
    assert ended.kept is not None
    best = w.clamp_min(0).sum() if goal == "max" else w.clamp_max(0).sum()
    torch.testing.assert_close(ended.kept.trimmed()["f"], best.expand(2, 1), atol=0.02, rtol=0)


def test_a_search_of_a_range_gives_one_sample_and_a_new_one_begins() -> None:
    w = linear()
    ended = run(CMAES(K=3, n=7), plain_set(lambda c: c @ w, [(1.5, 1.6)], cube()))
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    assert len(set(kept["parent"].tolist())) == 7
    assert ((kept["f"] >= 1.5) & (kept["f"] <= 1.6)).all()


def test_a_search_ends_after_its_iterations() -> None:
    ended = run(CMAES(K=2, n=4, goal="min", iterations=5, population=6), bowl())
    assert ended.meter.forwards == 4 * 5 * 6
    assert ended.status is Status.REACHED


def test_what_goes_on_makes_the_strategies_again() -> None:
    w = linear()
    target = plain_set(lambda c: c @ w, [(0, 1)], cube())
    options: dict[str, Any] = {"K": 2, "n": 3, "goal": "max", "iterations": 12, "sigma": 1.0}
    whole = run(CMAES(**options), target)
    rng = seeded()
    study = study_of(CMAES(**options))
    looks: list[Run[CMAState]] = []

    def on_look(state: Run[CMAState], rows: list[list[float]], count: int) -> None:
        looks.append(state)
        if len(looks) == 17:
            raise KeyboardInterrupt

    broken = study.run(target, rng, on_look=on_look)
    assert broken.status is Status.INTERRUPTED
    # by another object, and by the same one from a state that it has left behind
    for sampler in (CMAES(**options), study.sampler):  # type: ignore[attr-defined]
        other = torch.Generator()
        other.set_state(rng.get_state())
        again = loaded(study_of(sampler), saved(broken))
        ended = drive(sampler, target, other, again, limits=Limits())
        assert ended.kept is not None
        assert whole.kept is not None
        assert torch.equal(ended.kept.u, whole.kept.u)
        assert ended.meter == whole.meter

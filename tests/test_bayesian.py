"""Bayesian optimisation beside BoTorch called directly, and on a linear unit on the cube."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
from cases import cube, linear, plain_set, run, seeded, uniform
from torch import Tensor

from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.base import Limits, Status
from invset.samplers.bayesian import Bayesian, Search
from invset.samplers.surrogate import Hunt, Surrogate, alone, botorch

BOTORCH = botorch()
UNIT = torch.tensor([[0.0] * 4, [1.0] * 4], dtype=torch.float64)


def slab(low: float = 0.9, high: float = 1.2, dim: int = 8) -> Target:
    w = linear(dim)
    return plain_set(lambda c: c @ w, [(low, high)], cube(dim))


def data() -> tuple[Tensor, Tensor]:
    """12 points of a smooth function with two outcomes."""
    x = uniform(12, 4)
    return x, torch.stack([(3 * x).sin().sum(1), 5 + (x - 0.3).square().sum(1)], 1)


def fitted_by_hand(x: Tensor, y: Tensor) -> Any:
    from botorch.models import SingleTaskGP
    from botorch.optim.fit import fit_gpytorch_mll_scipy
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = SingleTaskGP(x, (y - y.mean(0)) / y.std(0, correction=0), outcome_transform=None)
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    fit_gpytorch_mll_scipy(likelihood, options={"maxiter": 20})
    return model.eval()


def top_by_hand(gain: Any, count: int, seed: int) -> Tensor:
    from botorch.optim import optimize_acqf
    from botorch.utils.sampling import draw_sobol_samples

    drawn = draw_sobol_samples(UNIT, 32, count, seed=seed)
    values = torch.stack([gain(one) for one in drawn]).flatten()
    starts = drawn[values.argsort(descending=True)[:2]]
    options = {"maxiter": 7}
    found, _ = optimize_acqf(gain, UNIT, count, 2, batch_initial_conditions=starts, options=options)
    return found.detach()


def test_the_batch_of_log_expected_improvement_is_botorchs() -> None:
    from botorch.acquisition.logei import qLogExpectedImprovement
    from botorch.sampling import SobolQMCNormalSampler

    x, y = data()
    with alone(3):
        ours = Surrogate.fitted(x, y[:, :1], {}).best(Hunt(UNIT, 32, 2, 7, 3), 3, y[:, 0].max())
    with alone(9):
        model = fitted_by_hand(x, y[:, :1])
        sampler = SobolQMCNormalSampler(torch.Size([64]), seed=3)
        best = (y[:, 0].max() - y[:, 0].mean()) / y[:, 0].std(correction=0)
        theirs = top_by_hand(qLogExpectedImprovement(model, best, sampler=sampler), 3, seed=3)
    assert ours.shape == (3, 4)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_points_far_from_samples_are_those_of_botorchs_constrained_improvement() -> None:
    from botorch.acquisition.analytic import LogConstrainedExpectedImprovement

    x, y = data()
    mean, sd = y.mean(0), y.std(0, correction=0)
    ends = torch.tensor([[1.0, 1.5]], dtype=torch.float64)
    with alone(3):
        ours = Surrogate.fitted(x, y, {}).farthest(Hunt(UNIT, 32, 2, 7, 3), 2, ends)
    with alone(9):
        model = fitted_by_hand(x, y)
        low, high = ((ends[0] - mean[0]) / sd[0]).tolist()
        zero = -mean[1] / sd[1]
        first = LogConstrainedExpectedImprovement(model, zero, 1, {0: (low, high)})
        one = top_by_hand(first, 1, seed=3)
        # the second point takes the first for a sample: as expected, and at distance 0
        hope = torch.stack([model.posterior(one).mean[0, 0], zero]).unsqueeze(0).detach()
        after = model.condition_on_observations(one, hope)
        second = LogConstrainedExpectedImprovement(after, zero, 1, {0: (low, high)})
        theirs = torch.cat([one, top_by_hand(second, 1, seed=3)])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)
    assert (ours[0] - ours[1]).norm() > 0.1


def test_the_chance_to_be_inside_is_botorchs() -> None:
    from botorch.acquisition.logei import qLogProbabilityOfFeasibility
    from botorch.sampling import SobolQMCNormalSampler

    x, y = data()
    y = y[:, :1]
    with alone(3):
        ends = torch.tensor([[1.0, 1.5]], dtype=torch.float64)
        ours = Surrogate.fitted(x, y, {}).feasible(Hunt(UNIT, 32, 2, 7, 3), 2, ends)
    with alone(9):
        model = fitted_by_hand(x, y)
        low, high = ((end - y.mean()) / y.std(correction=0) for end in (1.0, 1.5))
        sides = [lambda s: low - s[..., 0], lambda s: s[..., 0] - high]
        sampler = SobolQMCNormalSampler(torch.Size([64]), seed=3)
        theirs = top_by_hand(qLogProbabilityOfFeasibility(model, sides, sampler), 2, seed=3)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_a_fit_goes_on_from_the_one_before() -> None:
    x, y = data()
    with alone(0):
        once = Surrogate.fitted(x, y, {})
        twice = Surrogate.fitted(x, y, once.parameters)
        other = Surrogate.fitted(x, y[:, :1], once.parameters)  # of other outcomes: not used
        fresh = Surrogate.fitted(x, y[:, :1], {})
    moved = [(a - twice.parameters[k]).abs().max() for k, a in once.parameters.items()]
    assert max(moved) > 0
    for name, value in other.parameters.items():
        assert torch.equal(value, fresh.parameters[name])


def test_nothing_is_drawn_of_a_persons_random_numbers() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    run(Bayesian(K=2, n=2, goal="max", evaluations=20), slab())
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("goal", ["max", "min"])
def test_the_corner_of_the_cube_is_found(goal: str) -> None:
    w = linear()
    ended = run(Bayesian(K=4, n=2, goal=goal, evaluations=48), slab())
    assert ended.status is Status.REACHED
    assert ended.meter.forwards == 2 * 48
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    best = w.clamp_min(0).sum() if goal == "max" else w.clamp_max(0).sum()
    torch.testing.assert_close(kept["f"], best.expand(2, 1), atol=0.02, rtol=0)
    assert kept["parent"].tolist() == [0, 1]


def test_the_trust_region_finds_the_corner_along_many_numbers() -> None:
    ended = run(Bayesian(K=5, n=1, goal="max", evaluations=150), slab(dim=16))
    assert ended.kept is not None
    best = linear(16).clamp_min(0).sum()
    start = slab(dim=16).look(cube(16).sample(150, seeded())).f.max()
    found = ended.kept.trimmed()["f"].item()
    assert best - found < 0.02 * (best - start)


def test_samples_of_a_range_are_far_apart_and_most_proposals_are_samples() -> None:
    target = slab(1.5, 1.6)
    draws = uniform(100_000, 8, seed=9)
    rare = draws[target.inside(target.look(draws).f)]
    assert len(rare) == 12  # one draw in 8,000
    ended = run(Bayesian(K=5, n=20, initial=20), slab(1.5, 1.6))
    assert ended.status is Status.REACHED
    assert ended.meter.forwards <= 20 + 2 * 20
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    spread, drawn = (
        torch.cdist(x, x).fill_diagonal_(torch.inf).amin(1).mean() for x in (kept["e"][:12], rare)
    )
    assert spread > drawn
    assert set(kept["origin"].tolist()) <= {0, 1}


def test_two_ranges_at_once() -> None:
    w = linear(8, 2, seed=5)
    target = plain_set(lambda c: c @ w, [(0.2, 0.6), (-0.3, 0.1)], cube())
    ended = run(Bayesian(K=5, n=10), target)
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    assert target.range.contains(ended.kept.trimmed()["f"]).all()


def test_a_search_ends_after_its_evaluations_and_another_begins_elsewhere() -> None:
    sampler = Bayesian(K=4, n=40, initial=6, evaluations=10, subspace="random:3")
    target = slab()
    rng = seeded()
    state: Search | None = sampler.init(target, rng)
    sizes, numbers = [], []
    first = None
    for _ in range(6):
        assert state is not None
        state, offer = sampler.step(target, state, rng)
        sizes.append(len(offer.seen.u))
        numbers.append(state.number)
        first = state.subspace if first is None else first
        state = sampler.turn(state, False, 40)
    # the draws in whole batches, then proposals; never more than 10 codes in a model
    assert sizes == [4, 4, 2, 4, 4, 2]
    assert numbers == [0, 0, 0, 1, 1, 1]
    assert state is not None
    assert first is not None
    assert not torch.allclose(state.subspace.directions, first.directions)


def test_success_is_a_sample_or_a_smaller_loss() -> None:
    sampler = Bayesian(K=2, n=2)
    state = sampler.init(slab(), seeded())
    object.__setattr__(state, "loss", torch.tensor([4.0, 2.0]))
    none = torch.tensor([False])
    assert not sampler._success(state, torch.tensor([1.9985]), none)
    assert sampler._success(state, torch.tensor([1.9975]), none)
    assert sampler._success(state, torch.tensor([9.0]), ~none)


@pytest.mark.parametrize("text", ["pca", "pca:0", "random:-1", "none:3", "umap:2", "pca:²"])
def test_subspaces_that_there_are_not(text: str) -> None:
    with pytest.raises(InvsetError, match=r"sampler\.subspace is auto, none, pca:16 or random:16"):
        Bayesian(subspace=text)


def test_a_subspace_larger_than_the_codes() -> None:
    with pytest.raises(InvsetError, match="more than the 8 numbers of a code"):
        run(Bayesian(subspace="pca:9"), slab())


def test_an_unreachable_range_gives_up() -> None:
    sampler = Bayesian(K=5, n=5, evaluations=20, patience=2, draws=32, climb=0)
    ended = run(sampler, slab(50, 60))
    assert ended.status is Status.UNREACHABLE
    assert ended.meter.forwards == 40
    assert sampler.limits() == Limits(1000, 8)


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("botorch"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvsetError, match=r"type pip install 'invset\[bo\]'"):
        run(Bayesian(), slab())

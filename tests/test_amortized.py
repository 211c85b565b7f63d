"""The network that proposes: its training by hand, a linear case whose answer is known, and what
may be a sample.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import cube, linear, normal, plain_set, run, seeded, tanh_net
from torch import Tensor

from invset.core.ranges import ActivationRange
from invset.core.space import CodePrior, Free
from invset.core.target import Target
from invset.samplers.amortized import EDGE, Amortized, Proposer
from invset.samplers.base import Limits, Status
from invset.samplers.drive import drive

W = linear()


def slab(z1: float = 0.9, z2: float = 1.2) -> Target:
    return plain_set(lambda c: c @ W, [(z1, z2)], cube())


def anything() -> Target:
    ends = torch.full((1,), torch.inf, dtype=torch.float64)
    return replace(slab(), range=ActivationRange(-ends, ends))


def network(theta: Tensor, x: Tensor, hidden: int) -> Tensor:
    """Three layers, whose matrices come first and then their biases."""
    sizes = [(x.shape[1], hidden), (hidden, hidden), (hidden, x.shape[1] - 1)]
    first, second, third, *biases = theta.split([a * b for a, b in sizes] + [b for _, b in sizes])
    y = torch.tanh(x @ first.view(sizes[0]) + biases[0])
    y = torch.tanh(y @ second.view(sizes[1]) + biases[1])
    return y @ third.view(sizes[2]) + biases[2]


@pytest.mark.parametrize("goal", ["range", "min"])
def test_training_steps_by_hand(goal: str) -> None:
    """Three steps, differentiated from end to end, by PyTorch's own Adam."""
    f = tanh_net(p=1)
    target = plain_set(f, [(0.1, 0.3)], Free(normal(300, 8, seed=5)))
    if goal == "min":
        target = replace(target, range=anything().range)
    sampler = Amortized(K=5, n=5, steps=4, hidden=6, goal=goal, diversity=0.3, ratio=0.9)
    state = sampler.init(target, seeded())
    theta = state.theta[0].clone().requires_grad_(True)
    start = cube_free(target, 256)
    torch.testing.assert_close(state.middle, start.mean(0))
    unit = f(start[:5]).std(correction=0) if goal == "min" else 1.0
    rule = torch.optim.Adam([theta], lr=0.01, eps=1e-30)
    rng, mine = seeded(3), seeded(3)
    for number in range(3):
        noise = target.space.sample(5, mine)
        half = torch.rand(3, 1, generator=mine).double()
        t = (1 - 2 * EDGE) * (2 * torch.cat([half, half[:2]]) - 1) * (goal == "range")
        h = noise + network(theta, torch.cat([t, noise - start.mean(0)], 1), 6)
        miss = ((f(h) - (0.2 + 0.1 * t)) / 0.2).square() if goal == "range" else f(h) / unit
        pairs = [(0, 3), (1, 4)]
        ratios = [(h[i] - h[j]).norm() / (noise[i] - noise[j]).norm() for i, j in pairs]
        spread = sum(one.clamp_max(0.9) for one in ratios) / 2
        rule.param_groups[0]["lr"] = 0.01 * (1 - number / 4)
        rule.zero_grad()
        (miss.mean() - 0.3 * spread).backward()
        rule.step()
        state, offer = sampler.step(target, state, rng)
        assert offer.log is not None
        torch.testing.assert_close(offer.seen.u, h.detach())
        torch.testing.assert_close(offer.log, torch.stack([miss.mean(), spread]).detach())
        torch.testing.assert_close(state.theta[0], theta.detach(), rtol=1e-6, atol=1e-8)


def cube_free(target: Target, count: int) -> Tensor:
    """The first draws of a run with seed 0."""
    return target.space.sample(count, seeded())


def test_a_step_outside_of_the_region_by_hand() -> None:
    """The slope at the projection, and twice the way back to it."""
    sampler = Amortized(K=2, n=2, hidden=3, goal="max", diversity=0.0)
    target = anything()
    state = sampler.init(target, seeded())
    state = replace(state, theta=normal(*state.theta.shape, seed=4))
    noise = target.space.sample(2, seeded(9))
    zeros = torch.zeros(2, 1, dtype=torch.float64)
    theta = state.theta.clone().requires_grad_(True)
    h = sampler.propose(target, state, theta, zeros, noise)
    u = h.detach().clamp(0, 1)
    assert (h != u).any()
    slope = -W[:, 0] / state.unit / 2 + (h.detach() - u) / target.space.scale**2
    (by_hand,) = torch.autograd.grad(h, theta, slope)
    _, _, after = sampler._learnt(target, state, zeros, noise)
    # at its first step Adam's average is (1 - beta1) times the gradient
    torch.testing.assert_close(after.memory["m"], 0.1 * by_hand)


def test_a_linear_unit_on_natural_codes_has_a_known_answer() -> None:
    """f = w·c: of the noise, h has to drop what lies along w, and put t there."""
    w = (W / W.norm()).float()
    target = plain_set(lambda c: c @ w, [(0.5, 1.5)], CodePrior.gaussian(8))
    sampler = Amortized(K=64, n=64, steps=600, hidden=32)
    rng = seeded()
    state = sampler.init(target, rng)
    for _ in range(600):
        state, _ = sampler.step(target, state, rng)
    noise = target.space.sample(500, seeded(7))
    t = torch.linspace(-0.8, 0.8, 500).unsqueeze(1)
    h = sampler.propose(target, state, state.theta, t, noise)
    f = (h @ w)[:, 0]
    design = torch.cat([torch.ones(500, 1), t, noise @ w], 1)
    middle, by_target, by_noise = torch.linalg.lstsq(design, f.unsqueeze(1)).solution[:, 0]
    assert middle.item() == pytest.approx(1.0, abs=0.05)
    assert by_target.item() == pytest.approx(0.5, abs=0.05)
    assert by_noise.item() == pytest.approx(0.0, abs=0.05)
    # across w the noise is as it was
    across = torch.eye(8) - w @ w.T
    ratio = ((h @ across).std(0) / (noise @ across).std(0)).mean()
    assert ratio > 0.85


@pytest.mark.parametrize(("goal", "sign"), [("max", 1.0), ("min", -1.0)])
def test_the_optimum_of_a_linear_unit(goal: str, sign: float) -> None:
    ended = run(Amortized(K=6, n=6, goal=goal, diversity=0.01), anything())
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    best = (sign * W).clamp_min(0).sum()
    assert (sign * kept["f"] > best - 0.05 * W.abs().sum()).all()
    assert kept["parent"].tolist() == list(range(6))
    # 200 training steps and one look at six proposals, and what measures the unit
    assert (ended.meter.forwards, ended.meter.backwards) == (201 * 6 + 6, 200 * 6)


def test_a_trained_network_proposes_what_is_in_range() -> None:
    rows: list[list[float]] = []
    sampler = Amortized(n=100)
    ended = drive(sampler, slab(), seeded(), on_look=lambda _, new: rows.extend(new))
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    assert ((kept["f"] >= 0.9) & (kept["f"] <= 1.2)).all()
    assert kept["step"].min() >= sampler.steps  # none before the training is over
    table = torch.tensor(rows)
    inside = table[:, 5] / sampler.K
    assert inside[200:].mean() > 0.6
    assert inside[:20].mean() < 0.3
    # as far apart as draws of the region that are in range
    draws = torch.rand(20000, 8, generator=seeded(5), dtype=torch.float64)
    f = (draws @ W)[:, 0]
    true = torch.pdist(draws[(f > 0.9) & (f < 1.2)][:100]).mean()
    assert torch.pdist(kept["u"]).mean() > 0.7 * true


def test_without_the_term_noise_is_overlooked() -> None:
    """All proposals for the smallest activation become one, unless they are asked to differ."""
    f = tanh_net(p=1)
    target = replace(plain_set(f, [(0, 1)], cube()), range=anything().range)
    apart = {}
    for weight in (0.0, 1.0):
        sampler = Amortized(K=20, n=20, goal="min", diversity=weight)
        rng = seeded()
        state: Proposer = sampler.init(target, rng)
        for _ in range(sampler.steps + 1):
            state, offer = sampler.step(target, state, rng)
        apart[weight] = torch.pdist(offer.seen.u).mean().item()
    assert apart[1.0] > 2 * apart[0.0]


def test_one_code_at_a_time_has_no_pair() -> None:
    ended = run(Amortized(K=1, n=3), slab())
    assert ended.status is Status.REACHED


def test_an_interrupted_training_for_an_optimum_keeps_its_best() -> None:
    sampler = Amortized(K=4, n=8, goal="max")
    ended = drive(sampler, anything(), seeded(), limits=Limits(code_steps=200))
    assert ended.status is Status.BUDGET
    assert ended.count == 8
    ended = drive(replace(sampler, goal="range"), slab(), seeded(), limits=Limits(code_steps=200))
    assert (ended.status, ended.count) == (Status.BUDGET, 0)


def test_bounds_of_options() -> None:
    bad: dict[str, Any] = {"steps": 0, "hidden": 0, "diversity": -1, "ratio": 0, "goal": "up"}
    for key, value in bad.items():
        with pytest.raises(Exception, match=f"sampler.{key}|goal must be"):
            Amortized(**{key: value})

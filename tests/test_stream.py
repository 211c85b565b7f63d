"""The stream of codes: the slab of section 3.1, levels, intersections, and what must not change its
way.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import cube, linear, mean_distance, plain_set, run, seeded, tanh_net, uniform
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from invset.core.space import CodePrior
from invset.core.target import InverseSet
from invset.errors import InvsetError
from invset.samplers.base import State, Status
from invset.samplers.stream import MARGIN, Stream, _along, _goal

STEPS = ["gauss_newton", "multipliers"]


def levels(target: InverseSet, state: State) -> Tensor:
    """Levels of the codes in flight, in activation units."""
    return target.range.z1 + (MARGIN + (1 - 2 * MARGIN) * state.extra["level"]) * target.range.width


def exact_samples(target: InverseSet, dim: int = 8) -> Tensor:
    """Uniform samples of the inverse set in the unit cube, by rejection."""
    x = uniform(20000, dim, seed=9)
    return x[target.range.contains(target(x)[0])]


@pytest.mark.parametrize("walk", [0.8, 1.0])
@pytest.mark.parametrize("step", STEPS)
def test_slab_of_a_linear_unit(step: str, walk: float) -> None:
    w = linear()
    target = plain_set(lambda c: c @ w, [(0.0, 0.5)], cube())
    state = run(Stream(K=10, n=200, step=step, diversity=0.0, walk=walk), target)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
    assert len(kept["u"]) == 200
    assert target.range.contains(kept["u"] @ w).all()
    assert (kept["u"] == kept["u"].clamp(0, 1)).all()
    assert kept["f"].min() < 0.025  # both faces, to a twentieth
    assert kept["f"].max() > 0.475
    assert target.range.coverage(kept["f"]) == 1.0
    # as far apart as uniform samples of the slab; mixtures of uniform numbers, cut at the cube's
    # faces, spread a little less
    assert mean_distance(kept["u"]) == pytest.approx(
        mean_distance(exact_samples(target)[:1000]), rel=0.1 if walk == 1 else 0.15
    )
    # and in the same place, to 0.12 (a uniform coordinate's deviation is 0.29)
    assert (kept["u"].mean(0) - exact_samples(target).mean(0)).abs().max() < 0.12


@pytest.mark.parametrize("step", STEPS)
def test_half_space_of_a_logistic_unit(step: str) -> None:
    w = linear()
    target = plain_set(lambda c: torch.sigmoid(4 * (c - 0.5) @ w), [(0.8, 1.0)], cube())
    state = run(Stream(K=10, n=200, step=step, diversity=0.0), target)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
    # the half-space w x + c >= logit(z1) of section 3.1
    assert (4 * (kept["u"] - 0.5) @ w >= torch.logit(torch.tensor(0.8, dtype=torch.float64))).all()
    assert target.range.coverage(kept["f"]) == 1.0
    assert mean_distance(kept["u"]) == pytest.approx(
        mean_distance(exact_samples(target)[:1000]), rel=0.1
    )


@pytest.mark.parametrize("step", STEPS)
def test_three_neurons_at_once(step: str) -> None:
    f = tanh_net()
    middle = f(uniform(2000, 8, seed=5)).median(0).values
    target = plain_set(f, [(m - 0.1, m + 0.1) for m in middle.tolist()], cube())
    state = run(Stream(K=10, n=100, step=step), target)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
    assert target.range.contains(f(kept["u"])).all()
    torch.testing.assert_close(f(kept["u"]), kept["f"])
    assert target.range.coverage(kept["f"]) > 0.9


def test_one_step_solves_a_linear_unit() -> None:
    # without bounds, and with a penalty that is hard from the start, the first step arrives
    w = linear()
    region = replace(cube(), low=-1e9, high=1e9)
    target = plain_set(lambda c: c @ w, [(0.0, 0.5)], region)
    sampler = Stream(K=10, n=100, mu0=1e6, longest=1e9, relaxation=1.0, diversity=0.0)
    state = sampler.init(target, seeded())
    level = levels(target, state)
    state, _ = sampler._step(target, state, seeded(5))
    leaves = state.extra["age"] == 0
    assert (~leaves).any()
    torch.testing.assert_close((state.u @ w)[~leaves], level[~leaves], atol=1e-4, rtol=0)


def test_codes_stay_in_the_natural_region() -> None:
    prior = CodePrior.gaussian(8)
    w = linear().float()
    f_max = (w.norm() * prior.radius).item()
    target = plain_set(lambda c: c @ w, [(0.97 * f_max, 0.99 * f_max)], prior)
    # nearly the largest activation of the ball: on the sphere, where steps that are not tangent are
    # undone by the projection
    state = run(Stream(K=10, n=50), target)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
    assert (kept["u"].norm(dim=1) <= prior.radius * (1 + 1e-5)).all()
    assert target.range.contains(kept["u"] @ w).all()
    assert state.code_steps < 20 * 50


def test_along_changes_no_activation() -> None:
    rows, push = uniform(4, 2, 6), uniform(4, 6, seed=1)
    free = _along(rows, push)
    torch.testing.assert_close(
        (rows @ free.unsqueeze(2)).squeeze(2),
        torch.zeros(4, 2, dtype=torch.float64),
        atol=1e-4,
        rtol=0,
    )
    torch.testing.assert_close(free.square().mean(1).sqrt(), torch.ones(4, dtype=torch.float64))
    assert ((free * push).sum(1) > 0).all()


@pytest.mark.parametrize("step", STEPS)
def test_diversity_spreads_the_samples(step: str) -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    without, spread = (
        mean_distance(run(Stream(K=10, n=200, step=step, diversity=d), target).kept.trimmed()["u"])
        for d in (0.0, 0.2 if step == "gauss_newton" else 30.0)
    )
    assert spread > 1.05 * without


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("diversity", [0.0, 0.1])
@pytest.mark.parametrize(("scale", "shift"), [(100.0, 0.0), (0.01, 0.0), (1.0, 50.0)])
def test_units_of_f_do_not_matter(step: str, diversity: float, scale: float, shift: float) -> None:
    f = tanh_net(p=2)
    ends = [(0.1, 0.3), (-0.3, 0.2)]
    plain = plain_set(f, ends, cube())
    other = plain_set(
        lambda c: scale * f(c) + shift,
        [(scale * a + shift, scale * b + shift) for a, b in ends],
        cube(),
    )
    sampler = Stream(K=5, n=50, step=step, diversity=diversity)
    a, b = sampler.init(plain, seeded()), sampler.init(other, seeded())
    draws = seeded(1), seeded(1)
    for _ in range(6):
        a, b = (
            sampler.round(t, s, rng)[0]
            for t, s, rng in zip((plain, other), (a, b), draws, strict=True)
        )
        torch.testing.assert_close(a.u, b.u, rtol=1e-6, atol=1e-8)
    assert a.kept.count == b.kept.count > 0


@pytest.mark.parametrize("step", STEPS)
def test_order_of_the_codes_does_not_matter_to_a_step(step: str) -> None:
    target, order = (
        plain_set(tanh_net(p=2), [(5.0, 6.0), (-6.0, -5.0)], cube()),
        torch.tensor([2, 0, 4, 1, 3]),
    )
    sampler = Stream(K=5, n=50, step=step, diversity=0.1)  # nobody arrives, so nobody is replaced
    a = sampler.init(target, seeded())
    b = replace(
        a,
        u=a.u[order],
        extra={**a.extra, **{name: a.extra[name][order] for name in ("ticket", "level")}},
    )
    for _ in range(2):
        a, b = (sampler.round(target, s, seeded())[0] for s in (a, b))
    torch.testing.assert_close(b.u, a.u[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("step", STEPS)
def test_who_arrives_is_replaced_and_the_next_level_is_dealt_out(step: str) -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    sampler = Stream(K=10, n=1000, step=step, inner_steps=2, walk=1.0)
    state, rng = sampler.init(target, seeded()), seeded(1)
    for _ in range(20):
        before = state
        state, _ = sampler._step(target, state, rng)
        arrived = int(state.kept.count) - int(before.kept.count)
        new = state.extra["age"] == 0
        assert int(new.sum()) == arrived
        assert not state.extra["lambda_"][new].any()
        assert not any(memory[new].any() for memory in state.extra["memory"].values())
        assert int(state.extra["next_ticket"]) == 10 + int(state.kept.count)
        assert len(set(state.extra["ticket"].tolist())) == 10
    assert int(state.kept.count) > 0
    parents = state.kept.trimmed()["parent"].tolist()
    assert len(set(parents)) == len(parents)  # no level twice
    assert set(parents) | set(state.extra["ticket"].tolist()) == set(
        range(int(state.extra["next_ticket"]))
    )  # and none lost


def test_no_more_codes_are_in_flight_than_samples_are_wanted() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    sampler = Stream(K=10, n=23)
    state, rng = sampler.init(target, seeded()), seeded(1)
    while state.status is Status.RUNNING:
        before = state
        state, rows = sampler.round(target, state, rng)
        assert state.code_steps - before.code_steps == len(before.u) * len(rows)
        if state.status is Status.RUNNING:
            assert len(state.u) == min(10, 23 - int(state.kept.count))
            oldest = state.extra["age"].sort(descending=True).values
            assert len(state.u) == 10 or oldest.tolist() == sorted(oldest.tolist(), reverse=True)
    assert len(state.kept.trimmed()["u"]) == 23


def test_a_walk_of_a_linear_unit_ends_at_the_next_level() -> None:
    # its slope is the same everywhere: what the walk does to f is known, and no second pass is
    # needed
    target = plain_set(
        lambda c: c @ linear(), [(0.0, 0.5)], replace(cube(), low=-math.inf, high=math.inf)
    )
    sampler = Stream(K=10, n=500, longest=9.0)
    state, rng = sampler.init(target, seeded()), seeded(1)
    draws, walks = state.extra["draw"], 0
    for _ in range(40):
        walked = state.extra["walked"] & (state.extra["age"] == 0)
        place = target(state.u)[0] / 0.5
        torch.testing.assert_close(
            place[walked], _goal(state.extra["level"])[walked], rtol=0, atol=1e-5
        )
        torch.testing.assert_close(
            state.extra["promised"][walked], place[walked], rtol=0, atol=1e-5
        )
        walks += int(walked.sum())
        before = state.u
        state, _ = sampler._step(target, state, rng)
    assert walks > 200
    assert (state.u - before).norm(dim=1).mean() > 0.6  # a long way: draws are 1.1 apart
    assert torch.equal(state.extra["draw"], draws)  # nobody had to start anew
    assert set(state.kept.trimmed()["parent"].tolist()) == set(range(10))


def test_walks_take_fewer_steps_and_lose_no_spread() -> None:
    f = tanh_net(p=1)
    ends = (
        f(uniform(2000, 8, seed=5))
        .quantile(torch.tensor([0.9, 0.99], dtype=torch.float64), dim=0)
        .T.tolist()
    )
    target = plain_set(f, [(z1, z2) for z1, z2 in ends], cube())
    anew, walk = (run(Stream(K=10, n=300, walk=share), target) for share in (1.0, 0.8))
    assert walk.code_steps < 0.9 * anew.code_steps
    spread = [mean_distance(state.kept.trimmed()["u"]) for state in (anew, walk)]
    assert spread[1] > 0.9 * spread[0]


def test_who_does_not_arrive_starts_anew_once_and_then_gives_its_level_up() -> None:
    target = plain_set(lambda c: c @ linear(), [(100.0, 101.0)], cube())
    sampler = Stream(K=3, n=10, max_age=4)
    state, rng, tickets = sampler.init(target, seeded()), seeded(1), []
    for _ in range(12):
        tickets.append(state.extra["ticket"].tolist())
        state, _ = sampler._step(target, state, rng)
    assert tickets == [[0, 1, 2]] * 8 + [[3, 4, 5]] * 4


def test_multipliers_of_a_level_by_hand() -> None:
    target = plain_set(lambda c: c @ linear(), [(100.0, 101.0)], cube())
    sampler = Stream(
        K=3, n=10, step="multipliers", mu0=2.0, alpha=3.0, inner_steps=2, diversity=0.0
    )
    state, expected = sampler.init(target, seeded()), torch.zeros(3, 1, dtype=torch.float64)
    level = levels(target, state)
    for age in range(6):
        residual = (target(state.u)[0] - level) / 1.0
        if age % 2 == 1:
            expected = expected - 2.0 * 3.0 ** (age // 2) * residual
        state, _ = sampler._step(target, state, seeded())
        torch.testing.assert_close(state.extra["lambda_"], expected)


def test_first_step_of_the_multipliers_by_hand() -> None:
    w = linear()
    target = plain_set(lambda c: c @ w, [(100.0, 101.0)], replace(cube(), low=-1e9, high=1e9))
    sampler = Stream(K=3, n=10, step="multipliers", lr=0.1, diversity=0.0)
    state = sampler.init(target, seeded())
    after, _ = sampler._step(target, state, seeded())
    # Adam's first step is lr times the gradient's sign: up along w, as f is below its level
    torch.testing.assert_close(after.u, state.u + 0.1 * target.region.scale * w.T.sign())


def test_penalty_grows_with_a_codes_age() -> None:
    target = plain_set(lambda c: c @ linear(), [(100.0, 101.0)], cube())
    sampler = Stream(K=3, n=30, mu0=2.0, alpha=3.0, inner_steps=2, mu_max=50.0)
    _, rows = sampler.round(target, sampler.init(target, seeded()), seeded())
    assert rows[:, Stream.columns.index("mu")].tolist() == [2, 2, 6, 6, 18]
    _, rows = replace(sampler, round_steps=8).round(
        target, sampler.init(target, seeded()), seeded()
    )
    assert rows[-1, Stream.columns.index("mu")] == 50


def test_unknown_step_is_refused() -> None:
    with pytest.raises(InvsetError, match=r"sampler\.step must be"):
        Stream(step="newton")


# thousands of codes at a time


class Sizes(TorchDispatchMode):
    """How many operations ran, and the largest tensor that one of them made."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.largest = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.count += 1
        made = [
            x.numel()
            for x in (out if isinstance(out, (tuple, list)) else [out])
            if isinstance(x, Tensor)
        ]
        self.largest = max(self.largest, *made) if made else self.largest
        return out


@pytest.mark.parametrize("step", STEPS)
def test_a_step_costs_in_proportion_to_the_codes(step: str) -> None:
    target = plain_set(tanh_net(p=2), [(0.1, 0.3), (-0.2, 0.1)], CodePrior.gaussian(8))
    target = replace(target, evaluate=lambda c: (tanh_net(p=2)(c.double()).float(), c))
    counts = {}
    for K in (10, 2000):
        sampler = Stream(K=K, n=5000, step=step, diversity=0.1)
        state, rng = sampler.init(target, seeded()), seeded()
        state, _ = sampler._step(target, state, rng)
        with Sizes() as sizes:
            sampler._step(target, state, rng)
        counts[K] = sizes.count
        assert sizes.largest <= max(
            5001 * 8, K * 2 * 20
        )  # the samples' buffer; places in tenths; never K²
    assert counts[10] == counts[2000]  # nothing is done code by code


@pytest.mark.parametrize("p", [1, 2])
def test_thousands_of_codes_need_no_more_steps_a_sample(p: int) -> None:
    f, dim = tanh_net(p=p), 8
    ends = (
        f(uniform(2000, dim, seed=5))
        .quantile(torch.tensor([0.6, 0.9], dtype=torch.float64), dim=0)
        .T.tolist()
    )
    target = plain_set(f, [(z1, z2) for z1, z2 in ends], replace(cube(), start=uniform(20000, dim)))
    few, many = run(Stream(K=10, n=3000), target), run(Stream(K=300, n=3000), target)
    assert few.status is many.status is Status.REACHED
    assert many.code_steps < 1.25 * few.code_steps
    assert many.steps < few.steps / 15
    kept = many.kept.trimmed()
    assert target.range.contains(kept["f"]).all()
    counts = torch.stack(
        [
            torch.histc((kept["f"][:, j] - z1) / (z2 - z1), 10, 0, 1)
            for j, (z1, z2) in enumerate(ends)
        ]
    )
    assert counts.min() > 0.8 * 300  # every tenth of each range
    assert torch.pdist(kept["u"][::3]).min() > 0


def test_as_many_codes_as_samples() -> None:
    target = plain_set(
        lambda c: c @ linear(), [(0.0, 0.5)], replace(cube(), start=uniform(20000, 8))
    )
    state = run(Stream(K=2000, n=2000), target)
    assert state.status is Status.REACHED
    assert state.code_steps <= 3 * 2000

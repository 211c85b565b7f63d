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

from invset.core.gauss_newton import along
from invset.core.levels import goal
from invset.core.ranges import MARGIN
from invset.core.space import CodePrior
from invset.core.target import Target
from invset.samplers.base import Status
from invset.samplers.drive import Run, drive
from invset.samplers.stream import Stream, StreamState


def levels(target: Target, state: StreamState) -> Tensor:
    """Levels of the codes in flight, in activation units."""
    return target.range.z1 + (MARGIN + (1 - 2 * MARGIN) * state.flight.level) * target.range.width


def exact_samples(target: Target, dim: int = 8) -> Tensor:
    """Uniform samples of the inverse set in the unit cube, by rejection."""
    x = uniform(20000, dim, seed=9)
    return x[target.range.contains(target.look(x).f)]


@pytest.mark.parametrize("walk", [0.8, 1.0])
def test_slab_of_a_linear_unit(walk: float) -> None:
    w = linear()
    target = plain_set(lambda c: c @ w, [(0.0, 0.5)], cube())
    state = run(Stream(K=10, n=200, diversity=0.0, walk=walk), target)
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


def test_half_space_of_a_logistic_unit() -> None:
    w = linear()
    target = plain_set(lambda c: torch.sigmoid(4 * (c - 0.5) @ w), [(0.8, 1.0)], cube())
    state = run(Stream(K=10, n=200, diversity=0.0), target)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
    # the half-space w x + c >= logit(z1) of section 3.1
    assert (4 * (kept["u"] - 0.5) @ w >= torch.logit(torch.tensor(0.8, dtype=torch.float64))).all()
    assert target.range.coverage(kept["f"]) == 1.0
    assert mean_distance(kept["u"]) == pytest.approx(
        mean_distance(exact_samples(target)[:1000]), rel=0.1
    )


def test_three_neurons_at_once() -> None:
    f = tanh_net()
    middle = f(uniform(2000, 8, seed=5)).median(0).values
    target = plain_set(f, [(m - 0.1, m + 0.1) for m in middle.tolist()], cube())
    state = run(Stream(K=10, n=100), target)
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
    state, _ = sampler.step(target, state, seeded(5))
    leaves = state.flight.age == 0
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
    assert state.meter.code_steps < 20 * 50


def test_along_changes_no_activation() -> None:
    rows, push = uniform(4, 2, 6), uniform(4, 6, seed=1)
    free = along(rows, push)
    torch.testing.assert_close(
        (rows @ free.unsqueeze(2)).squeeze(2),
        torch.zeros(4, 2, dtype=torch.float64),
        atol=1e-4,
        rtol=0,
    )
    torch.testing.assert_close(free.square().mean(1).sqrt(), torch.ones(4, dtype=torch.float64))
    assert ((free * push).sum(1) > 0).all()


def test_diversity_spreads_the_samples() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    without, spread = (
        mean_distance(run(Stream(K=10, n=200, diversity=d), target).kept.trimmed()["u"])
        for d in (0.0, 0.2)
    )
    assert spread > 1.05 * without


@pytest.mark.parametrize("diversity", [0.0, 0.1])
@pytest.mark.parametrize(("scale", "shift"), [(100.0, 0.0), (0.01, 0.0), (1.0, 50.0)])
def test_units_of_f_do_not_matter(diversity: float, scale: float, shift: float) -> None:
    f = tanh_net(p=2)
    ends = [(0.1, 0.3), (-0.3, 0.2)]
    plain = plain_set(f, ends, cube())
    other = plain_set(
        lambda c: scale * f(c) + shift,
        [(scale * a + shift, scale * b + shift) for a, b in ends],
        cube(),
    )
    sampler = Stream(K=5, n=50, diversity=diversity)
    states = [sampler.init(plain, seeded()), sampler.init(other, seeded())]
    draws = [seeded(1), seeded(1)]
    chosen = 0
    for _ in range(30):
        pairs = zip((plain, other), states, draws, strict=True)
        (a, offer), (b, same) = (sampler.step(target, state, rng) for target, state, rng in pairs)
        torch.testing.assert_close(a.u, b.u, rtol=1e-6, atol=1e-8)
        assert torch.equal(offer.chosen, same.chosen)
        chosen += int(offer.chosen.sum())
        states = [a, b]
    assert chosen > 0


def test_order_of_the_codes_does_not_matter_to_a_step() -> None:
    target, order = (
        plain_set(tanh_net(p=2), [(5.0, 6.0), (-6.0, -5.0)], cube()),
        torch.tensor([2, 0, 4, 1, 3]),
    )
    sampler = Stream(K=5, n=50, diversity=0.1)  # nobody arrives, so nobody is replaced
    a = sampler.init(target, seeded())
    flight = replace(a.flight, ticket=a.flight.ticket[order], level=a.flight.level[order])
    b = replace(a, u=a.u[order], flight=flight)
    for _ in range(6):
        a, b = (sampler.step(target, s, seeded())[0] for s in (a, b))
    torch.testing.assert_close(b.u, a.u[order], rtol=1e-9, atol=1e-12)


def test_who_arrives_is_replaced_and_the_next_level_is_dealt_out() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    sampler = Stream(K=10, n=1000, inner_steps=2, walk=1.0)
    state, rng = sampler.init(target, seeded()), seeded(1)
    parents: list[int] = []
    for _ in range(20):
        state, offer = sampler.step(target, state, rng)
        assert offer.chosen is not None
        new = state.flight.age == 0
        assert torch.equal(new, offer.chosen)
        parents += offer.parent[offer.chosen].tolist()
        assert int(state.next_ticket) == 10 + len(parents)
        assert len(set(state.flight.ticket.tolist())) == 10
    assert parents
    assert len(set(parents)) == len(parents)  # no level twice
    assert set(parents) | set(state.flight.ticket.tolist()) == set(
        range(int(state.next_ticket))
    )  # and none lost


def test_no_more_codes_are_in_flight_than_samples_are_wanted() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    sampler = Stream(K=10, n=23)
    flying: list[tuple[int, int]] = []

    def on_look(run: Run[StreamState], rows: list[list[float]]) -> None:
        flying.append((len(run.state.u), run.count))
        assert len(rows) <= 5

    state = drive(sampler, target, seeded(), on_look=on_look)
    assert all(codes == min(10, 23 - count) for codes, count in flying[:-1])
    assert flying[-1][1] == state.count == 23


def test_the_codes_that_stay_are_the_oldest() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    sampler = Stream(K=6, n=23)
    state = sampler.init(target, seeded())
    age = torch.tensor([3.0, 1.0, 5.0, 1.0, 0.0, 5.0], dtype=torch.float64)
    state = replace(state, flight=replace(state.flight, age=age))
    stays = sampler.turn(state, False, 3)
    assert stays.flight.age.tolist() == [3, 5, 5]
    assert torch.equal(stays.u, state.u[[0, 2, 5]])


def test_a_walk_of_a_linear_unit_ends_at_the_next_level() -> None:
    # its slope is the same everywhere: what the walk does to f is known, and no second pass is
    # needed
    target = plain_set(
        lambda c: c @ linear(), [(0.0, 0.5)], replace(cube(), low=-math.inf, high=math.inf)
    )
    sampler = Stream(K=10, n=500, longest=9.0)
    state, rng = sampler.init(target, seeded()), seeded(1)
    draws, walks = state.flight.draw, 0
    for _ in range(40):
        walked = state.flight.walked & (state.flight.age == 0)
        place = target.look(state.u).f / 0.5
        torch.testing.assert_close(
            place[walked], goal(state.flight.level)[walked], rtol=0, atol=1e-5
        )
        torch.testing.assert_close(state.flight.promised[walked], place[walked], rtol=0, atol=1e-5)
        walks += int(walked.sum())
        before = state.u
        state, _ = sampler.step(target, state, rng)
    assert walks > 200
    assert (state.u - before).norm(dim=1).mean() > 0.6  # a long way: draws are 1.1 apart
    assert torch.equal(state.flight.draw, draws)  # nobody had to start anew


def test_walks_take_fewer_steps_and_lose_no_spread() -> None:
    f = tanh_net(p=1)
    ends = (
        f(uniform(2000, 8, seed=5))
        .quantile(torch.tensor([0.9, 0.99], dtype=torch.float64), dim=0)
        .T.tolist()
    )
    target = plain_set(f, [(z1, z2) for z1, z2 in ends], cube())
    anew, walk = (run(Stream(K=10, n=300, walk=share), target) for share in (1.0, 0.8))
    assert walk.meter.code_steps < 0.9 * anew.meter.code_steps
    spread = [mean_distance(state.kept.trimmed()["u"]) for state in (anew, walk)]
    assert spread[1] > 0.9 * spread[0]


def test_who_does_not_arrive_starts_anew_once_and_then_gives_its_level_up() -> None:
    target = plain_set(lambda c: c @ linear(), [(100.0, 101.0)], cube())
    sampler = Stream(K=3, n=10, max_age=4)
    state, rng, tickets = sampler.init(target, seeded()), seeded(1), []
    for _ in range(12):
        tickets.append(state.flight.ticket.tolist())
        state, _ = sampler.step(target, state, rng)
    assert tickets == [[0, 1, 2]] * 8 + [[3, 4, 5]] * 4


def test_penalty_grows_with_a_codes_age() -> None:
    target = plain_set(lambda c: c @ linear(), [(100.0, 101.0)], cube())
    sampler = Stream(K=3, n=30, mu0=2.0, alpha=3.0, inner_steps=2, mu_max=50.0)
    state = sampler.init(target, seeded())
    mu = []
    for _ in range(9):
        state, offer = sampler.step(target, state, seeded())
        mu.append(offer.log[[column.name for column in Stream.columns].index("mu")].item())
    assert mu == [2, 2, 6, 6, 18, 18, 50, 50, 50]


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


def test_a_step_costs_in_proportion_to_the_codes() -> None:
    target = plain_set(tanh_net(p=2), [(0.1, 0.3), (-0.2, 0.1)], CodePrior.gaussian(8))
    target = replace(target, evaluate=lambda c: (tanh_net(p=2)(c.double()).float(), c))
    counts = {}
    for K in (10, 2000):
        sampler = Stream(K=K, n=5000, diversity=0.1)
        state, rng = sampler.init(target, seeded()), seeded()
        state, _ = sampler.step(target, state, rng)
        with Sizes() as sizes:
            sampler.step(target, state, rng)
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
    assert many.meter.code_steps < 1.25 * few.meter.code_steps
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
    assert state.meter.forwards <= 3 * 2000 + 1


def test_a_push_every_few_steps_is_a_backward_pass_every_few_steps() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.2, 0.4)], cube())
    every, third = Stream(K=4, n=20), Stream(K=4, n=20, push_every=3)
    first = every.init(target, seeded())
    pushed, _ = every.step(target, first, seeded())
    state, _ = third.step(target, first, seeded())
    assert torch.equal(state.u, pushed.u)  # step 0 is one of them
    before = target.meter.backwards
    for _ in range(6):  # steps 1 to 6, of which 3 and 6 are
        state, _ = third.step(target, state, seeded())
    assert target.meter.backwards - before == 4 * (6 + 2)
    free, _ = replace(every, diversity=0.0).step(target, replace(pushed, steps=1), seeded())
    other, _ = third.step(target, pushed, seeded())
    assert torch.equal(free.u, other.u)

"""Ranges and membership, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from cases import cube, linear, normal, plain_set, tanh_net, uniform
from chain_toy import DIM, UNIT, evaluate
from chain_toy import target as chain_target
from looks import counted

from invset.core.ranges import ActivationRange
from invset.core.space import CodePrior, Free
from invset.core.target import Meter
from invset.errors import InvsetError

#: Activations of two neurons with the ranges [1, 3] and [10, 20].
RANGE = ActivationRange.of([(1, 3), (10, 20)], torch.zeros((), dtype=torch.float64))
F = torch.tensor(
    [[2.0, 15.0], [1.0, 20.0], [0.5, 15.0], [2.0, 22.0], [4.0, 9.0]], dtype=torch.float64
)


def test_width_and_middle() -> None:
    assert RANGE.width.tolist() == [2, 10]
    assert RANGE.middle.tolist() == [2, 15]


def test_contains() -> None:
    assert RANGE.contains(F).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]  # the ends belong to the set
    # the published test asks f >= z1 alone, so 22 passes
    assert RANGE.contains(F, one_sided=True).tolist() == [True, True, False, True, False]
    assert RANGE.contains(torch.tensor([[math.nan, 15.0]])).tolist() == [False]


def test_violation() -> None:
    assert RANGE.violation(F).tolist() == [[0, 0], [0, 0], [0.5, 0], [0, 2], [1, 1]]


def test_coverage() -> None:
    one = ActivationRange.of([(0, 10)])
    # parts 0, 0, 4, 9 (10 belongs to the last), and two that lie outside: three of ten
    f = torch.tensor([[0.0], [0.9], [4.5], [10.0], [-0.1], [10.1]])
    assert one.coverage(f) == pytest.approx(0.3)
    assert one.coverage(f, parts=2) == 1.0  # [0, 5) and [5, 10]
    assert one.coverage(f[:0]) == 0
    # the mean over neurons: two tenths of [1, 3] (1 and 2), two of [10, 20] (15 and 20)
    assert RANGE.coverage(F[:2]) == pytest.approx((0.2 + 0.2) / 2)
    assert one.coverage(torch.linspace(0, 10, 101).unsqueeze(1)) == 1.0


@pytest.mark.parametrize(
    "ends", [(2, 1), (1, 1), (math.nan, 1), (0, math.inf), ("a", 1), (True, 2)]
)
def test_bad_ranges_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(InvsetError, match=r"z1"):
        ActivationRange.of([ends])


def test_a_target_evaluates_the_decoded_codes() -> None:
    target = plain_set(lambda c: c[:, :2] * 3, [(0, 1), (0, 1)], cube(4))
    u = uniform(5, 4, seed=3)
    seen = target.look(u)
    assert target.p == 2
    assert torch.equal(seen.f, u[:, :2] * 3)
    assert torch.equal(seen.e, u)
    assert seen.units is None
    prior = CodePrior(normal(4), torch.eye(4), 1 + uniform(4), torch.tensor(3.0))
    decoded = replace(target, space=prior).look(u)
    torch.testing.assert_close(decoded.e, prior.mean + u * prior.deviation)
    assert torch.equal(decoded.u, u)


def test_only_a_look_with_gradients_keeps_a_graph() -> None:
    target = plain_set(lambda c: c[:, :2] * 3, [(0, 1), (0, 1)], cube(4))
    for already in (False, True):  # whatever the caller does
        with torch.set_grad_enabled(already):
            u = uniform(5, 4, seed=3).requires_grad_()
            plain, graph = target.look(u), target.look(u, grad=True)
        assert not plain.f.requires_grad
        assert not plain.e.requires_grad
        assert graph.f.requires_grad
        assert graph.u.is_leaf
        assert graph.u is not u
        assert not graph.detached().f.requires_grad
        assert torch.equal(graph.detached().f, plain.f)
    assert u.grad is None


def test_slopes_agree_with_finite_differences() -> None:
    f, u, h = tanh_net(dim=6, p=3), normal(4, 6), 1e-6
    target = plain_set(f, [(0, 1)] * 3, Free(u))
    rows = target.slopes(target.look(u, grad=True))
    assert target.meter == Meter(forwards=4, backwards=12)
    for k in range(6):
        e = torch.zeros(6, dtype=torch.float64)
        e[k] = h
        torch.testing.assert_close(
            rows[:, :, k], (f(u + e) - f(u - e)) / (2 * h), rtol=1e-6, atol=1e-8
        )


def test_a_pulled_gradient_by_hand() -> None:
    w, u = linear(8), uniform(5, 8, seed=3)
    target = plain_set(lambda c: (c @ w) ** 2, [(0, 1)], cube())
    seen = target.look(u, grad=True)
    first = target.pull(seen, seen.f.sum(), keep=True)
    torch.testing.assert_close(first, 2 * (u @ w) * w.T)
    # again from the same look, also by what it saw of the encodings, which are the codes
    torch.testing.assert_close(target.pull(seen, seen.f.sum() + seen.e.sum()), first + 1)


def test_the_meter_counts_what_the_networks_see() -> None:
    bare = plain_set(tanh_net(p=3), [(0, 1)] * 3, cube())
    target, seen = counted(bare)
    u = uniform(5, 8, seed=3)
    target.look(u)
    assert target.meter == seen == Meter(5, 0)
    assert target.meter.code_steps == pytest.approx(5 / 3)
    look = target.look(u, grad=True)
    target.pull(look, look.f.sum(), keep=True)
    assert target.meter == seen == Meter(10, 5)
    target.slopes(look)
    assert target.meter == seen == Meter(10, 20)
    assert target.meter.code_steps == pytest.approx((10 + 40) / 3)
    # other ranges of the same neurons, the same meter
    target.at(ActivationRange.of([(2, 3)] * 3, u)).look(u)
    assert target.meter == seen == Meter(15, 20)
    assert target.meter.as_dict() == {"forwards": 15, "backwards": 20, "code_steps": 18.33}


def test_a_meter_goes_on_where_another_is() -> None:
    meter = Meter(3, 4)
    other = meter.copy()
    other.forwards += 1
    assert meter == Meter(3, 4)
    meter.set(other)
    assert meter == Meter(4, 4)
    other.forwards += 1
    assert meter == Meter(4, 4)


def test_units_of_the_layer() -> None:
    target = chain_target()
    u = uniform(5, DIM, seed=3)
    one, all_ = target.look(u), target.look(u, also=("units",))
    units, e = evaluate(u)
    assert one.units is None
    assert all_.units is not None
    for got, expected in ((all_.units, units), (all_.f, units[:, [UNIT]]), (all_.e, e)):
        torch.testing.assert_close(got, expected)
    torch.testing.assert_close(one.f, all_.f)
    assert target.meter == Meter(10, 0)
    with pytest.raises(InvsetError, match=r"takes one neuron.*type sampler=stream"):
        replace(target, layer=None).look(u, also=("units",))

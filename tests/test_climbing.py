"""Samplers that follow a gradient, on a linear unit whose largest and smallest values on the cube
are known, and what they have in common.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import cube, linear, normal, plain_set, run, seeded
from torch import Tensor

from invset.core.ranges import ActivationRange
from invset.core.steps import Adam, Normalized, Plain
from invset.core.target import Layer, Target
from invset.errors import InvsetError
from invset.samplers.activation_maximization import ActivationMaximization
from invset.samplers.base import Limits, Status
from invset.samplers.climbing import Climbing
from invset.samplers.dgn_am import DGNAM
from invset.samplers.drive import drive
from invset.samplers.plain_gradient import PlainGradient

W = linear()
KINDS = (PlainGradient, ActivationMaximization, DGNAM)
kinds = pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
#: Steps that are long enough to come to every corner of the cube.
LONG: dict[Any, dict[str, Any]] = {
    PlainGradient: {"steps": 12, "step_rule": Adam(0.5)},
    ActivationMaximization: {"steps": 12, "step_rule": Normalized(5.0)},
    DGNAM: {"steps": 12, "lr": 5.0, "lr_end": 3.0, "decay": 1.0, "start_at": "region"},
}
#: Steps that are short enough to find a range.
SHORT: dict[Any, dict[str, Any]] = {
    PlainGradient: {"steps": 60},
    ActivationMaximization: {"steps": 60, "step_rule": Normalized(0.1)},
    DGNAM: {"steps": 60, "lr": 0.1, "decay": 1.0, "start_at": "region"},
}


def anything(z1: float = 0.9, z2: float = 1.2) -> Target:
    """A linear unit on the unit cube, with two units beside it."""
    more = torch.cat([W, normal(8, 2, seed=7)], 1)
    target = plain_set(lambda c: c @ W, [(z1, z2)], cube())
    return replace(target, layer=Layer(lambda c: (c @ more, c), 0))


def free() -> Target:
    """The same where nothing is asked of the unit."""
    ends = torch.full((1,), torch.inf, dtype=torch.float64)
    return replace(anything(), range=ActivationRange(-ends, ends))


def long(kind: type[Climbing], **options: Any) -> Climbing:
    return kind(**{"K": 3, "n": 7, **LONG[kind], **options})


def corner(sign: float) -> Tensor:
    """Where sign * f is largest."""
    return (sign * W[:, 0] > 0).double()


@kinds
@pytest.mark.parametrize(("goal", "sign"), [("max", 1.0), ("min", -1.0)])
@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_optimum_of_a_linear_unit(
    kind: type[Climbing], goal: str, sign: float, keep: str
) -> None:
    sampler = long(kind, goal=goal, keep=keep)
    ended = run(sampler, free())
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    torch.testing.assert_close(kept["u"], corner(sign).expand(7, 8), rtol=0, atol=1e-9)
    # three rounds: three starts, three, and the one that was still wanted
    assert kept["parent"].tolist() == list(range(7))
    passes = sampler.last + 1
    assert ended.steps == 3 * passes
    assert (ended.meter.forwards, ended.meter.backwards) == (7 * passes, 7 * (passes - 1))


@kinds
def test_a_range_of_a_linear_unit(kind: type[Climbing]) -> None:
    ended = run(kind(K=3, n=9, **SHORT[kind]), anything())
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    assert ((kept["f"] >= 0.9) & (kept["f"] <= 1.2)).all()
    assert len(set(kept["parent"].tolist())) == 9  # one sample a start
    assert torch.pdist(kept["u"]).min() > 1e-3
    assert ended.steps < 120


@kinds
def test_a_range_that_no_code_reaches_ends(kind: type[Climbing]) -> None:
    sampler = long(kind, steps=10, patience=2)
    ended = run(sampler, anything(50.0, 60.0))
    assert ended.status is Status.UNREACHABLE
    assert ended.steps < 2 * 11 + 5


def test_a_budget_keeps_the_best_so_far() -> None:
    ended = drive(long(PlainGradient, goal="max"), free(), seeded(), limits=Limits(code_steps=20))
    assert ended.status is Status.BUDGET
    assert ended.count == 3
    assert ended.kept is not None
    start = plain_start(3)
    assert (ended.kept.trimmed()["f"] > start @ W).all()


def plain_start(count: int) -> Tensor:
    return cube().sample(count, seeded())


@pytest.mark.parametrize("rule", [Plain(0.3), Adam(0.1), Normalized(0.1)], ids=repr)
def test_plain_steps_by_hand(rule: Any) -> None:
    """u <- P(u + scale * rule(w)), unrolled."""
    sampler = PlainGradient(K=2, n=2, goal="max", keep="last", steps=5, step_rule=rule)
    kept = run(sampler, free()).kept.trimmed()
    u = plain_start(2)
    m = v = torch.zeros_like(u)
    slope = W[:, 0].expand(2, 8)
    for i in range(1, 6):
        if isinstance(rule, Plain):
            step = 0.3 * slope
        elif isinstance(rule, Normalized):
            step = 0.1 * slope / slope.abs().mean(1, keepdim=True)
        else:
            m = 0.9 * m + 0.1 * slope
            v = 0.999 * v + 0.001 * slope**2
            step = 0.1 * (m / (1 - 0.9**i)) / (v / (1 - 0.999**i)).sqrt()
        u = (u + cube().scale * step).clamp(0, 1)
    torch.testing.assert_close(kept["u"], u, rtol=0, atol=1e-12)


def test_memory_of_the_rule_begins_anew_with_a_start() -> None:
    together = PlainGradient(K=1, n=2, goal="max", keep="last", steps=4, step_rule=Adam(0.02))
    kept = run(together, free()).kept.trimmed()
    moves = kept["u"] - torch.cat([kept_start(0), kept_start(1)])
    inside = ((kept["u"] > 0) & (kept["u"] < 1)).all(0)
    assert inside.any()
    # a constant slope moves a fresh Adam by lr each step
    expected = (4 * 0.02 * cube().scale * W[:, 0].sign())[inside].expand(2, -1)
    torch.testing.assert_close(moves[:, inside], expected, rtol=0, atol=1e-9)


def kept_start(number: int) -> Tensor:
    rng = seeded()
    return [cube().sample(1, rng) for _ in range(number + 1)][number]


@kinds
def test_after_softmax(kind: type[Climbing]) -> None:
    """The slope of p_1 = softmax(z)_1 is p_1 (w_1 - Σ p_k w_k)."""
    more = torch.cat([W, normal(8, 2, seed=7)], 1)
    sampler = kind(K=2, n=2, goal="max", after_softmax=True)
    target = free()
    state = sampler.init(target, seeded())
    _, slope = sampler.slope(target, state, seeded())
    p = (state.u @ more).softmax(1)
    by_hand = p[:, :1] * (W[:, 0] - p @ more.T)
    torch.testing.assert_close(slope, -by_hand, rtol=1e-8, atol=1e-12)
    with pytest.raises(InvsetError, match="after_softmax=true follows a probability"):
        run(replace(sampler, goal="range"), anything())
    with pytest.raises(InvsetError, match="one neuron"):
        run(sampler, replace(target, layer=None))


@kinds
def test_an_unknown_goal_is_refused(kind: type[Climbing]) -> None:
    with pytest.raises(InvsetError, match="max or min"):
        kind(goal="most")

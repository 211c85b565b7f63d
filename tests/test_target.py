"""Ranges and membership, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from cases import cube, plain_set, uniform

from invset.core.target import ActivationRange
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
    assert RANGE.contains(F, margin=0.01).tolist() == [True, False, False, False, False]
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


def test_an_inverse_set_evaluates_the_decoded_codes() -> None:
    target = plain_set(lambda c: c[:, :2] * 3, [(0, 1), (0, 1)], cube(4))
    u = uniform(5, 4, seed=3)
    f, e = target(u)
    assert target.p == 2
    assert torch.equal(f, u[:, :2] * 3)
    assert torch.equal(e, u)

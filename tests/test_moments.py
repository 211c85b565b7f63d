"""The diversity objective in linear time against the double loop of eq. (6) and (7)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from cases import normal
from torch import Tensor

from invset.core.moments import Moments, cross, pairwise


def loop(a: Tensor, b: Tensor) -> Tensor:
    """The double loop, in float64."""
    return torch.stack([(x - y).square().sum() for x in a.double() for y in b.double()]).sum()


def value_and_gradient(objective: Callable[[Tensor], Tensor], e: Tensor) -> tuple[Tensor, Tensor]:
    e = e.clone().requires_grad_()
    value = objective(e)
    return value.detach(), torch.autograd.grad(value, e)[0]


def assert_same(
    objective: Callable[[Tensor], Tensor],
    expected: Callable[[Tensor], Tensor],
    e: Tensor,
    rtol: float,
) -> None:
    """Value and gradient of both at e, which may be float32, to a relative error in length."""
    for ours, theirs in zip(
        value_and_gradient(objective, e), value_and_gradient(expected, e.double()), strict=True
    ):
        assert (ours.double() - theirs).norm() <= rtol * theirs.norm()


#: Relative error allowed, and a common offset of the encodings in multiples of their spread.
TYPES = pytest.mark.parametrize(
    ("dtype", "rtol", "offset"),
    [
        (torch.float64, 1e-12, 0.0),
        (torch.float64, 1e-12, 1e3),
        (torch.float32, 1e-5, 0.0),
        (torch.float32, 1e-5, 1e3),
        (torch.float32, 1e-5, 1e4),
    ],
)


@TYPES
@pytest.mark.parametrize("count", [2, 7, 40])
def test_pairwise_is_the_double_loop(
    dtype: torch.dtype, rtol: float, offset: float, count: int
) -> None:
    e = (normal(count, 5) + offset).to(dtype)
    assert_same(pairwise, lambda e: loop(e, e), e, rtol)


@TYPES
def test_cross_is_the_double_loop(dtype: torch.dtype, rtol: float, offset: float) -> None:
    e, earlier = ((normal(count, 5, seed=count) + offset).to(dtype) for count in (7, 11))
    assert_same(lambda e: cross(e, Moments.of(earlier)), lambda e: loop(e, earlier), e, rtol)
    # and with the sum of eq. (6), as in eq. (7) and (11)
    assert_same(
        lambda e: pairwise(e) + cross(e, Moments.of(earlier)),
        lambda e: loop(e, e) + loop(e, earlier),
        e,
        rtol,
    )


@TYPES
def test_parts_of_pairwise_know_the_rest_by_moments_alone(
    dtype: torch.dtype, rtol: float, offset: float
) -> None:
    e = (normal(11, 5) + offset).to(dtype)
    whole = functools.reduce(Moments.joined, map(Moments.of, e.split(4)))
    value, gradient = value_and_gradient(lambda e: loop(e, e), e.double())
    parts = [value_and_gradient(lambda part: cross(part, whole), part) for part in e.split(4)]
    torch.testing.assert_close(sum(v for v, _ in parts).double(), value, rtol=rtol, atol=0)  # type: ignore[union-attr]
    torch.testing.assert_close(
        2 * torch.cat([g for _, g in parts]).double(),
        gradient,
        rtol=rtol,
        atol=rtol * gradient.norm().item(),
    )


def test_gradient_of_pairwise() -> None:
    e = normal(7, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(pairwise(e), e)
    torch.testing.assert_close(gradient, 4 * 7 * (e - e.mean(0)).detach(), rtol=1e-12, atol=1e-12)


def test_gradient_of_cross() -> None:
    e, earlier = normal(7, 5).requires_grad_(), normal(11, 5, seed=1)
    (gradient,) = torch.autograd.grad(cross(e, Moments.of(earlier)), e)
    torch.testing.assert_close(
        gradient, sum(2 * (e.detach() - y) for y in earlier), rtol=1e-12, atol=1e-12
    )


def test_order_does_not_matter() -> None:
    e, earlier, order = (
        normal(7, 5),
        Moments.of(normal(4, 5, seed=1)),
        torch.tensor([3, 6, 0, 2, 5, 1, 4]),
    )
    torch.testing.assert_close(pairwise(e[order]), pairwise(e))
    torch.testing.assert_close(cross(e[order], earlier), cross(e, earlier))


def test_merged_moments_are_those_of_all_rows() -> None:
    a, b, c = normal(4, 5) + 100, normal(6, 5, seed=1) - 50, normal(3, 5, seed=2)
    chosen = torch.tensor([True, False, True, True, False, True])
    merged = (
        Moments.none(a)
        .merged(a, torch.ones(4, dtype=torch.bool))
        .merged(b, chosen)
        .merged(c, torch.ones(3, dtype=torch.bool))
    )
    expected = Moments.of(torch.cat([a, b[chosen], c]))
    for name in ("count", "mean", "scatter"):
        torch.testing.assert_close(
            getattr(merged, name), getattr(expected, name), rtol=1e-12, atol=1e-12
        )


def test_merging_nothing_changes_nothing() -> None:
    before = Moments.of(normal(4, 5))
    after = before.merged(normal(6, 5, seed=1), torch.zeros(6, dtype=torch.bool))
    assert all(
        torch.equal(getattr(after, name), getattr(before, name))
        for name in ("count", "mean", "scatter")
    )
    assert cross(normal(3, 5), Moments.none(normal(3, 5))) == 0

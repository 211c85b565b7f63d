"""The diversity objective in linear time against the double loop of eq. (6) and (7)."""

from __future__ import annotations

import torch
from cases import normal
from torch import Tensor

from invset.diversity import Moments, cross, pairwise


def loop(a: Tensor, b: Tensor) -> float:
    return sum(float((x - y).square().sum()) for x in a.double() for y in b.double())


def none_of(e: Tensor) -> Moments:
    return Moments(e.new_zeros(()), e.new_zeros(e.shape[1]), e.new_zeros(()))


def test_pairwise_is_the_double_loop() -> None:
    e = normal(7, 5)
    torch.testing.assert_close(pairwise(e).item(), loop(e, e), rtol=1e-12, atol=0)


def test_cross_is_the_double_loop() -> None:
    e, earlier = normal(7, 5), normal(11, 5, seed=1) + 3
    torch.testing.assert_close(cross(e, Moments.of(earlier)).item(), loop(e, earlier), rtol=1e-12, atol=0)


def test_a_common_offset_does_not_cancel_in_float32() -> None:
    e, earlier = normal(7, 5).float() + 1e3, normal(11, 5, seed=1).float() + 1e3
    assert abs(pairwise(e).item() / loop(e, e) - 1) < 1e-5
    assert abs(cross(e, Moments.of(earlier)).item() / loop(e, earlier) - 1) < 1e-5


def test_gradient_of_pairwise() -> None:
    e = normal(7, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(pairwise(e), e)
    torch.testing.assert_close(gradient, 4 * 7 * (e - e.mean(0)).detach(), rtol=1e-12, atol=1e-12)


def test_gradient_of_cross() -> None:
    e, earlier = normal(7, 5).requires_grad_(), normal(11, 5, seed=1)
    (gradient,) = torch.autograd.grad(cross(e, Moments.of(earlier)), e)
    torch.testing.assert_close(gradient, sum(2 * (e.detach() - y) for y in earlier), rtol=1e-12, atol=1e-12)


def test_order_does_not_matter() -> None:
    e, earlier, order = normal(7, 5), Moments.of(normal(4, 5, seed=1)), torch.tensor([3, 6, 0, 2, 5, 1, 4])
    torch.testing.assert_close(pairwise(e[order]), pairwise(e))
    torch.testing.assert_close(cross(e[order], earlier), cross(e, earlier))


def test_merged_moments_are_those_of_all_rows() -> None:
    a, b, c = normal(4, 5) + 100, normal(6, 5, seed=1) - 50, normal(3, 5, seed=2)
    chosen = torch.tensor([True, False, True, True, False, True])
    merged = none_of(a).merged(a, torch.ones(4, dtype=torch.bool)).merged(b, chosen).merged(c, torch.ones(3, dtype=torch.bool))
    expected = Moments.of(torch.cat([a, b[chosen], c]))
    for name in ("count", "mean", "scatter"):
        torch.testing.assert_close(getattr(merged, name), getattr(expected, name), rtol=1e-12, atol=1e-12)


def test_merging_nothing_changes_nothing() -> None:
    before = Moments.of(normal(4, 5))
    after = before.merged(normal(6, 5, seed=1), torch.zeros(6, dtype=torch.bool))
    assert all(torch.equal(getattr(after, name), getattr(before, name)) for name in ("count", "mean", "scatter"))
    assert cross(normal(3, 5), none_of(normal(3, 5))) == 0

"""Walks from sample to sample, on functions whose slopes are known."""

from __future__ import annotations

import pytest
import torch
from cases import seeded

from invset.core.space import Box, CodePrior, Free
from invset.core.walk import DOUBT, Walk

DOUBLE = torch.float64


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=DOUBLE)


def test_the_mean_miss() -> None:
    place, promised = normal(30, 2), normal(30, 2, seed=1)
    ended = torch.arange(30) % 3 > 0
    walk = Walk.empty(2, place)
    for part in torch.arange(30).split(10):
        walk = walk.seen(ended[part], place[part], promised[part])
    assert float(walk.count) == 20
    torch.testing.assert_close(walk.miss, (place - promised)[ended].mean(0))
    assert torch.equal(
        Walk.empty(2, place).seen(torch.zeros(30, dtype=torch.bool), place, promised).miss,
        torch.zeros(2, dtype=DOUBLE),
    )


def test_a_linear_unit_comes_to_its_level() -> None:
    prior = CodePrior.gaussian(6)
    rows, u = normal(4, 2, 6), normal(4, 6, seed=1)
    mixed, level, place = normal(4, 6, seed=2), normal(4, 2, seed=3) * 0.1, normal(4, 2, seed=4)
    onward, promised = Walk.empty(2, u).onward(Free(u), u, mixed, rows, place, level, 1e9)
    reached = place + (rows @ (onward - u).unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(reached, level, rtol=0, atol=1e-4)
    torch.testing.assert_close(promised, reached)
    # the way back is the shortest: along the rows
    residual = torch.linalg.lstsq(rows.transpose(1, 2), (onward - mixed).unsqueeze(2))
    torch.testing.assert_close(
        (rows.transpose(1, 2) @ residual.solution).squeeze(2), onward - mixed
    )
    # no longer than the limit, and inside the region
    short, _ = Walk.empty(2, u).onward(Free(u), u, mixed, rows, place, level, 0.01)
    assert ((short - mixed).square().mean(1).sqrt() <= 0.01 * (1 + 1e-9)).all()
    inside, _ = Walk.empty(2, u).onward(prior, u, 100 * mixed, rows, place, level, 1e9)
    assert (inside.norm(dim=1) <= float(prior.radius) * (1 + 1e-6)).all()


def test_what_was_missed_is_aimed_for_on_top() -> None:
    # f falls short of what its slope promises by 3 widths: after many walks they end at their
    # levels
    walk, u, rows = Walk.empty(1, normal(1, 6)), normal(5, 6), normal(5, 1, 6)
    level = torch.zeros(5, 1, dtype=DOUBLE)
    for _ in range(200):
        onward, promised = walk.onward(Free(u), u, u, rows, level, level, 1e9)
        place = (rows @ (onward - u).unsqueeze(2)).squeeze(2) - 3
        torch.testing.assert_close(place + 3, promised)
        walk = walk.seen(torch.ones(5, dtype=torch.bool), place, promised)
    assert float(walk.miss) == pytest.approx(-3)
    trust = 1000 / (1000 + DOUBT)
    assert place.mean().item() == pytest.approx(-3 * (1 - trust), abs=0.01)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_mixtures_spread_as_what_is_mixed(share: float) -> None:
    prior = CodePrior.gaussian(20)
    u, fresh = (torch.randn(4000, 20, generator=seeded(i)) for i in (0, 1))
    mixed = prior.mixed(u, fresh, share)
    torch.testing.assert_close(mixed.std(0), torch.ones(20), rtol=0, atol=0.05)
    correlation = ((mixed * u).mean(0) / mixed.std(0)).mean()
    assert correlation.item() == pytest.approx((1 - share**2) ** 0.5, abs=0.02)
    start = torch.rand(4000, 20, generator=seeded(2)) + 3
    box = Box(3.0, 4.0, start)
    both = box.mixed(start, start[torch.randperm(4000, generator=seeded(3))], share)
    torch.testing.assert_close(both.std(0), start.std(0), rtol=0, atol=0.02)
    torch.testing.assert_close(both.mean(0), start.mean(0), rtol=0, atol=0.02)
    for region in (prior, box, Free(start)):
        torch.testing.assert_close(region.mixed(u, fresh, 1.0), fresh)
        torch.testing.assert_close(region.mixed(u, fresh, 1e-9), u)

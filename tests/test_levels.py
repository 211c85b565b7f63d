"""Where samples are wanted, and where a fresh code begins."""

from __future__ import annotations

import pytest
import torch

from invset.core.levels import PARTS, Levels, _ratios


def offset(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_the_sequence_fills_the_ranges_evenly() -> None:
    places = Levels.empty(offset(0.3, 0.9)).spread(torch.arange(200))
    for column in places.T:
        assert torch.histc(column, 10, 0, 1).tolist() == pytest.approx([20] * 10, abs=2)
    cells = torch.histogramdd(places, [5, 5], range=[0.0, 1, 0, 1]).hist  # 25 cells of the square
    assert cells.flatten().tolist() == pytest.approx([8] * 25, abs=3)


def test_ratios_are_the_golden_and_the_plastic_number() -> None:
    cpu = torch.device("cpu")
    golden = _ratios(1, cpu)[0].item()
    assert golden**2 + golden == pytest.approx(1, abs=1e-12)
    a, b = _ratios(2, cpu).tolist()
    assert b == pytest.approx(a * a)
    assert a**3 + a**2 == pytest.approx(1, abs=1e-12)  # 1/g of g³ = g + 1


def test_what_is_taken_is_counted_by_tenths() -> None:
    place = torch.tensor([[0.05, 0.95], [0.15, 1.0], [0.05, -0.2], [0.5, 0.5]], dtype=torch.float64)
    counts = Levels.empty(offset(0, 0)).taken(place, torch.tensor([True, True, True, False])).counts
    assert counts[0].tolist() == [2, 1] + [0] * 8
    assert counts[1].tolist() == [1] + [0] * 8 + [2]  # places outside count to the nearest tenth


def test_wanted_is_what_is_not_ahead_of_the_mean() -> None:
    counts = torch.ones(1, PARTS, dtype=torch.long)
    counts[0, 3] = 0
    levels = Levels(offset(0.0), counts)  # the mean is 0.9: parts may hold up to 1.4
    place = torch.tensor([[0.35], [0.35], [0.35], [0.65], [0.31]], dtype=torch.float64)
    inside = torch.tensor([True, True, True, True, False])
    # the first two of the third part fill it; others with one sample may have a second
    assert levels.wanted(place, inside).tolist() == [True, True, False, True, False]
    # for two neurons both must be behind
    two = Levels(
        offset(0.0, 0.0), torch.stack([counts[0], 5 * torch.eye(PARTS, dtype=torch.long)[0]])
    )
    both = torch.tensor([[0.35, 0.05], [0.35, 0.95]], dtype=torch.float64)
    assert two.wanted(both, torch.tensor([True, True])).tolist() == [False, True]


def test_next_levels_go_where_samples_are_missing() -> None:
    counts = torch.full((1, PARTS), 7, dtype=torch.long)
    counts[0, 8] = 0
    levels, old = Levels(offset(0.37), counts), torch.tensor([[0.1], [0.2]], dtype=torch.float64)
    fresh = levels.next(old, torch.tensor([True, False]), torch.tensor([5, 6]))
    assert 0.8 <= fresh[0, 0] < 0.9
    assert fresh[1] == old[1]  # who keeps its level keeps it


def test_next_levels_of_many_codes_are_even_whatever_was_there() -> None:
    levels = Levels.empty(offset(0.2, 0.7))
    level, ticket = levels.spread(torch.arange(10)), torch.arange(10)
    everyone = torch.ones(10, dtype=torch.bool)
    taken = []
    for start in range(10, 400, 10):
        levels = levels.taken(level, everyone)
        taken.append(level)
        level = levels.next(level, everyone, ticket + start)
    places = torch.cat(taken)
    assert levels.counts.min() >= 0.8 * levels.counts.double().mean()
    assert levels.counts.max() <= 1.2 * levels.counts.double().mean()
    cells = torch.histogramdd(
        places, [5, 5], range=[0.0, 1, 0, 1]
    ).hist  # pairs of levels are not tied to each other
    assert (cells > 0).all()

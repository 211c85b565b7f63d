"""Figures of merit worked out by hand."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from cases import normal
from scipy.spatial.distance import pdist, squareform

from invset.analysis.diversity import Diversity, vendi_score
from invset.analysis.neighbours import count_distinct, nearest_neighbours

#: A 3-4-5 triangle.
TRIANGLE = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])


def test_a_triangle() -> None:
    d = Diversity.of(TRIANGLE)
    assert d.samples == 3
    assert d.mean_pairwise_distance == pytest.approx((3 + 4 + 5) / 3)
    # the origin's nearest is 3 away, (3, 0)'s is 3, (0, 4)'s is 4
    assert nearest_neighbours(TRIANGLE).tolist() == pytest.approx([3, 3, 4])
    assert d.nearest_neighbour == pytest.approx(10 / 3)
    assert d.distance_over_root_d == pytest.approx(4 / math.sqrt(2))
    assert Diversity.of(TRIANGLE, 9).distance_over_root_d == pytest.approx(4 / 3)


def test_many_samples_are_measured_in_parts() -> None:
    e = normal(2100, 6)
    table = squareform(pdist(e.numpy()))  # SciPy's
    off = table + np.diag(np.full(2100, np.inf))
    assert nearest_neighbours(e).numpy() == pytest.approx(off.min(1))
    assert Diversity.of(e).mean_pairwise_distance == pytest.approx(table.sum() / (2100 * 2099))
    taken: list[int] = []
    for i in range(2100):
        if not (table[i, taken] <= 1.5).any():
            taken.append(i)
    assert count_distinct(e, 1.5) == len(taken) < 2000


@pytest.mark.parametrize(("n", "dim"), [(5, 8), (8, 8)])
def test_vendi_of_orthogonal_samples_is_their_number(n: int, dim: int) -> None:
    assert vendi_score(torch.eye(dim)[:n] * torch.arange(1, n + 1).unsqueeze(1)) == pytest.approx(n)


def test_vendi_of_equal_samples_is_one() -> None:
    assert vendi_score(normal(1, 5).expand(7, -1)) == pytest.approx(1)


def test_vendi_of_two_groups() -> None:
    # 3 and 1 of 4 samples along two axes: eigenvalues 3/4, 1/4
    e = torch.tensor([[1.0, 0], [2, 0], [3, 0], [0, 1]])
    assert vendi_score(e) == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


def test_vendi_is_the_same_from_either_gram_matrix() -> None:
    e = normal(12, 5)
    kernel = torch.nn.functional.normalize(e, dim=1)
    values = torch.linalg.eigvalsh(kernel @ kernel.T / 12).clamp_min(
        1e-300
    )  # 12 x 12, where the code takes 5 x 5
    assert vendi_score(e) == pytest.approx(
        math.exp(-(values * values.log()).sum().item()), rel=1e-9
    )


def test_sets_of_one_and_none() -> None:
    one, none = Diversity.of(torch.ones(1, 4)), Diversity.of(torch.ones(0, 4))
    assert one.samples == 1
    assert one.vendi == 1
    assert math.isnan(one.mean_pairwise_distance)
    assert none.samples == 0
    assert math.isnan(none.vendi)


def test_count_distinct_by_hand() -> None:
    # 0 counts; 0.9 is within 1 of it; 1.8 is not (0.9 was not counted); 2.8 lies at 1.0 from 1.8,
    # not farther; 5 counts
    e = torch.tensor([[0.0], [0.9], [1.8], [2.8], [5.0]])
    assert count_distinct(e, 1.0) == 3
    assert count_distinct(e, 0.0) == 5
    assert count_distinct(e[:0], 1.0) == 0
    assert count_distinct(e.expand(5, 2)[[1, 1, 1]], 0.0) == 1


def test_figures_do_not_depend_on_the_order() -> None:
    e, order = normal(6, 4), torch.tensor([4, 0, 5, 2, 1, 3])
    assert asdict(Diversity.of(e[order])) == pytest.approx(asdict(Diversity.of(e)))

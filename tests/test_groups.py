"""Groups of samples, against hand-worked numbers and groups that are there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sample_sets import sample_set

from invset.analysis.groups import Groups, groups, silhouette

RNG = np.random.default_rng(0)


def test_silhouette_by_hand() -> None:
    x = np.array([0.0, 1.0, 5.0, 7.0, 20.0])
    labels = np.array([0, 0, 1, 1, 2])
    # a, b of the five: (1, 6), (1, 5), (2, 4.5), (2, 6.5), and 0 for the one that is alone
    expected = (5 / 6 + 4 / 5 + 2.5 / 4.5 + 4.5 / 6.5 + 0) / 5
    assert silhouette(np.abs(x[:, None] - x), labels) == pytest.approx(expected)


def found(x: np.ndarray) -> Groups | None:
    return groups(sample_set(torch.from_numpy(x)), None)


def test_groups_that_are_there_are_found() -> None:
    centres = np.array([[0, 0, 0], [20, 0, 0], [0, 30, 0]])
    true = np.repeat([0, 1, 2], [5, 20, 10])
    x = centres[true] + RNG.normal(size=(35, 3))
    made = found(x)
    assert made is not None
    # the largest comes first
    np.testing.assert_array_equal(made.group.numpy(), np.array([3, 1, 2])[true])
    assert made.sizes == [20, 10, 5]
    assert made.silhouette > 0.8
    for number in (1, 2, 3):
        members = np.flatnonzero(made.group.numpy() == number)
        sums = [sum(np.linalg.norm(x[i] - x[j]) for j in members) for i in members]
        medoid = members[int(np.argmin(sums))]
        expected = np.linalg.norm(x[members] - x[medoid], axis=1)
        np.testing.assert_allclose(made.from_medoid[members].numpy(), expected)


def test_no_groups_of_few_or_equal_samples() -> None:
    assert found(RNG.normal(size=(9, 3))) is None
    assert found(np.ones((50, 3))) is None
    assert found(RNG.normal(size=(10, 3))) is not None


def test_of_many_samples_those_of_a_page_are_grouped() -> None:
    made = found(RNG.normal(size=(1100, 3)))
    assert made is not None
    assert sum(made.sizes) == 1000 == int((made.group > 0).sum())
    assert int(made.from_medoid.isfinite().sum()) == 1000

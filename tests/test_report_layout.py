"""The plane, groups and neighbours of a report, against closed forms, hand-worked numbers and other
ways to compute them.
"""

from __future__ import annotations

import numpy as np
import pytest

from invset.report.layout import apart, from_mean, groups, nearest, plane, silhouette
from invset.report.selection import spread

RNG = np.random.default_rng(0)


def test_the_plane_is_that_of_the_covariance() -> None:
    x = RNG.normal(size=(40, 6)) * np.array([5, 3, 1, 1, 0.5, 0.1]) + 100
    found = plane(x.astype(np.float32))
    variance, directions = np.linalg.eigh(np.cov(x.T, bias=True))
    expected = (x - x.mean(0)) @ directions[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-3)
    assert found.explained == pytest.approx(variance[::-1][:2] / variance.sum(), rel=1e-4)
    np.testing.assert_allclose(
        plane(x[::-1]).points[::-1], plane(x).points, atol=1e-8
    )  # the signs don't depend on the order


def test_the_plane_of_samples_that_lie_on_a_line_or_a_point() -> None:
    line = plane(np.outer(np.arange(5.0), [3.0, 4.0]))
    np.testing.assert_allclose(np.sort(line.points[:, 0]), [-10, -5, 0, 5, 10], atol=1e-9)
    assert line.explained == pytest.approx((1, 0))
    assert plane(np.ones((4, 3))).explained == (0, 0)
    assert not plane(np.ones((4, 1))).points.any()


def test_silhouette_by_hand() -> None:
    x = np.array([0.0, 1.0, 5.0, 7.0, 20.0])
    labels = np.array([0, 0, 1, 1, 2])
    # a, b of the five: (1, 6), (1, 5), (2, 4.5), (2, 6.5), and 0 for the one that is alone
    expected = (5 / 6 + 4 / 5 + 2.5 / 4.5 + 4.5 / 6.5 + 0) / 5
    assert silhouette(np.abs(x[:, None] - x), labels) == pytest.approx(expected)


def test_groups_that_are_there_are_found() -> None:
    centres = np.array([[0, 0, 0], [20, 0, 0], [0, 30, 0]])
    true = np.repeat([0, 1, 2], [5, 20, 10])
    x = centres[true] + RNG.normal(size=(35, 3))
    found = groups(x)
    assert found is not None
    np.testing.assert_array_equal(found.of, np.array([2, 0, 1])[true])  # the largest comes first
    assert found.silhouette > 0.8
    for members, group in zip(found.members, range(3), strict=True):
        assert sorted(members) == np.flatnonzero(found.of == group).tolist()
        sums = [sum(np.linalg.norm(x[i] - x[j]) for j in members) for i in members]
        assert sums[0] == pytest.approx(
            min(sums)
        )  # the medoid comes first, then what is nearest to it
        distances = np.linalg.norm(x[members] - x[members[0]], axis=1)
        assert (np.diff(distances) >= 0).all()


def test_no_groups_of_few_or_equal_samples() -> None:
    assert groups(RNG.normal(size=(9, 3))) is None
    assert groups(np.ones((50, 3))) is None
    assert groups(RNG.normal(size=(10, 3))) is not None


def test_distances() -> None:
    x = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    assert nearest(x).tolist() == pytest.approx([5, 1, 1])
    assert from_mean(x).tolist() == pytest.approx(np.linalg.norm(x - [2, 3], axis=1))


def test_pictures_of_the_map_do_not_overlap() -> None:
    points = RNG.uniform(size=(200, 2))
    chosen = apart(points, 0.1, range(200))
    gaps = np.abs(points[chosen][:, None] - points[chosen]).max(-1) + np.eye(len(chosen))
    assert gaps.min() >= 0.1
    for i in set(range(200)) - set(chosen):  # and none is left out that had room
        assert (np.abs(points[chosen] - points[i]).max(-1) < 0.1).any()


def test_spread_from_low_to_high() -> None:
    values = np.array([5.0, 1.0, 4.0, 2.0, 3.0])
    assert spread(values, 3) == [1, 4, 0]
    assert spread(values, 9) == [1, 3, 4, 2, 0]
    assert spread([], 3) == []
    falling = np.arange(100.0)[::-1]
    assert falling[spread(falling, 5)].tolist() == [0, 25, 50, 74, 99]
    assert len(set(spread(falling, 100))) == 100

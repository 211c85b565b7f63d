"""The plane of a map, against the covariance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from invset.analysis.plane import plane_of
from invset.report.sections.plane import apart

RNG = np.random.default_rng(0)


def test_the_plane_is_that_of_the_covariance() -> None:
    x = RNG.normal(size=(40, 6)) * np.array([5, 3, 1, 1, 0.5, 0.1]) + 100
    points, first, second = plane_of(torch.from_numpy(x).float())
    variance, directions = np.linalg.eigh(np.cov(x.T, bias=True))
    expected = (x - x.mean(0)) @ directions[:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(points.numpy()), np.abs(expected), atol=1e-3)
    assert (first, second) == pytest.approx(variance[::-1][:2] / variance.sum(), rel=1e-4)
    # the signs don't depend on the order
    again = plane_of(torch.from_numpy(x[::-1].copy()))[0]
    torch.testing.assert_close(again.flip(0), plane_of(torch.from_numpy(x))[0])


def test_the_plane_of_samples_that_lie_on_a_line_or_a_point() -> None:
    line = torch.outer(torch.arange(5.0), torch.tensor([3.0, 4.0]))
    points, *share = plane_of(line)
    assert points[:, 0].sort().values.tolist() == pytest.approx([-10, -5, 0, 5, 10])
    assert points[:, 1].tolist() == pytest.approx([0] * 5, abs=1e-9)
    assert share == pytest.approx([1, 0])
    assert plane_of(torch.ones(4, 3))[1:] == (0, 0)
    assert not plane_of(torch.ones(4, 1))[0].any()


def test_pictures_of_the_map_do_not_overlap() -> None:
    points = RNG.uniform(size=(200, 2))
    chosen = apart(points, 0.1, range(200))
    gaps = np.abs(points[chosen][:, None] - points[chosen]).max(-1) + np.eye(len(chosen))
    assert gaps.min() >= 0.1
    for i in set(range(200)) - set(chosen):  # and none is left out that had room
        assert (np.abs(points[chosen] - points[i]).max(-1) < 0.1).any()

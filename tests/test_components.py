"""Principal components, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import normal

from invset.core import components
from invset.core.components import principal_components


@pytest.mark.parametrize("block", [1 << 20, 1])  # numbers: one block, and a column each
@pytest.mark.parametrize("n", [40, 5])  # more rows than numbers, and fewer
def test_components_are_those_of_the_covariance(
    n: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components, "_BLOCK", block)
    x = normal(n, 6) * torch.tensor([5, 3, 2, 1, 0.5, 0.1]).double() + 100
    found = principal_components(x)
    variance, directions = np.linalg.eigh(np.cov(x.numpy().T))
    count = min(n - 1, 6)  # centred rows have one dimension fewer
    assert found.directions.shape == (6, count)
    assert found.variance.numpy() == pytest.approx(variance[::-1][:count], abs=1e-10)
    expected = np.abs(directions[:, ::-1][:, :count])
    np.testing.assert_allclose(found.directions.abs().numpy(), expected, atol=1e-7)
    torch.testing.assert_close(found.mean, x.mean(0))
    largest = found.directions.gather(0, found.directions.abs().argmax(0, keepdim=True))
    assert (largest > 0).all()
    torch.testing.assert_close(found.along(x), (x - x.mean(0)) @ found.directions)


@pytest.mark.parametrize("rows", [6, 3])
def test_the_fewest_directions_that_hold_a_share(rows: int) -> None:
    # variances 4 and 2 along two axes and none along others: the first has two thirds
    x = torch.diag(torch.tensor([2.0, 2**0.5, 0.0]))[:, :2]
    x = (torch.cat([x, -x]) * (5 / 2) ** 0.5) @ torch.eye(2, rows)
    found = principal_components(x)
    assert found.variance.tolist() == pytest.approx([4, 2], abs=1e-6)
    shares = (0.6, 0.7, 1.0)
    assert [principal_components(x, s).directions.shape[1] for s in shares] == [1, 2, 2]


def test_rows_that_are_equal_have_no_directions() -> None:
    for shape in ((3, 5), (5, 3)):
        found = principal_components(torch.ones(shape))
        assert found.directions.shape == (shape[1], 0)
        assert found.along(torch.rand(2, shape[1])).shape == (2, 0)


def test_directions_of_little_variance_are_orthonormal() -> None:
    # standard deviations from 1 down to 1e-5: in float64, inner products of rows have errors of
    # 1e-16, and 1e-16 / 1e-10 would be left between the last two directions
    sizes = torch.logspace(0, -5, 8, dtype=torch.float64)
    basis = torch.linalg.qr(normal(200, 8, seed=1)).Q
    found = principal_components(normal(30, 8) * sizes @ basis.T)
    assert found.directions.shape == (200, 8)
    unit = torch.eye(8, dtype=torch.float64)
    torch.testing.assert_close(found.directions.T @ found.directions, unit, atol=1e-12, rtol=0)


def test_directions_of_float32_rows_take_their_type() -> None:
    x = normal(20, 50).float()
    small = principal_components(x, dtype=torch.float32)
    assert small.directions.dtype is torch.float32
    assert small.variance.dtype is torch.float64
    torch.testing.assert_close(
        small.directions.double(), principal_components(x).directions, atol=1e-6, rtol=0
    )

"""Principal components, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import normal

from invset.core.components import principal_components


@pytest.mark.parametrize("n", [40, 5])  # more rows than numbers, and fewer
def test_components_are_those_of_the_covariance(n: int) -> None:
    x = normal(n, 6) * torch.tensor([5, 3, 2, 1, 0.5, 0.1]).double() + 100
    found = principal_components(x)
    variance, directions = np.linalg.eigh(np.cov(x.numpy().T))
    count = min(n, 6)
    kept = min(n - 1, 6)  # centred rows have one dimension fewer
    assert found.directions.shape == (6, count)
    assert found.variance.numpy() == pytest.approx(variance[::-1][:count], abs=1e-10)
    expected = np.abs(directions[:, ::-1][:, :kept])
    np.testing.assert_allclose(found.directions[:, :kept].abs().numpy(), expected, atol=1e-7)
    torch.testing.assert_close(found.mean, x.mean(0))
    largest = found.directions.gather(0, found.directions.abs().argmax(0, keepdim=True))
    assert (largest > 0).all()


def test_the_fewest_directions_that_hold_a_share() -> None:
    # variances 4, 2 and 0 along the axes: the first has two thirds
    x = torch.diag(torch.tensor([2.0, 2**0.5, 0.0]))
    x = torch.cat([x, -x]) * (5 / 2) ** 0.5
    found = principal_components(x)
    assert found.variance.tolist() == pytest.approx([4, 2, 0], abs=1e-6)
    assert [found.holding(share).directions.shape[1] for share in (0.6, 0.7, 1.0)] == [1, 2, 2]

"""How far two sets of features are from being drawn from one distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Rows of the table of kernel values that are in memory at a time.
_ROWS = 1024


def kid(x: Tensor, y: Tensor) -> float:
    """Kernel inception distance: the squared maximum mean discrepancy, unbiased.

        Σ_{i≠j} k(x_i, x_j) / n(n-1) + Σ_{i≠j} k(y_i, y_j) / m(m-1) - 2 Σ_ij k(x_i, y_j) / nm
        k(x, y) = (x·y / d + 1)³

    Its expectation is 0 for two draws from one distribution, whatever n and m are; a single value
    may be below. Low is good.

    Reference: Bińkowski, Sutherland, Arbel & Gretton 2018, Demystifying MMD GANs.

    Args:
        x: features, with shape (n, d).
        y: features, with shape (m, d).

    Returns:
        nan for fewer than two of either.
    """
    n = len(x)
    m = len(y)
    if n < 2 or m < 2:
        return math.nan
    x = x.double()
    y = y.double()
    within_x = (_sum(x, x) - _kernel(x, x).sum().item()) / (n * (n - 1))
    within_y = (_sum(y, y) - _kernel(y, y).sum().item()) / (m * (m - 1))
    return within_x + within_y - 2 * _sum(x, y) / (n * m)


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    """k of each row of x with the same row of y, with shape (n,)."""
    return ((x * y).mean(1) + 1) ** 3


def _sum(x: Tensor, y: Tensor) -> float:
    """Of k over all pairs; the whole table would not fit in memory for 50,000 samples."""
    parts = [((part @ y.T / x.shape[1] + 1) ** 3).sum() for part in x.split(_ROWS)]
    return torch.stack(parts).sum().item()

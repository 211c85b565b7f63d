"""Polynomial mutation of real numbers (Deb & Agrawal 1999, A niched-penalty approach for constraint
handling in genetic algorithms).
"""

from __future__ import annotations

import torch
from torch import Tensor


def polynomial(v: Tensor, eta: float) -> Tensor:
    """Uniform numbers to steps δ in [-1, 1], a share of the width of a number's range.

    δ = (2v)^(1/(η+1)) - 1 for v < 1/2, and 1 - (2 (1 - v))^(1/(η+1)) else: a density in proportion
    to (1 - |δ|)^η.

    Args:
        v: in [0, 1), of any shape.
        eta: the larger, the smaller are the steps.
    """
    power = 1 / (eta + 1)
    low = (2 * v).pow(power) - 1
    return torch.where(v < 0.5, low, 1 - (2 * (1 - v)).pow(power))


def polynomial_steps(
    shape: tuple[int, ...], rate: float, eta: float, rng: torch.Generator
) -> Tensor:
    """Steps of some numbers, on the device of `rng`.

    Args:
        shape: of the steps.
        rate: share of the numbers that take one; the others have 0.
        eta: see `polynomial`.
        rng: of the draws.
    """
    hit = torch.rand(shape, generator=rng, device=rng.device) < rate
    return polynomial(torch.rand(shape, generator=rng, device=rng.device), eta) * hit

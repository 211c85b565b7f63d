"""The augmented Lagrangian of the ranges: eq. (9) and (11), both sides.

A constraint is a number g >= 0. The published one asks f >= z2 - epsilon0 only:

    g = epsilon0 - z2 + f

Nothing there keeps f below z2, though eq. (1) asks for it; ``both`` adds the mirrored constraint
for the upper end:

    g = epsilon0 + z1 - f

With the paper's epsilon0 = epsilon / 2 the two meet in the middle of the range. Each g has its own
multiplier lambda_ >= 0 and slack s >= 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from invset.core.ranges import ActivationRange


def constraints(
    f: Tensor,
    range_: ActivationRange,
    epsilon0: float = 0.5,
    both: bool = True,
    relative: bool = True,
) -> Tensor:
    """The numbers g that must be >= 0.

    Args:
        f: activations, with shape (B, p).
        range_: the p ranges.
        epsilon0: of eq. (9) as a share of epsilon = z2 - z1, in (0, 1]; 0.5 is the paper's.
        both: both ends of the range; False is the published lower end alone.
        relative: in units of the width, so that mu means the same for every neuron; False is raw
            activation units.

    Returns:
        g, with shape (B, p) or, for both ends, (B, 2 p): lower ends first.
    """
    epsilon0_ = epsilon0 * range_.width
    g = epsilon0_ - range_.z2 + f
    if both:
        g = torch.cat([g, epsilon0_ + range_.z1 - f], dim=1)
    if relative:
        g = g / torch.cat([range_.width] * (2 if both else 1))
    return g


def slack(g: Tensor, lambda_: Tensor, mu: Tensor | float) -> Tensor:
    """Minimiser of the Lagrangian in s >= 0: s = max(0, g - lambda / mu) (section 3.4)."""
    return (g - lambda_ / mu).clamp_min(0)


def penalty(g: Tensor, s: Tensor, lambda_: Tensor, mu: Tensor | float) -> Tensor:
    """Constraint terms of eq. (9) for each code: sum over g of -lambda (g - s) + mu / 2 (g - s)²,
    with shape (B,).
    """
    violation = g - s
    return (-lambda_ * violation + 0.5 * mu * violation.square()).sum(1)


def update_multipliers(lambda_: Tensor, g: Tensor, mu: Tensor | float) -> Tensor:
    """lambda <- max(lambda - mu g, 0) (section 3.4)."""
    return (lambda_ - mu * g).clamp_min(0)

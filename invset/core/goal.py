"""What a sampler aims at: a range, or activations as large or as small as it finds.

A sampler that can do more than a range has an option ``goal``. `loss` turns activations into the
number that it minimises. A range is aimed at by the distance to it.
"""

from __future__ import annotations

from torch import Tensor

from invset.core.ranges import ActivationRange


def loss(goal: str, range_: ActivationRange, f: Tensor) -> Tensor:
    """What is minimised, differentiable, with shape (B,).

    "range": Σ_j (max(0, z1_j - f_j, f_j - z2_j) / (z2_j - z1_j))², the squared distance to the
    ranges in their widths, 0 inside; "max": -Σ_j f_j; "min": Σ_j f_j, in raw units.

    Args:
        goal: one of `invset.core.checks.GOALS`.
        range_: the p ranges; only "range" uses them.
        f: activations, with shape (B, p).
    """
    if goal == "range":
        return (range_.violation(f) / range_.width).square().sum(1)
    return -f.sum(1) if goal == "max" else f.sum(1)

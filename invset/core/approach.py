"""One step of codes towards their levels, in the coordinates of a region."""

from __future__ import annotations

from torch import Tensor

from invset.core.gauss_newton import gauss_newton_step
from invset.core.space import Region
from invset.core.walk import change


def approach(
    region: Region,
    u: Tensor,
    slopes: Tensor,
    residual: Tensor,
    mu: Tensor,
    longest: Tensor,
    relaxation: float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Where the step begins, with shape (K, dim), the Gauss-Newton step from there in the region's
    scale, and the slopes that the region leaves free, with shape (K, p, dim).

    Args:
        region: what the coordinates are of.
        u: coordinates, with shape (K, dim).
        slopes: of the places for a move by the region's scale, with shape (K, p, dim).
        residual: places less the levels, widths of the ranges, with shape (K, p).
        mu: penalty of each code, with shape (K,).
        longest: limit of each step, root mean square, with shape (K, 1).
        relaxation: factor of a step that starts a width or more from its level, falling to 1 at
            the level.
    """
    calm = region.calm(u)
    residual = residual + change(slopes, calm - u) / region.scale
    far = 1 + (relaxation - 1) * residual.abs().clamp_max(1)
    rows = region.tangent(slopes, u)
    step = gauss_newton_step(rows, far * residual, mu, longest, region.ways(rows))
    return calm, step, rows

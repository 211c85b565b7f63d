"""What short ascent and descent bring activations to, inside a region of code space, as pure
tensors.

    u <- project(u + sign · step · g / |g|),   g = df/du,   step = length · scale · sqrt(dim)

A step has the same length wherever the code is, so that neither the units of f nor flat places
matter. On a ball |u| <= r a linear unit f = w·u + b comes to b ± r|w|, its extremes. A sampler's
Gauss-Newton steps go farther; this is a quick look.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.gradient import gradient
from invset.core.space import Region

#: Levels at which probed activations are told.
LEVELS = (0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Reach:
    """Activations of one neuron before and after.

    Attributes:
        start: of the codes as they were, with shape (B,).
        lowest: the lowest on each code's way down, with shape (B,).
        highest: the highest on each code's way up, with shape (B,).
        steps: that were taken.
    """

    start: Tensor
    lowest: Tensor
    highest: Tensor
    steps: int


def reach(
    f: Callable[[Tensor], Tensor],
    region: Region,
    u: Tensor,
    steps: int,
    length: float,
    on_step: Callable[[int], bool] | None = None,
) -> Reach:
    """Walk up and down from each of some coordinates.

    Args:
        f: coordinates, with shape (B, dim), to activations of one neuron, with shape (B,),
            differentiable.
        region: coordinates are kept inside it.
        u: where to begin, with shape (B, dim).
        steps: of each walk.
        length: of a step, in root mean square over the coordinates, in units of the region's scale.
        on_step: called after every step with the number of codes that took it; says whether to go
            on.
    """
    count = len(u)
    step = length * region.scale * math.sqrt(u.shape[1])
    sign = torch.ones(2 * count, 1, device=u.device, dtype=u.dtype)
    sign[:count] = -1  # the first half goes down
    u = torch.cat([u, u])
    values: list[Tensor] = []
    for _ in range(steps):
        u.requires_grad_()
        value = f(u)
        slope = gradient(value.sum(), u)
        values.append(value.detach())
        move = slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-30)
        u = region.project(u.detach() + sign * step * move)
        if on_step is not None and not on_step(2 * count):
            break
    with torch.no_grad():
        way = torch.stack([*values, f(u)])
    return Reach(way[0, :count], way[:, :count].amin(0), way[:, count:].amax(0), len(values))


def percentiles(values: Tensor) -> Tensor:
    """Values, with shape (N,), at `LEVELS`, between two of them by the straight line that NumPy
    takes.
    """
    levels = torch.tensor(LEVELS, dtype=torch.float64, device=values.device)
    return values.double().quantile(levels)


def rounded(low: float, high: float) -> tuple[float, float] | None:
    """The ends of a range, rounded to between a 20th and a 200th of its width: (4.993, 16.44) to
    (5.0, 16.4).

    Returns:
        None where the ends are equal, or not finite: there is no range.
    """
    width = high - low
    if not (math.isfinite(low) and math.isfinite(high) and width > 0):
        return None
    digits = 1 - math.floor(math.log10(width / 2))
    ends = round(low, digits), round(high, digits)
    return ends if ends[0] < ends[1] else None

"""Where a fresh code had better begin: what the first passes of the codes before it tell about the way up.

At fresh codes u ~ N(0, I) the mean slope of f is the slope of its best linear fit (Stein's lemma: E grad f(u) = Cov(u, f(u))).
Moving a fresh code along it costs no pass, as the slopes are those of first steps that were taken anyway. The distance is
kept short: a long way along one direction for all would make the samples alike, while the rest of the way each code takes
along a slope of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.samplers.gauss_newton import gauss_newton_step

#: First passes after which the mean slope is trusted by half.
DOUBT = 10.0


@dataclass(frozen=True)
class Starts:
    """Means over the first passes of the codes so far.

    Attributes:
        count: first passes, with shape ().
        u: coordinates, with shape (dim,).
        place: activations as places in the ranges (0: z1, 1: z2), with shape (p,).
        slope: of the places, for a move by the region's unit of length, with shape (p, dim).
    """

    count: Tensor
    u: Tensor
    place: Tensor
    slope: Tensor

    @classmethod
    def empty(cls, p: int, like: Tensor) -> Starts:
        """Nothing seen yet, for codes like the rows of `like`."""
        dim = like.shape[1]
        return cls(*(torch.zeros(shape, dtype=like.dtype, device=like.device) for shape in ((), (dim,), (p,), (p, dim))))

    def state(self) -> list[Tensor]:
        """What the constructor takes, in order."""
        return [self.count, self.u, self.place, self.slope]

    def seen(self, first: Tensor, u: Tensor, place: Tensor, slope: Tensor) -> Starts:
        """The means with the rows where `first` (boolean, with shape (K,))."""
        weight = first.to(u)
        count = self.count + weight.sum()
        weight = weight / count.clamp_min(1)
        old = self.count / count.clamp_min(1)
        pairs = ((self.u, u), (self.place, place), (self.slope, slope))
        return Starts(count, *(old * mean + torch.tensordot(weight, rows.to(u), 1) for mean, rows in pairs))

    def aimed(self, fresh: Tensor, level: Tensor, scale: float, longest: float) -> Tensor:
        """Fresh codes, with shape (K, dim), moved towards their levels, with shape (K, p), by what the linear fit says.

        Args:
            fresh: coordinates.
            level: places in the ranges.
            scale: the region's unit of length.
            longest: limit of the move, in that unit, in root mean square.
        """
        rows = self.slope.expand(len(fresh), -1, -1)
        residual = self.place + (fresh - self.u) @ self.slope.T / scale - level
        firm = torch.full_like(fresh[:, 0], 1e6)
        return fresh + scale * self.count / (self.count + DOUBT) * gauss_newton_step(rows, residual, firm, longest)

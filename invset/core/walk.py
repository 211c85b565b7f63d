"""Where a code that arrived goes next: a long random way, bent so that it should end at the code's
next level.

The way is a mixture of the code and a fresh draw (`Region.mixed`); in whitened coordinates it
leaves N(0, I) as it is, as the proposals of preconditioned Crank-Nicolson do (Cotter et al. 2013).
What it does to f is known to first order from the slope of the last pass, and so is the shortest
way back to the level. Over such distances networks fall behind their slopes, all codes by much the
same: the mean of what was missed so far is aimed for on top. None of this costs a pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.gauss_newton import gauss_newton_step
from invset.core.space import Region

#: Ends of walks after which their mean miss is trusted by half.
DOUBT = 5.0
#: Penalty of steps that are to end at their level.
FIRM = 1e6


@dataclass(frozen=True)
class Walk:
    """What was missed at the ends of the walks so far.

    Attributes:
        count: walks that have ended, with shape ().
        miss: mean of the place reached less the place promised, in widths of the ranges, with shape
            (p,).
    """

    count: Tensor
    miss: Tensor

    @classmethod
    def empty(cls, p: int, like: Tensor) -> Walk:
        return cls(
            torch.zeros((), dtype=like.dtype, device=like.device),
            torch.zeros(p, dtype=like.dtype, device=like.device),
        )

    def seen(self, ended: Tensor, place: Tensor, promised: Tensor) -> Walk:
        """The mean with the walks that ended, a boolean with shape (K,), at `place` where
        `promised` was hoped for, (K, p).
        """
        weight = ended.to(place)
        count = self.count + weight.sum()
        miss = self.count * self.miss + (weight.unsqueeze(1) * (place - promised)).sum(0)
        return Walk(count, miss / count.clamp_min(1))

    def onward(
        self,
        region: Region,
        u: Tensor,
        mixed: Tensor,
        rows: Tensor,
        place: Tensor,
        level: Tensor,
        longest: float,
    ) -> tuple[Tensor, Tensor]:
        """Coordinates to go on from, and the places they promise without the mean miss.

        Args:
            region: what the coordinates are of.
            u: of the last pass, with shape (K, dim).
            mixed: where the random way would end, with shape (K, dim).
            rows: slopes of the places at u for a move by the region's scale, with shape (K, p,
                dim).
            place: activations at u as places in the ranges (0: z1, 1: z2), with shape (K, p).
            level: places to go to, with shape (K, p).
            longest: limit of the way back to the level, in the region's scale, in root mean square.
        """
        promised = place + change(rows, mixed - u) / region.scale
        aimed = promised + self.count / (self.count + DOUBT) * self.miss
        back = gauss_newton_step(rows, aimed - level, torch.full_like(u[:, 0], FIRM), longest)
        return region.project(mixed + region.scale * back), promised + change(rows, back)


def change(rows: Tensor, move: Tensor) -> Tensor:
    """What a move does to the places to first order, with shape (K, p)."""
    return (rows @ move.unsqueeze(2)).squeeze(2)

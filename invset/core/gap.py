"""Between moving and fixed views of robust neurons: what one promised, and what the other shows.

Steps on moving views aim for a level of the fixed ones, which alone decide. The two differ by
chance, and by much more where moving views are smaller: then all codes miss by about the same,
which is measured whenever views come to rest and aimed for on top. None of this costs a pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from invset.core.walk import Walk, change


@dataclass(frozen=True)
class Gap:
    """The gap so far.

    Attributes:
        mean: of the places in fixed views less those promised.
        promised: place in moving views that the latest step of each code was to end at, with shape
            (K, p).
    """

    mean: Walk
    promised: Tensor

    @classmethod
    def empty(cls, count: int, p: int, like: Tensor) -> Gap:
        return cls(Walk.empty(p, like), like.new_zeros(count, p))

    def rows(self, chosen: Tensor) -> Gap:
        """Some of the codes, by their row numbers."""
        return replace(self, promised=self.promised[chosen])

    def bridged(self, place: Tensor) -> Tensor:
        """Places in moving views, with shape (K, p), as fixed views are likely to show them."""
        return place + self.mean.miss

    def measured(self, place: Tensor, known: Tensor) -> Gap:
        """With the places in fixed views, with shape (K, p), of the codes with a promise, a boolean
        with shape (K,).
        """
        return replace(self, mean=self.mean.seen(known, place, self.promised))

    def after(self, place: Tensor, rows: Tensor, move: Tensor) -> Gap:
        """With what a step on moving views promises.

        Args:
            place: bridged places before the step, with shape (K, p).
            rows: slopes of the places for a move by the region's scale, with shape (K, p, dim).
            move: the step in the region's scale, with shape (K, dim).
        """
        return replace(self, promised=place - self.mean.miss + change(rows, move))


def at_rest(steps: int, moving: int, fixed: int) -> bool:
    """Whether views are fixed in step number `steps` of rounds of `moving` and `fixed` steps."""
    return steps % (moving + fixed) >= moving


def comes_to_rest(steps: int, moving: int, fixed: int) -> bool:
    """Whether step number `steps` is the first on fixed views after some on moving ones."""
    return steps % (moving + fixed) == moving > 0


def none_of(codes: Tensor) -> Tensor:
    """No code of a batch: a boolean with shape (K,)."""
    return torch.zeros(len(codes), dtype=torch.bool, device=codes.device)

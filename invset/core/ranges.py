"""The ranges [z1, z2] that activations are to lie in, their ends among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from invset.core.checks import check_range
from invset.core.values import ByValue

#: How far inside of an end codes aim and samples lie, as a share of the width: rounding must not
#: carry them out.
MARGIN = 1e-3

#: The least of it where codes come no farther inside, in units of the end's float precision.
LEAST = 4


@dataclass(frozen=True, eq=False)
class ActivationRange(ByValue):
    """The p ranges [z1, z2] in raw activation units.

    Attributes:
        z1, z2: lower and upper ends, each with shape (p,).

    Raises:
        InvsetError: an end is not finite, or z1 >= z2.
    """

    z1: Tensor
    z2: Tensor

    @classmethod
    def of(
        cls, ranges: Sequence[tuple[float, float]], like: Tensor | None = None
    ) -> ActivationRange:
        """Build from pairs (z1, z2), on the device and with the type of `like`."""
        for z1, z2 in ranges:
            check_range(z1, z2)
        ends = torch.tensor([list(r) for r in ranges], dtype=torch.float64)
        ends = ends.to(like) if like is not None else ends.float()
        return cls(ends[:, 0], ends[:, 1])

    @cached_property
    def width(self) -> Tensor:
        """epsilon = z2 - z1 of eq. (8), with shape (p,)."""
        return self.z2 - self.z1

    @cached_property
    def _inner(self) -> tuple[Tensor, Tensor]:
        """The ends of what lies `MARGIN` inside, each with shape (p,)."""
        return self.z1 + MARGIN * self.width, self.z2 - MARGIN * self.width

    @property
    def middle(self) -> Tensor:
        return (self.z1 + self.z2) / 2

    def contains(self, f: Tensor, one_sided: bool = False) -> Tensor:
        """Which rows of f, with shape (B, p), lie in all p closed ranges, with shape (B,).

        Args:
            f: activations.
            one_sided: test f >= z1 only, as the published acceptance test z2 - f <= epsilon does.
        """
        inside = f >= self.z1
        if not one_sided:
            inside = inside & (f <= self.z2)
        return inside.all(1)

    def holds(self, f: Tensor) -> Tensor:
        """Which rows of f, with shape (B, p), lie in all p ranges, and stay there when they are
        computed again; a boolean with shape (B,).

        Those on an end itself do: it is where units saturate (ReLU, ReLU6, a sigmoid), all of them
        to the last bit. Others are to lie `MARGIN` inside, but where none does, the least that
        rounding needs is enough: no part of a range is out of reach.
        """
        on_end = (f == self.z1) | (f == self.z2)
        low, high = self._inner
        inside = (on_end | (f >= low) & (f <= high)).all(1)
        least = LEAST * torch.finfo(f.dtype).eps
        low, high = self.z1 + least * self.z1.abs(), self.z2 - least * self.z2.abs()
        near = (on_end | (f >= low) & (f <= high)).all(1)
        return torch.where(inside.any(), inside, near)

    def violation(self, f: Tensor) -> Tensor:
        """How far outside its range each activation lies: zero inside, raw units, with shape (B,
        p).
        """
        return torch.maximum(self.z1 - f, f - self.z2).clamp_min(0)

    def coverage(self, f: Tensor, parts: int = 10) -> float:
        """Share of equal parts of the range that hold at least one activation, the mean over the p
        ranges, in [0, 1].
        """
        part = ((f - self.z1) / self.width * parts).floor().long()
        part = torch.where(f == self.z2, parts - 1, part)
        counts = [len(set(column.tolist()) & set(range(parts))) for column in part.T]
        return sum(counts) / (parts * len(counts))

"""Which tokens of a layer are patches of the picture, and which come before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Tokens:
    """What a network says of its tokens.

    Attributes:
        before: how many come before the patches; None: those that a square of patches leaves over.
        names: what these are called: "cls", "register1", …; empty: one has no name. None: the first
            is "cls", the others are registers.
        grid: rows and columns of patches; None: a square.
    """

    before: int | None = None
    names: tuple[str, ...] | None = None
    grid: tuple[int, int] | None = None

    @classmethod
    def of(cls, given: int | Tokens | None) -> Tokens:
        """From a number of tokens before the patches."""
        return given if isinstance(given, Tokens) else cls(given)

    @classmethod
    def named(cls, names: Sequence[str], grid: tuple[int, int] | None) -> Tokens:
        """Of a network that says what it has."""
        return cls(len(names), tuple(names), grid)

    def split(self, count: int) -> tuple[list[str], tuple[int, int] | None]:
        """Names of the tokens before the patches of a layer, and its rows and columns of patches,
        None where it has none.

        Args:
            count: tokens of the layer.
        """
        before = count - math.isqrt(count) ** 2 if self.before is None else self.before
        if self.grid is None:
            side = math.isqrt(max(count - before, 0))
            grid = (side, side) if side > 0 and side**2 == count - before else None
        else:
            patches = math.prod(self.grid)
            if count not in (patches, patches + before):  # pooled ones, which nobody knows
                return [], None
            before = count - patches  # none where the others are still to be added
            grid = self.grid
        if self.names is not None:
            return list(self.names[:before]), grid
        return [*["cls"][:before], *(f"register{i}" for i in range(1, before))], grid

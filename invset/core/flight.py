"""What is known of codes that are on their way to a level, and what a step sees of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from invset.core.target import Seen


@dataclass(frozen=True)
class Flight:
    """What is known of each code in flight, a row a code.

    Attributes:
        ticket: number of its level in the sequence of levels, with shape (K,).
        level: place in the ranges that it goes to (0: z1, 1: z2), with shape (K, p).
        draw: number of the draw that it descends from, with shape (K,).
        age: steps since it was drawn or last kept, with shape (K,).
        failed: whether this level was given up once already, with shape (K,).
        walked: whether it came from a sample by a walk, with shape (K,).
        promised: place that the walk was to end at, with shape (K, p).
    """

    ticket: Tensor
    level: Tensor
    draw: Tensor
    age: Tensor
    failed: Tensor
    walked: Tensor
    promised: Tensor

    def rows(self, chosen: Tensor) -> Flight:
        """Some of the codes, by their row numbers."""
        return Flight(*(getattr(self, one.name)[chosen] for one in fields(self)))


@dataclass(frozen=True)
class Look:
    """What a step sees.

    Attributes:
        seen: coordinates, activations and encodings, with their graph.
        u: the coordinates without it, with shape (K, dim).
        place: activations as places in the ranges (0: z1, 1: z2), with shape (K, p).
        slopes: of the places for a move by the region's scale, with shape (K, p, dim).
        push: gradient of the diversity, with shape (K, dim).
    """

    seen: Seen
    u: Tensor
    place: Tensor
    slopes: Tensor
    push: Tensor | None

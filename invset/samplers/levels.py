"""Where in the ranges samples are wanted: every tenth of every range gets its share."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

#: Parts of a range that are filled alike.
PARTS = 10


@dataclass(frozen=True)
class Levels:
    """Levels for the codes in flight, as places in the ranges: 0 is z1, 1 is z2.

    Attributes:
        offset: random start of the sequence of levels, in [0, 1), with shape (p,).
        counts: samples so far in each part of each range, with shape (p, PARTS).
    """

    offset: Tensor
    counts: Tensor

    @classmethod
    def empty(cls, offset: Tensor) -> Levels:
        return cls(offset, torch.zeros(len(offset), PARTS, dtype=torch.long, device=offset.device))

    def spread(self, ticket: Tensor) -> Tensor:
        """Places that fill the ranges evenly, however many numbers there are: ticket (K,) to (K, p).

        An additive recurrence with the plastic number's generalisation to p dimensions (Roberts 2018, the R sequence).
        """
        return (ticket.unsqueeze(1).double() * _ratios(len(self.offset), ticket.device) + self.offset.double()).frac().to(self.offset)

    def wanted(self, place: Tensor, inside: Tensor) -> Tensor:
        """Which of the codes that are inside lie, for every neuron, in a part that is not ahead of the mean, with shape (K,)."""
        parts = _parts(place) * inside.view(-1, 1, 1)
        before = parts.cumsum(0) - parts  # of two that come to one part at once, the first may be enough
        share = self.counts.sum(1) / PARTS + 0.5
        return inside & (((self.counts + before) * parts).sum(2) < share).all(1)

    def taken(self, place: Tensor, arrived: Tensor) -> Levels:
        """The same after the samples of the codes that arrived."""
        return Levels(self.offset, self.counts + (_parts(place) * arrived.view(-1, 1, 1)).sum(0))

    def next(self, level: Tensor, passes_on: Tensor, ticket: Tensor) -> Tensor:
        """New levels for the codes that pass theirs on, in the parts with the fewest samples and codes on their way."""
        spread = self.spread(ticket)
        load = self.counts + (_parts(level) * ~passes_on.view(-1, 1, 1)).sum(0)
        # of parts with the same load each code prefers another: the one where the even sequence would put it, or the next
        preference = (torch.arange(PARTS, device=level.device) / PARTS - spread.unsqueeze(2)).remainder(1)
        part = (load + preference).argmin(2)
        fresh = (part + (spread * PARTS).frac()) / PARTS
        return torch.where(passes_on.unsqueeze(1), fresh, level)


def _parts(place: Tensor) -> Tensor:
    """One-hot parts of places, with shape (K, p) to (K, p, PARTS); places outside count to the nearest part."""
    part = (place * PARTS).floor().nan_to_num().clamp(0, PARTS - 1).long()
    return (part.unsqueeze(2) == torch.arange(PARTS, device=place.device)).long()


@functools.cache  # once a device: a copy to it waits
def _ratios(p: int, device: torch.device) -> Tensor:
    """The R sequence's increments: powers of 1/g, where g is the root of g^(p+1) = g + 1."""
    g = 2.0
    for _ in range(64):
        g = (1 + g) ** (1 / (p + 1))
    return torch.tensor([g ** -(j + 1) for j in range(p)], dtype=torch.float64, device=device)

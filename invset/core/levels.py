"""Where in the ranges samples are wanted: every tenth of every range gets its share."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.ranges import MARGIN

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
        """Places that fill the ranges evenly, however many numbers there are: ticket (K,) to (K,
        p).

        An additive recurrence with the plastic number's generalisation to p dimensions (Roberts
        2018, the R sequence).
        """
        return (
            (
                ticket.unsqueeze(1).double() * _ratios(len(self.offset), ticket.device)
                + self.offset.double()
            )
            .frac()
            .to(self.offset)
        )

    def wanted(self, place: Tensor, inside: Tensor) -> Tensor:
        """Which of the codes that are inside lie, for every neuron, in a part that is not ahead of
        the mean, with shape (K,).
        """
        parts = _parts(place) * inside.view(-1, 1, 1)
        before = (
            parts.cumsum(0) - parts
        )  # of two that come to one part at once, the first may be enough
        share = self.counts.sum(1) / PARTS + 0.5
        return inside & (((self.counts + before) * parts).sum(2) < share).all(1)

    def taken(self, place: Tensor, arrived: Tensor) -> Levels:
        """The same after the samples of the codes that arrived."""
        return Levels(self.offset, self.counts + (_parts(place) * arrived.view(-1, 1, 1)).sum(0))

    def next(self, level: Tensor, passes_on: Tensor, ticket: Tensor) -> Tensor:
        """New levels for the codes that pass theirs on, spread evenly over what is missing to equal
        parts.

        Args:
            level: of the codes in flight, with shape (K, p).
            passes_on: whose level has its sample, or is given up, with shape (K,).
            ticket: numbers of the codes from now on, with shape (K,).
        """
        load = (self.counts + (_parts(level) * ~passes_on.view(-1, 1, 1)).sum(0)).to(level)
        fresh = passes_on.sum().clamp_min(1).to(level)
        # as water finds its level: the lowest parts are filled up to the height at which the fresh
        # codes are used up
        lowest = load.sort(1).values.cumsum(1)
        numbers = _numbers(level.device)
        height = ((fresh + lowest) / numbers).amin(1, keepdim=True)
        missing = (height - load).clamp_min(0) / fresh
        below = missing.cumsum(1) - missing
        spread = self.spread(ticket).unsqueeze(2)  # as shares of all that is missing
        part = (((spread >= below) & (missing > 0)) * numbers).amax(2) - 1
        share = (spread.squeeze(2) - _pick(below, part)) / _pick(missing, part)
        return torch.where(passes_on.unsqueeze(1), (part + share.clamp(0, 1 - 1e-6)) / PARTS, level)


def _pick(values: Tensor, part: Tensor) -> Tensor:
    """One value a neuron and part, with shape (p, PARTS), for each code's parts, with shape (K,
    p).
    """
    return values.expand(len(part), -1, -1).gather(2, part.unsqueeze(2)).squeeze(2)


def _parts(place: Tensor) -> Tensor:
    """One-hot parts of places, with shape (K, p) to (K, p, PARTS); places outside count to the
    nearest part.
    """
    part = (place * PARTS).floor().nan_to_num().clamp(0, PARTS - 1)
    return (part.unsqueeze(2) + 1 == _numbers(place.device)).long()


def goal(level: Tensor) -> Tensor:
    """Places that levels stand for: not quite at the ends."""
    return MARGIN + (1 - 2 * MARGIN) * level


@functools.cache
def _numbers(device: torch.device) -> Tensor:
    """The numbers of the parts, from 1."""
    return torch.arange(1, PARTS + 1, device=device)


@functools.cache  # once a device: a copy to it waits
def _ratios(p: int, device: torch.device) -> Tensor:
    """The R sequence's increments: powers of 1/g, where g is the root of g^(p+1) = g + 1."""
    g = 2.0
    for _ in range(64):
        g = (1 + g) ** (1 / (p + 1))
    return torch.tensor([g ** -(j + 1) for j in range(p)], dtype=torch.float64, device=device)

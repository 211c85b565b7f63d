"""Where in each sample a neuron is largest that is read over all positions of its layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.analysis.record import listed, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class LargestAt:
    """Positions of the largest activation, counted from 0.

    Attributes:
        neuron: what reports call it, in a list.
        grid: rows and columns of positions; empty where they form none.
        token: of each sample, with shape (n,); nan where several are as large, or a feature is
            off; None in maps.
        row: of each sample, with shape (n,); nan there, and in a token before the patches; None
            without a grid.
        column: the same.
    """

    neuron: list[str] = listed("neuron")
    grid: list[int] = listed("rows and columns of positions")
    token: Tensor | None = per_sample("token of the largest activation")
    row: Tensor | None = per_sample("row of the largest activation")
    column: Tensor | None = per_sample("column of the largest activation")


def largest(samples: SampleSet, reference: Reference | None) -> LargestAt | None:
    """Positions; None where no neuron is read over all of them, or without samples."""
    found = samples.largest
    if found is None or not len(samples):
        return None
    position = found.position.double()
    position[position < 0] = torch.nan
    token = position if found.before or found.grid is None else None
    if found.grid is None:
        return LargestAt([found.neuron], [], token, None, None)
    place = position - found.before
    place[place < 0] = torch.nan
    row = place.div(found.grid[1], rounding_mode="floor")
    return LargestAt([found.neuron], [*found.grid], token, row, place - row * found.grid[1])

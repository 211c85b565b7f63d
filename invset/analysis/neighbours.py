"""Distances between encodings, and the nearest neighbour: the one place where it is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor


def distances_in_parts(e: Tensor, rows: int = 1024) -> Iterator[tuple[int, Tensor]]:
    """Some rows of the table of distances between encodings, with shape (N, d), at a time, and the
    number of the first of them.

    The whole table, with shape (N, N), would not fit in memory for 50,000 samples.
    """
    e = e.double()
    for first in range(0, len(e), rows):
        yield first, torch.cdist(e[first : first + rows], e)


def nearest_neighbours(e: Tensor) -> Tensor:
    """Distance from each encoding, with shape (N, d), to its nearest other, with shape (N,); inf
    where there is no other.
    """
    return sums_and_nearest(e)[1]


def sums_and_nearest(e: Tensor) -> tuple[Tensor, Tensor]:
    """For each encoding, with shape (N, d): the sum of its distances to the others, and the
    distance to the nearest; each with shape (N,).
    """
    sums = [e.new_zeros(0, dtype=torch.float64)]
    nearest = [e.new_zeros(0, dtype=torch.float64)]
    for first, distances in distances_in_parts(e):
        distances.diagonal(first).zero_()
        sums.append(distances.sum(1))
        distances.diagonal(first).fill_(math.inf)
        nearest.append(distances.min(1).values)
    return torch.cat(sums), torch.cat(nearest)


def count_distinct(e: Tensor, threshold: float) -> int:
    """How many different samples a set holds: those farther than `threshold` from every one
    counted before them.

    Args:
        e: encodings in the order they were taken, with shape (N, d).
        threshold: half the median nearest-neighbour distance of real images, in activation units of
            E.
    """
    taken = torch.zeros(len(e), dtype=torch.bool, device=e.device)
    for first, distances in distances_in_parts(e):
        for i, near in enumerate(distances <= threshold, start=first):
            taken[i] = not (near & taken).any()
    return int(taken.sum())

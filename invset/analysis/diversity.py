"""How good a set of samples is: diversity, coverage, distinctness. Each figure is to be read beside
that of real images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Diversity:
    """Diversity of a set of encodings; the figures of sets with the same number of samples compare.

    Attributes:
        samples: how many.
        mean_pairwise_distance: mean Euclidean distance between two samples, in activation units of
            E; the paper's Table 1.
        nearest_neighbour: mean distance from a sample to its nearest other; near zero when the set
            repeats itself.
        vendi: effective number of different samples, from 1 (all alike) to `samples` (Friedman &
            Dieng 2023, arXiv:2210.02410), with the cosine of two encodings as their likeness.
    """

    samples: int
    mean_pairwise_distance: float
    nearest_neighbour: float
    vendi: float

    @classmethod
    def of(cls, e: Tensor) -> Diversity:
        """Measure encodings with shape (N, d); nan where N is below two."""
        n = len(e)
        if n < 2:
            return cls(n, math.nan, math.nan, float(n) if n else math.nan)
        mean = sum(distances.sum().item() for _, distances in _distances(e)) / (n * (n - 1))
        return cls(n, mean, nearest_neighbours(e).mean().item(), vendi_score(e))

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def nearest_neighbours(e: Tensor) -> Tensor:
    """Distance from each encoding, with shape (N, d), to its nearest other, with shape (N,)."""
    nearest = []
    for first, distances in _distances(e):
        distances.diagonal(first).fill_(math.inf)
        nearest.append(distances.min(1).values)
    return torch.cat(nearest)


def _distances(e: Tensor, rows: int = 1024) -> Iterator[tuple[int, Tensor]]:
    """Some rows of the table of distances between encodings, with shape (N, d), at a time, and the
    number of the first of them.

    The whole table, with shape (N, N), would not fit in memory for 50,000 samples.
    """
    e = e.double()
    for first in range(0, len(e), rows):
        yield first, torch.cdist(e[first : first + rows], e)


def vendi_score(e: Tensor) -> float:
    """exp of the entropy of the eigenvalues of the cosine kernel divided by N, for encodings with
    shape (N, d).
    """
    x = torch.nn.functional.normalize(e.double(), dim=1, eps=1e-12)
    gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x  # the same eigenvalues but for zeros
    values = torch.linalg.eigvalsh(gram / len(x)).clamp_min(0)
    values = values / values.sum().clamp_min(1e-300)
    return math.exp(-torch.xlogy(values, values).sum().item())


def count_distinct(e: Tensor, threshold: float) -> int:
    """How many different pictures a set holds: samples farther than `threshold` from every one
    counted before them.

    Args:
        e: encodings in the order they were taken, with shape (N, d).
        threshold: half the median nearest-neighbour distance of real images, in activation units of
            E.
    """
    taken = torch.zeros(len(e), dtype=torch.bool, device=e.device)
    for first, distances in _distances(e):
        for i, near in enumerate(distances <= threshold, start=first):
            taken[i] = not (near & taken).any()
    return int(taken.sum())

"""How far each sample lies from its nearest other one, and from the mean: what a page sorts by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invset.analysis.neighbours import nearest_neighbours
from invset.analysis.record import per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Distances:
    """Distances between encodings, in activation units of E.

    Attributes:
        nearest: to the nearest other sample, with shape (n,).
        mean: to the mean of all samples, with shape (n,).
    """

    nearest: Tensor = per_sample("distance to the nearest sample", "units of E")
    mean: Tensor = per_sample("distance to the mean", "units of E")


def distances(samples: SampleSet, reference: Reference | None) -> Distances | None:
    """Measure; None for fewer than two samples."""
    if len(samples) < 2:
        return None
    e = samples.encodings.double()
    return Distances(nearest_neighbours(e), (e - e.mean(0)).norm(dim=1))

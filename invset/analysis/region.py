"""Whether the codes lie where codes of real images lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

from invset.analysis.record import figure
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class InsideRegion:
    """Codes and the natural region.

    Attributes:
        inside: share of the codes inside of it; nan without samples.
    """

    inside: float = figure("in the natural region", low=0, high=1, good="high", form=".0%")


def region(samples: SampleSet, reference: Reference | None) -> InsideRegion | None:
    """Share of codes inside the natural region; None for other regions."""
    prior = samples.region
    if prior.name != "natural":
        return None
    if not len(samples):
        return InsideRegion(math.nan)
    u = prior.encode(samples.codes)
    # rounding puts codes at its edge a little outside of it
    inside = (prior.project(u) - u).norm(dim=1) <= 0.001 * u.norm(dim=1)
    return InsideRegion(inside.float().mean().item())

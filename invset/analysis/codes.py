"""How extreme the codes are: section 4.1 of the paper blames bad pictures on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from invset.analysis.record import figure
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Codes:
    """Size of codes.

    Attributes:
        extreme: largest absolute number of a sample's code, the median over the samples; nan
            without samples.
    """

    extreme: float = figure(
        "extreme code", "units of the code", low=0, good="low", form=".1f", headline=True
    )


def codes(samples: SampleSet, reference: Reference | None) -> Codes:
    """Measure the codes."""
    if not len(samples):
        return Codes(math.nan)
    # quantile, as median takes the lower of two values in the middle
    return Codes(samples.codes.double().abs().amax(1).quantile(0.5).item())

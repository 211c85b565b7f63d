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
        lowest, highest: smallest and largest number of a sample's code, medians over the samples;
            nan without samples.
    """

    extreme: float = figure(
        "extreme code", "units of the code", low=0, good="low", form=".1f", headline=True
    )
    lowest: float = figure("lowest number of a code", "units of the code", form=".1f")
    highest: float = figure("highest number of a code", "units of the code", form=".1f")


def codes(samples: SampleSet, reference: Reference | None) -> Codes:
    """Measure the codes."""
    if not len(samples):
        return Codes(math.nan, math.nan, math.nan)
    # quantile, as median takes the lower of two values in the middle
    numbers = samples.codes.double()
    each = (numbers.abs().amax(1), numbers.amin(1), numbers.amax(1))
    return Codes(*(one.quantile(0.5).item() for one in each))

"""How much of the range the samples cover."""

from __future__ import annotations

from dataclasses import dataclass

from invset.analysis.record import figure
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Coverage:
    """Coverage of the range.

    Attributes:
        tenths: share of the range's equal tenths that hold at least one sample, the mean over the
            neurons.
    """

    tenths: float = figure("range covered", low=0, high=1, good="high", form=".0%", headline=True)


def coverage(samples: SampleSet, reference: Reference | None) -> Coverage | None:
    """Coverage; None where samples were taken for several ranges."""
    if samples.range is None:
        return None
    return Coverage(samples.range.coverage(samples.activations))

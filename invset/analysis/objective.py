"""What samples of goal=max and goal=min came to. In a range there is nothing to tell."""

from __future__ import annotations

import math
from dataclasses import dataclass

from invset.analysis.record import figure
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Objective:
    """Activations of the samples as saved; of several neurons their sum.

    Attributes:
        mean: over the samples.
        deviation: standard deviation over the samples; nan for fewer than two.
        best: the largest with goal=max, the smallest with goal=min.
    """

    mean: float = figure("f", "raw units", headline=True)
    deviation: float = figure("deviation of f", "raw units", low=0)
    best: float = figure("best f", "raw units", headline=True)


def objective(samples: SampleSet, reference: Reference | None) -> Objective | None:
    """Figures of f; None where a range was aimed at, or without samples."""
    if samples.goal == "range" or not len(samples):
        return None
    f = samples.activations.double().sum(1)
    best = f.max() if samples.goal == "max" else f.min()
    spread = f.std().item() if len(f) > 1 else math.nan
    return Objective(f.mean().item(), spread, best.item())

"""How many samples there are, and how many of them are in range."""

from __future__ import annotations

import math
from dataclasses import dataclass

from invset.analysis.record import figure
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Counts:
    """Counts of samples.

    Attributes:
        asked: samples asked for; None for a part of a set.
        saved: samples there are.
        in_range: how many of these lie in the range that they were taken for, as saved.
        share_in_range: in_range / saved; nan without any.
        steps_to_seeds: gradient steps until the last seed was found; None without seeds.
    """

    asked: int | None = figure("asked for", low=0, form=".0f")
    saved: int = figure("samples", low=0, form=".0f", headline=True)
    in_range: int = figure("in range", low=0, good="high", form=".0f")
    share_in_range: float = figure(
        "share in range", low=0, high=1, good="high", form=".0%", headline=True
    )
    steps_to_seeds: int | None = figure(
        "steps to seeds", "gradient steps", low=0, good="low", form=".0f", headline=True
    )


def counts(samples: SampleSet, reference: Reference | None) -> Counts:
    """Count the samples."""
    saved = len(samples)
    inside = int(samples.inside.sum())
    seeds = samples.step[_from(samples, "seed")]
    return Counts(
        samples.effort.asked if samples.effort else None,
        saved,
        inside,
        inside / saved if saved else math.nan,
        int(seeds.max()) if len(seeds) else None,
    )


def _from(samples: SampleSet, word: str) -> list[int]:
    """Places of the samples whose origin is `word`."""
    return [i for i, one in enumerate(samples.origin.tolist()) if samples.origins[one] == word]

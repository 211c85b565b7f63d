"""Runs in pairs: what a sampler gives beside a baseline on the same neuron, range and seed.

The mean of the differences of pairs has none of the spread that comes from neurons and ranges. The
test is Wilcoxon's signed-rank test (1945), two-sided: it asks for no distribution of the
differences but a symmetric one. Runs of one neuron by several seeds are not independent, so p is a
guide, no proof; of n pairs it is never below 2^(1 - n).
"""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

#: Fewer pairs than this have no p below 0.05.
FEWEST = 6


@dataclass(frozen=True)
class Difference:
    """A sampler less the baseline, in one figure.

    Attributes:
        pairs: how many there are.
        mean: of the differences.
        deviation: their standard deviation; None for one pair.
        p: of Wilcoxon's test; None for fewer pairs than `FEWEST`.
        higher: pairs in which the sampler's number is larger.
        lower: pairs in which it is smaller.
    """

    pairs: int
    mean: float
    deviation: float | None
    p: float | None
    higher: int
    lower: int


def difference(
    own: Mapping[Hashable, float], baseline: Mapping[Hashable, float]
) -> Difference | None:
    """Compare two samplers; None without a pair.

    Args:
        own: question -> figure of the sampler.
        baseline: the same of the baseline.
    """
    differences = [value - baseline[key] for key, value in own.items() if key in baseline]
    if not differences:
        return None
    return Difference(
        len(differences),
        statistics.fmean(differences),
        statistics.stdev(differences) if len(differences) > 1 else None,
        _p(differences) if len(differences) >= FEWEST else None,
        sum(one > 0 for one in differences),
        sum(one < 0 for one in differences),
    )


def _p(differences: list[float]) -> float:
    if not any(differences):
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue)

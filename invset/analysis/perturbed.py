"""Do samples hold up when their codes are changed a little? See `invset.problem.perturbing`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.analysis.record import figure, part, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.core.ranges import ActivationRange

#: Samples whose quantiles are taken at once: `torch.quantile` takes 16 million numbers.
_ROWS = 1000


@dataclass(frozen=True)
class Around:
    """Activations around the samples. Of several neurons, f is their sum.

    Attributes:
        metric: mean over the samples of the quantile of f over a sample's perturbations; nan
            without samples.
        deviation: standard deviation of that quantile over the samples; nan for fewer than two.
        fall: mean over the samples of f of the sample less that quantile, the other way about for
            goal=min: what a perturbation takes.
        in_range: share of all perturbations that lie in the ranges of their sample; None where no
            range was aimed at.
    """

    metric: float = figure("f if perturbed", "raw units")
    deviation: float = figure("deviation of f if perturbed", "raw units", low=0)
    fall: float = figure("fall of f if perturbed", "raw units", good="low", form=".3g")
    in_range: float | None = figure("in range if perturbed", low=0, high=1, good="high", form=".0%")


@dataclass(frozen=True)
class Perturbations:
    """What perturbations of the samples' codes do.

    Attributes:
        count: perturbations of each sample.
        sd: their standard deviation in each dimension.
        quantile: which quantile of f is told, in [0, 1]: from below, for goal=min from above.
        passes: forward passes that this took beside the run's own.
        codes: around codes, in their own units; None: not asked for.
        region: around codes, in units of the region; None: not asked for.
        in_codes: the quantile of each sample in the codes' units, with shape (n,).
        in_region: the same in units of the region, with shape (n,).
    """

    count: int = figure("perturbations of a sample", low=1, form=".0f")
    sd: float = figure("standard deviation of perturbations", low=0)
    quantile: float = figure("quantile of perturbations", low=0, high=1, form=".2g")
    passes: int = figure("forward passes for perturbations", "of one code", low=0, form=",.0f")
    codes: Around | None = part("in units of codes", ("metric",))
    region: Around | None = part("in units of the region", ("metric", "in_range"))
    in_codes: Tensor | None = per_sample("f if perturbed, in units of codes", "raw units")
    in_region: Tensor | None = per_sample("f if perturbed, in units of the region", "raw units")


def perturbed(samples: SampleSet, reference: Reference | None) -> Perturbations | None:
    """What perturbations do; None where none were made."""
    held = samples.perturbed
    if held is None:
        return None
    how = held.how
    level = 1 - how.quantile if samples.goal == "min" else how.quantile
    known = [f for f in (held.codes, held.region) if f is not None]
    in_codes = None if held.codes is None else quantiles(held.codes, level)
    in_region = None if held.region is None else quantiles(held.region, level)
    return Perturbations(
        how.count,
        how.sd,
        how.quantile,
        len(known) * len(samples) * how.count,
        None if held.codes is None or in_codes is None else _around(samples, held.codes, in_codes),
        None
        if held.region is None or in_region is None
        else _around(samples, held.region, in_region),
        in_codes,
        in_region,
    )


def quantiles(f: Tensor, level: float) -> Tensor:
    """Quantile of each sample's activations, with linear interpolation, with shape (n,).

    Args:
        f: activations of perturbed codes, with shape (n, m, p); of p neurons the sum counts.
        level: in [0, 1].
    """
    if not len(f):
        return torch.zeros(0, dtype=torch.float64)
    parts = f.double().sum(2).split(_ROWS)
    return torch.cat([some.quantile(level, dim=1) for some in parts])


def _around(samples: SampleSet, f: Tensor, found: Tensor) -> Around:
    """The figures of activations with shape (n, m, p), whose quantiles are `found`."""
    if not len(found):
        return Around(math.nan, math.nan, math.nan, None)
    falls = samples.activations.double().sum(1) - found
    ranged = samples.goal == "range"
    return Around(
        found.mean().item(),
        found.std().item() if len(found) > 1 else math.nan,
        (-falls if samples.goal == "min" else falls).mean().item(),
        _in_range(samples, f) if ranged else None,
    )


def _in_range(samples: SampleSet, f: Tensor) -> float:
    """Share of perturbations, with shape (n, m, p), in the ranges that their samples are for."""
    inside = 0
    for number, ranges in enumerate(samples.ranges):
        here = f[samples.row == number].flatten(0, 1)
        inside += int(ActivationRange.of(list(ranges)).contains(here).sum())
    return inside / (f.shape[0] * f.shape[1])

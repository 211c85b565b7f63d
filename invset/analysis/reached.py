"""What activations were reached, and where those of real images lie."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from invset.analysis.beside_real import known_units
from invset.analysis.record import figure, listed
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet

#: Percentiles of real images that are told.
LEVELS = (0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Reached:
    """Activations, raw units.

    Attributes:
        closest: of the code that came closest to the ranges, one of each neuron.
        real_images: how many real images are known.
        real: percentiles 90, 99 and 100 of real images, of each neuron; None where none are known.
        ends: the smallest and the largest of real images, of each neuron by itself; None where
            none are known for it.
    """

    closest: list[float] = listed("closest activation", "raw units")
    real_images: int = figure("real images known", low=0, form=".0f")
    real: list[list[float]] | None = listed("p90, p99, p100 of real images", "raw units")
    ends: list[list[float] | None] = listed("smallest and largest of real images", "raw units")


def reached(samples: SampleSet, reference: Reference | None) -> Reached | None:
    """What was reached; None for a part of a set."""
    if samples.closest is None:
        return None
    ends = [ends_of(unit, reference) for unit in samples.units]
    units = known_units(samples, reference)
    if reference is None or units is None:
        count = 0 if reference is None else len(reference.encodings)
        return Reached(samples.closest.tolist(), count if any(ends) else 0, None, ends)
    levels = torch.tensor(LEVELS)
    # of the stored activations: the stored quantiles have no level between 98 % and the largest
    f = [reference.activations[layer][:, index] for layer, index in units]
    real = [torch.quantile(one, levels).tolist() for one in f]
    return Reached(samples.closest.tolist(), len(f[0]), real, ends)


def ends_of(unit: tuple[str, int] | None, reference: Reference | None) -> list[float] | None:
    """The smallest and the largest activation of one neuron."""
    if reference is None or unit is None or not reference.knows(unit[0]):
        return None
    f = reference.activations[unit[0]][:, unit[1]]
    return [f.min().item(), f.max().item()]

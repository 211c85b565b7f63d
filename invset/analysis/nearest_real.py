"""How far samples are from real inputs: in encodings, and in the inputs' own numbers.

A sample that copies a real input is at distance 0. One that is much farther from all real inputs
than these are from each other is not like any of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.analysis.beside_real import known_units
from invset.analysis.record import figure, part, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet

#: Rows of a table of distances at a time.
_ROWS = 256


@dataclass(frozen=True)
class Distances:
    """Distances to the nearest real input.

    Attributes:
        median: over the inputs.
        least: the smallest.
    """

    median: float = figure("median distance to a real input", low=0, form=".3g")
    least: float = figure("least distance to a real input", low=0, form=".3g")

    @classmethod
    def of(cls, distances: Tensor | None) -> Distances | None:
        """Of distances with shape (n,); None without any."""
        if distances is None or not len(distances):
            return None
        return cls(distances.quantile(0.5).item(), distances.min().item())


@dataclass(frozen=True)
class NearestReal:
    """Samples and, for comparison, real inputs in the same range (or nearest to it), whose nearest
    *other* real input is taken.

    Attributes:
        encodings: of samples, in units of E; None where the reference can't bring E into its
            principal components.
        encodings_real: the same of real inputs.
        inputs: of samples, root mean square over an input's numbers: in pictures of their values in
            [0, 1], in tables in standard deviations of each column; None where the reference holds
            no inputs.
        inputs_real: the same of real inputs.
        in_encodings: of each sample, with shape (n,).
        in_inputs: of each sample, with shape (n,).
    """

    encodings: Distances | None = part("in E", ("median",), beside="encodings_real")
    encodings_real: Distances | None = part("in E, of real inputs")
    inputs: Distances | None = part("in data", ("median",), beside="inputs_real")
    inputs_real: Distances | None = part("in data, of real inputs")
    in_encodings: Tensor | None = per_sample("distance to the nearest real input", "units of E")
    in_inputs: Tensor | None = per_sample("distance to the nearest real input in data")


def nearest_real(samples: SampleSet, reference: Reference | None) -> NearestReal | None:
    """Distances to real inputs; None without a reference that allows any, or without samples."""
    if reference is None or not len(samples):
        return None
    rows = _compared(samples, reference)
    e = reference.brought(samples.encodings.cpu())
    real = reference.encodings
    own = None if e is None else nearest(e, real)
    own_real = None if e is None or rows is None else nearest(real[rows], real, rows)
    x, real_x = _as_numbers(samples.inputs, reference.inputs)
    data = None if x is None or real_x is None else nearest(x, real_x)
    data_real = None if real_x is None or rows is None else nearest(real_x[rows], real_x, rows)
    if own is None and data is None:
        return None
    return NearestReal(
        Distances.of(own),
        Distances.of(own_real),
        Distances.of(data),
        None if data is None else Distances.of(data_real),
        own,
        data,
    )


def nearest(x: Tensor, real: Tensor, but: Tensor | None = None) -> Tensor:
    """Distance from each row of x, with shape (n, d), to the nearest of `real`, with shape (N, d),
    in float64, with shape (n,).

    Args:
        x: from where.
        real: to where.
        but: for each row of x the row of `real` that it is itself, which does not count.
    """
    found = []
    for first in range(0, len(x), _ROWS):
        some = torch.cdist(x[first : first + _ROWS].double(), real.double())
        if but is not None:
            own = but[first : first + _ROWS].unsqueeze(1)
            some = some.scatter(1, own, torch.inf)
        found.append(some.min(1).values)
    return torch.cat(found)


def _compared(samples: SampleSet, reference: Reference) -> Tensor | None:
    """Rows of the real inputs beside which the samples are read."""
    units = known_units(samples, reference)
    if units is None or samples.range is None:
        return None
    return reference.nearest(units, samples.range, max(len(samples), 2))


def _as_numbers(stored: Tensor | None, real: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Inputs in stored form as rows whose Euclidean distance is a root mean square; None where
    there are none, or where they are of another shape.
    """
    if stored is None or real is None or stored.shape[1:] != real.shape[1:]:
        return None, None
    x, y = (one.cpu().double().flatten(1) for one in (stored, real))
    if real.dtype is torch.uint8:
        unit = torch.full_like(y[0], 255)
    else:
        unit = y.std(0)
        unit = torch.where(unit > 0, unit, torch.ones_like(unit))
    unit = unit * y.shape[1] ** 0.5
    return x / unit, y / unit

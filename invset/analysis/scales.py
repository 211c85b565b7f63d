"""Robust neurons on both scales: in views of a picture and in the whole of it, samples beside real
images. A level on one scale is no level on the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invset.analysis.beside_real import known_units
from invset.analysis.record import listed
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class BothScales:
    """Medians, raw units, one of each neuron.

    Attributes:
        views: of the samples, mean over the fixed views.
        whole: of the samples, in the whole picture.
        real_views: of the compared real images in views; None where they are not known.
        real_whole: of the same images in the whole.
    """

    views: list[float] = listed("median in views", "raw units")
    whole: list[float] = listed("median in the whole", "raw units")
    real_views: list[float] | None = listed("median of real images in views", "raw units")
    real_whole: list[float] | None = listed("median of real images in the whole", "raw units")


def scales(samples: SampleSet, reference: Reference | None) -> BothScales | None:
    """Both scales; None where neurons are not robust, or without samples."""
    if samples.scales is None or not len(samples):
        return None
    own = samples.scales
    real = _of_real(samples, reference)
    views, whole = (None, None) if real is None else real
    return BothScales(_medians(own.views), _medians(own.whole), views, whole)


def _of_real(
    samples: SampleSet, reference: Reference | None
) -> tuple[list[float], list[float]] | None:
    """Medians in views and in the whole of the real images that are in range, or nearest to it."""
    units = known_units(samples, reference)
    if reference is None or units is None or samples.range is None:
        return None
    if not all(layer in reference.views for layer, _ in units):
        return None
    rows = reference.nearest(units, samples.range, len(samples))
    views = [reference.views[layer][rows, index].median().item() for layer, index in units]
    whole = [reference.whole[layer][rows, index].median().item() for layer, index in units]
    return views, whole


def _medians(f: Tensor) -> list[float]:
    return [float(value) for value in f.median(0).values]

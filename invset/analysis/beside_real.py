"""The samples beside real images in the same range (or nearest to it).

Nearest neighbours and Vendi scores depend on the number of images: as many samples are measured as
there are real images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from invset.analysis.diversity import Diversity
from invset.analysis.neighbours import count_distinct
from invset.analysis.record import figure, part
from invset.analysis.reference import Comparison, Reference
from invset.analysis.sample_set import SampleSet

_SHOWN = ("nearest_neighbour", "vendi", "mean_pairwise_distance", "distance_over_root_d")


@dataclass(frozen=True)
class BesideReal:
    """Samples and real images.

    Attributes:
        kind: which real images: "in range", or "nearest to the range" where few are in it; None
            where there is nothing to compare with.
        images: real images that are known.
        in_range: how many of these lie in the range.
        alike: diversity of the first samples, as many as there are real images; of all samples
            where there are no real images.
        real: diversity of the real images.
        threshold: half the median nearest-neighbour distance of the real images.
        distinct: samples in range, counted in order, that lie farther than `threshold` from all
            counted before.
        code_steps_per_distinct: cost of one of these; nan without any.
    """

    kind: str | None = figure("real images", form="s", headline=True)
    images: int = figure("real images known", low=0, form=".0f")
    in_range: int | None = figure("real images in range", low=0, form=".0f")
    alike: Diversity = part("of as many samples", _SHOWN, beside="real")
    real: Diversity | None = part("of real images")
    threshold: float | None = figure(
        "distance of distinct samples", "units of E", low=0, form=".3g"
    )
    distinct: int | None = figure("distinct", low=0, good="high", form=".0f", headline=True)
    code_steps_per_distinct: float = figure(
        "code-steps a distinct sample", low=0, good="low", form=".3g", headline=True
    )


def beside_real(samples: SampleSet, reference: Reference | None) -> BesideReal:
    """Measure samples and real images alike."""
    e = samples.encodings
    real = compared(samples, reference)
    if real is None:
        return BesideReal(None, 0, None, Diversity.of(e), None, None, None, math.nan)
    count = count_distinct(e[samples.inside], real.threshold)
    cost = samples.effort.code_steps / count if samples.effort and count else math.nan
    return BesideReal(
        real.kind,
        real.images,
        real.in_range,
        Diversity.of(e[: len(real.encodings)]),
        Diversity.of(real.encodings, e.shape[1]),
        real.threshold,
        count,
        cost,
    )


def compared(samples: SampleSet, reference: Reference | None) -> Comparison | None:
    """Real images for a set; None where there are none for its neurons, or several ranges."""
    units = known_units(samples, reference)
    if reference is None or units is None or samples.range is None:
        return None
    return reference.compare(units, samples.range, max(len(samples), 2))


def known_units(samples: SampleSet, reference: Reference | None) -> list[tuple[str, int]] | None:
    """Layer and index of each neuron, if a reference holds them all."""
    units = [unit for unit in samples.units if unit is not None]
    if reference is None or len(units) < len(samples.units):
        return None
    return units if all(reference.knows(layer) for layer, _ in units) else None

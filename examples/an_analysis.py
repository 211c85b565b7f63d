"""An analysis of one's own: do the samples lie evenly in their range?

In the package the file is called as its function, ``place.py`` among the others of
``invset/analysis``, and its template block is ``place.html.jinja`` in
``invset/report/templates/sections``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset import InverseSetSampler, Neuron, Problem, mini_generator, mini_network
from invset.analysis.record import figure, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Place:
    """Where samples lie between z1 (0) and z2 (1) of the first neuron.

    Attributes:
        middle: median place.
        unevenness: Kolmogorov-Smirnov distance between the places and even ones.
        places: of each sample, with shape (n,).
    """

    middle: float = figure("median place in the range", low=0, high=1, form=".0%")
    unevenness: float = figure("unevenness", low=0, high=1, good="low", form=".2f", headline=True)
    places: Tensor = per_sample("place in the range")


def place(samples: SampleSet, reference: Reference | None) -> Place | None:
    """Places; None for no samples, or where they were taken for several ranges."""
    if samples.range is None or not len(samples):
        return None
    places = ((samples.activations - samples.range.z1) / samples.range.width)[:, 0]
    even = torch.linspace(0, 1, len(samples) + 1)
    ordered = places.sort().values
    distance = torch.maximum(even[1:] - ordered, ordered - even[:-1]).max()
    return Place(places.median().item(), distance.item(), places)


if __name__ == "__main__":
    neuron = Neuron("fc8", "horse", range=(3, 5))
    problem = Problem(mini_network(), mini_generator(), neurons=[neuron])
    result = InverseSetSampler(k=5, n=20).run(problem, seed=0)
    record = place(SampleSet.of(problem, problem.region(), result), None)
    print(record)

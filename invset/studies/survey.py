"""Which features of a sparse autoencoder are on in some inputs, in how many of them, and how
strongly.

A feature that is on in few inputs, and strong there, is worth a look. One that is on nowhere has no
inverse set here, and one that is on nearly everywhere tells little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.reach import rounded
from invset.core.sparse_feature import SparseEncoder
from invset.problem.in_views import InViews
from invset.problem.neuron import read_features
from invset.problem.problem import Problem

#: A feature is told of if it is on in so many inputs, and in such a share of them at most.
LEAST, MOST = 5, 0.25


@dataclass(frozen=True)
class Feature:
    """A feature in some inputs.

    Attributes:
        number: from 0.
        count: inputs in which it is on.
        share: of the inputs.
        p50, p90, largest: of its activation where it is on; 0 where it never is.
    """

    number: int
    count: int
    share: float
    p50: float
    p90: float
    largest: float

    @property
    def ends(self) -> tuple[float, float] | None:
        """A range of its stronger half, rounded; None where there is none."""
        return rounded(self.p50, self.p90)

    @property
    def rare(self) -> bool:
        """Whether it is on in few inputs, but not too few to tell of."""
        return self.count >= LEAST and self.share <= MOST


def features_in(problem: Problem, encoder: SparseEncoder, x: Tensor) -> Tensor:
    """f of all features in inputs, where the problem's first neuron is read; of robust neurons the
    mean over the fixed views, which a run's ranges are of.

    Args:
        problem: the network, and the neuron.
        encoder: on the network's device.
        x: inputs, as the network takes them.

    Returns:
        On the CPU, with shape (B, features).
    """
    layer, at = problem.neurons[0].layer, problem.places[0].at

    def read(x: Tensor) -> Tensor:
        return read_features(problem.network.taps(x, {layer})[layer], at, encoder)

    views = problem.readout
    return (views.mean_of(x, read) if isinstance(views, InViews) else read(x)).cpu()


def surveyed(f: Tensor) -> list[Feature]:
    """Every feature.

    Args:
        f: of each input, with shape (N, features); above 0 where the feature is on.
    """
    found = []
    for number, column in enumerate(f.T):
        on = column[column > 0]
        q = [0.0, 0.0, 0.0]
        if len(on):
            q = on.quantile(torch.tensor([0.5, 0.9, 1.0])).tolist()
        found.append(Feature(number, len(on), len(on) / len(f), *q))
    return found


def worth_a_look(features: Sequence[Feature], most: int = 20) -> list[Feature]:
    """The strongest of those that are rare, by the median where they are on."""
    rare = [one for one in features if one.rare]
    return sorted(rare, key=lambda one: -one.p50)[:most]

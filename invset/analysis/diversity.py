"""How different the samples are from each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.analysis.neighbours import sums_and_nearest
from invset.analysis.record import figure
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet

_UNIT = "units of E"


@dataclass(frozen=True)
class Diversity:
    """Diversity of a set of encodings; the figures of sets with the same number of samples compare.

    Attributes:
        samples: how many.
        nearest_neighbour: mean distance from a sample to its nearest other; near zero when the set
            repeats itself.
        vendi: effective number of different samples, from 1 (all alike) to `samples` (Friedman &
            Dieng 2023, arXiv:2210.02410), with the cosine of two encodings as their likeness.
        mean_pairwise_distance: mean Euclidean distance between two samples; the paper's Table 1.
        distance_over_root_d: the same divided by the root of the number of encodings' numbers.
    """

    samples: int = figure("samples", low=0, form=".0f")
    nearest_neighbour: float = figure("nearest neighbour", _UNIT, low=0, good="high", form=".3g")
    vendi: float = figure("Vendi score", low=1, good="high", form=".3g")
    mean_pairwise_distance: float = figure(
        "mean pairwise distance", _UNIT, low=0, good="high", form=".3g"
    )
    distance_over_root_d: float = figure(
        "mean pairwise distance / √d", _UNIT, low=0, good="high", form=".3f"
    )

    @classmethod
    def of(cls, e: Tensor, d: int | None = None) -> Diversity:
        """Measure encodings; nan where there are fewer than two.

        Args:
            e: with shape (N, k).
            d: numbers of an encoding, if `e` has fewer (distances are the same on principal
                components); None: k.
        """
        n = len(e)
        if n < 2:
            return cls(n, math.nan, float(n) if n else math.nan, math.nan, math.nan)
        sums, nearest = sums_and_nearest(e)
        mean = sums.sum().item() / (n * (n - 1))
        root_d = math.sqrt(d or e.shape[1])
        return cls(n, nearest.mean().item(), vendi_score(e), mean, mean / root_d)


def diversity(samples: SampleSet, reference: Reference | None) -> Diversity:
    """Diversity of all samples."""
    return Diversity.of(samples.encodings)


def vendi_score(e: Tensor) -> float:
    """exp of the entropy of the eigenvalues of the cosine kernel divided by N, for encodings with
    shape (N, d).
    """
    x = torch.nn.functional.normalize(e.double(), dim=1, eps=1e-12)
    gram = x @ x.T if len(x) <= x.shape[1] else x.T @ x  # the same eigenvalues but for zeros
    values = torch.linalg.eigvalsh(gram / len(x)).clamp_min(0)
    values = values / values.sum().clamp_min(1e-300)
    return math.exp(-torch.xlogy(values, values).sum().item())

"""The plane of a map: the first two principal components of the encodings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.analysis.record import figure, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.analysis.selection import shown
from invset.core.components import principal_components


@dataclass(frozen=True)
class Plane:
    """Where samples lie on the plane.

    Attributes:
        first, second: share of the variance along each axis.
        points: with shape (n, 2), in activation units of E; nan for samples that no page shows.
    """

    first: float = figure("variance on the map's first axis", low=0, high=1, form=".0%")
    second: float = figure("variance on the map's second axis", low=0, high=1, form=".0%")
    points: Tensor = per_sample("place on the map", "units of E")


def plane(samples: SampleSet, reference: Reference | None) -> Plane | None:
    """Lay out the samples that a page shows; None for fewer than three."""
    places = shown(samples.activations[:, 0].tolist()) if len(samples) else []
    if len(places) < 3:
        return None
    points, first, second = plane_of(samples.encodings[places])
    all_points = points.new_full((len(samples), 2), torch.nan)
    all_points[places] = points
    return Plane(first, second, all_points)


def plane_of(e: Tensor) -> tuple[Tensor, float, float]:
    """Places of encodings, with shape (N, d), N >= 2, as (N, 2), and the share of the variance
    along each axis.
    """
    found = principal_components(e)
    points = torch.zeros(len(e), 2, dtype=torch.float64)
    axes = found.directions[:, :2]
    points[:, : axes.shape[1]] = (e.double() - found.mean) @ axes
    share = torch.zeros(2, dtype=torch.float64)
    share[: axes.shape[1]] = (found.variance / found.variance.sum().clamp_min(1e-300))[:2]
    return points, share[0].item(), share[1].item()

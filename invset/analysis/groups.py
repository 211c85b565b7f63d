"""Groups of samples that are alike: Ward's clustering of the encodings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from torch import Tensor

from invset.analysis.record import figure, listed, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.analysis.selection import shown

#: Fewest samples that are grouped, and most groups.
FEWEST = 10
MOST_GROUPS = 12


@dataclass(frozen=True)
class Groups:
    """Samples by likeness, the largest group first.

    Attributes:
        silhouette: mean silhouette; below 0.25 the groups are no more than a way to look at a
            continuum (Kaufman & Rousseeuw 1990).
        most: groups that were tried at most.
        sizes: samples of each group.
        group: of each sample, from 1; 0 for samples that no page shows; with shape (n,).
        from_medoid: distance of each sample to its group's medoid, the sample with the smallest sum
            of distances to the group; nan for samples that no page shows; with shape (n,).
    """

    silhouette: float = figure("silhouette of the groups", low=-1, high=1, good="high", form=".2f")
    most: int = figure("groups tried at most", low=2, form=".0f")
    sizes: list[int] = listed("samples of each group")
    group: Tensor = per_sample("group")
    from_medoid: Tensor = per_sample("distance to the group's medoid", "units of E")


def groups(samples: SampleSet, reference: Reference | None) -> Groups | None:
    """Group the samples that a page shows; None for fewer than ten, or equal ones."""
    places = shown(samples.activations[:, 0].tolist()) if len(samples) else []
    x = samples.encodings[places].double().numpy()
    if len(x) < FEWEST or not (x != x[0]).any():
        return None
    distances = squareform(pdist(x))
    labels, score = clustered(x, distances)
    group = torch.zeros(len(samples), dtype=torch.long)
    group[places] = torch.from_numpy(labels) + 1
    from_medoid = torch.full((len(samples),), torch.nan, dtype=torch.float64)
    from_medoid[places] = torch.from_numpy(distances_to_medoids(distances, labels))
    sizes = np.bincount(labels).tolist()
    return Groups(score, min(MOST_GROUPS, len(x) // 2), sizes, group, from_medoid)


def clustered(x: np.ndarray, distances: np.ndarray) -> tuple[np.ndarray, float]:
    """Ward's hierarchical clustering, cut into the 2 to 12 groups with the largest mean silhouette:
    the group of each row, the largest group being 0, and that silhouette.

    Reference: Ward 1963; Rousseeuw 1987, Silhouettes.

    Args:
        x: with shape (n, d), n >= 4.
        distances: between the rows, with shape (n, n).
    """
    tree = linkage(x, "ward")
    cuts = [fcluster(tree, k, "maxclust") - 1 for k in range(2, min(MOST_GROUPS, len(x) // 2) + 1)]
    scores = [silhouette(distances, labels) for labels in cuts]
    labels = cuts[int(np.argmax(scores))]
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order)[labels], max(scores)


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean of (b - a) / max(a, b): a is a sample's mean distance to its own group, b to the nearest
    other one; 0 for a group of one.

    Args:
        distances: with shape (n, n).
        labels: group of each sample, from 0, with shape (n,).
    """
    member = np.eye(labels.max() + 1)[labels]
    size = member.sum(0)
    row = np.arange(len(labels))
    if len(size) < 2:
        return -1.0
    sums = distances @ member
    own = sums[row, labels] / np.maximum(size[labels] - 1, 1)
    means = sums / size
    means[row, labels] = np.inf
    other = means.min(1)
    score = (other - own) / np.maximum(np.maximum(own, other), np.finfo(float).tiny)
    return float(np.where(size[labels] == 1, 0.0, score).mean())


def distances_to_medoids(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Distance of each sample to its group's medoid, with shape (n,).

    Args:
        distances: with shape (n, n).
        labels: group of each sample, from 0, with shape (n,).
    """
    found = np.zeros(len(labels))
    for number in range(labels.max() + 1):
        members = np.flatnonzero(labels == number)
        inside = distances[np.ix_(members, members)]
        found[members] = inside[inside.sum(1).argmin()]
    return found

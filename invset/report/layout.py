"""Where samples lie beside each other: the plane of the map, groups, neighbours. Nothing here looks
at pictures or networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform

#: Fewest samples that are grouped, and most groups.
FEWEST, MOST_GROUPS = 10, 12


@dataclass(frozen=True)
class Plane:
    """The two principal components of encodings.

    Attributes:
        points: with shape (n, 2).
        explained: share of the variance along each axis.
    """

    points: np.ndarray
    explained: tuple[float, float]


def plane(encodings: np.ndarray) -> Plane:
    """Principal components of encodings, with shape (n, d). An axis points to where its farthest
    sample lies, so that signs are fixed.
    """
    centred = encodings.astype(np.float64) - encodings.mean(0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    points = np.zeros((len(encodings), 2))
    count = min(2, len(s))
    points[:, :count] = u[:, :count] * s[:count]
    points *= np.where(points[np.abs(points).argmax(0), [0, 1]] < 0, -1, 1)
    variance = np.zeros(2)
    variance[:count] = s[:count] ** 2 / max((s**2).sum(), np.finfo(float).tiny)
    return Plane(points, (float(variance[0]), float(variance[1])))


@dataclass(frozen=True)
class Groups:
    """Samples by likeness, the largest group first.

    Attributes:
        of: group of each sample, from 0, with shape (n,).
        members: places of each group's samples, from the medoid (the sample with the smallest sum
            of distances to the group) outwards.
        silhouette: mean silhouette, in [-1, 1]; below 0.25 the groups are no more than a way to
            look at a continuum (Kaufman & Rousseeuw 1990).
    """

    of: np.ndarray
    members: list[np.ndarray]
    silhouette: float


def groups(encodings: np.ndarray) -> Groups | None:
    """Ward's hierarchical clustering, cut into the 2 to 12 groups with the largest mean silhouette;
    None for too few samples.

    Reference: Ward 1963; Rousseeuw 1987, Silhouettes.
    """
    x = encodings.astype(np.float64)
    if len(x) < FEWEST or not (x != x[0]).any():
        return None
    distances = squareform(pdist(x))
    tree = linkage(x, "ward")
    cuts = [fcluster(tree, k, "maxclust") - 1 for k in range(2, min(MOST_GROUPS, len(x) // 2) + 1)]
    scores = [silhouette(distances, labels) for labels in cuts]
    labels = cuts[int(np.argmax(scores))]
    order = np.argsort(-np.bincount(labels), kind="stable")
    rank = np.argsort(order)[labels]
    return Groups(
        rank,
        [_from_medoid(distances, np.flatnonzero(rank == g)) for g in range(len(order))],
        max(scores),
    )


def silhouette(distances: np.ndarray, labels: np.ndarray) -> float:
    """Mean of (b - a) / max(a, b): a is a sample's mean distance to its own group, b to the nearest
    other one; 0 for a group of one.

    Args:
        distances: with shape (n, n).
        labels: group of each sample, from 0, with shape (n,).
    """
    member = np.eye(labels.max() + 1)[labels]
    size, row = member.sum(0), np.arange(len(labels))
    if len(size) < 2:
        return -1.0
    sums = distances @ member
    own = sums[row, labels] / np.maximum(size[labels] - 1, 1)
    means = sums / size
    means[row, labels] = np.inf
    other = means.min(1)
    score = (other - own) / np.maximum(np.maximum(own, other), np.finfo(float).tiny)
    return float(np.where(size[labels] == 1, 0.0, score).mean())


def _from_medoid(distances: np.ndarray, members: np.ndarray) -> np.ndarray:
    inside = distances[np.ix_(members, members)]
    return members[np.argsort(inside[inside.sum(1).argmin()], kind="stable")]


def nearest(encodings: np.ndarray) -> np.ndarray:
    """Distance of each encoding to its nearest other one, with shape (n,)."""
    distances = squareform(pdist(encodings.astype(np.float64)))
    np.fill_diagonal(distances, np.inf)
    return distances.min(1)


def from_mean(encodings: np.ndarray) -> np.ndarray:
    """Distance of each encoding to their mean, with shape (n,)."""
    x = encodings.astype(np.float64)
    return np.linalg.norm(x - x.mean(0), axis=1)


def apart(points: np.ndarray, size: float, order: Sequence[int]) -> list[int]:
    """Those of `order` whose squares of side `size` around `points`, with shape (n, 2), overlap no
    earlier one.
    """
    chosen: list[int] = []
    for i in order:
        if not chosen or (np.abs(points[chosen] - points[i]).max(1) >= size).all():
            chosen.append(i)
    return chosen

"""k-means: groups of rows about their means (Lloyd 1982; starts by Arthur & Vassilvitskii 2007)."""

from __future__ import annotations

import torch
from torch import Tensor

from invset.core.ball import send

#: Most rounds; groups settle after a few.
ROUNDS = 100


def spread_rows(x: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Rows that lie apart (k-means++): each is drawn with the square of its distance from those
    before as its weight; with shape (count, d).
    """
    first = send(torch.randint(len(x), (1,), generator=rng, device=rng.device), x.device)
    chosen = x[first]
    while len(chosen) < count:
        weight = torch.cdist(x, chosen).square().amin(1).nan_to_num(0, 0, 0).cumsum(0)
        place = send(torch.rand(1, generator=rng, device=rng.device), x.device)
        row = torch.searchsorted(weight, place.to(weight) * weight[-1], right=True)
        chosen = torch.cat([chosen, x[row.clamp_max(len(x) - 1)]])
    return chosen


def kmeans(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Group of each row, with shape (N,), and means of the groups, with shape (count, d).

    Args:
        x: rows, with shape (N, d).
        centres: to start at, with shape (count, d). One that no row is nearest to stays.
    """
    group = torch.cdist(x, centres).argmin(1)
    for _ in range(ROUNDS):
        total = torch.zeros_like(centres).index_add_(0, group, x)
        size = torch.bincount(group, minlength=len(centres)).unsqueeze(1)
        centres = torch.where(size > 0, total / size.clamp_min(1), centres)
        after = torch.cdist(x, centres).argmin(1)
        if torch.equal(after, group):
            break
        group = after
    return group, centres

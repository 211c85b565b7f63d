"""The diversity objective, in linear time.

The pairwise sum of eq. (6) is not quadratic in the number of codes:

    sum_ij |e_i - e_j|² = 2 K sum_i |e_i - mean|²            gradient 4 K (e_i - mean)
    sum_i sum_y |e_i - e_y|² = |C0| sum_i |e_i - mean0|² + K sum_y |e_y - mean0|²

so sums alone are enough, also for eq. (7) with any number of earlier samples C0. The mean is subtracted first: otherwise
float32 cancels when the encodings share a large offset.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def pairwise(e: Tensor) -> Tensor:
    """sum_ij |e_i - e_j|², the objective of eq. (6), for encodings with shape (K, d); a scalar."""
    return 2 * len(e) * (e - e.mean(0, keepdim=True)).square().sum()


@dataclass(frozen=True)
class Moments:
    """What eq. (7) needs to know of the earlier samples C0.

    Attributes:
        count: how many, with shape ().
        mean: of their encodings, with shape (d,).
        scatter: sum of their squared distances from the mean, with shape ().
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, e: Tensor) -> Moments:
        """Moments of encodings with shape (N, d), N >= 1."""
        mean = e.mean(0)
        return cls(torch.tensor(float(len(e)), device=e.device, dtype=e.dtype), mean, (e - mean).square().sum())

    def merged(self, e: Tensor, chosen: Tensor) -> Moments:
        """Moments after adding the rows of `e` where `chosen` (boolean, with shape (B,)); no row is copied or counted on the host.

        The update is Chan, Golub and LeVeque's (1979), which does not cancel.
        """
        weight = chosen.to(e)
        added = weight.sum()
        mean = (weight.unsqueeze(1) * e).sum(0) / added.clamp_min(1)
        scatter = (weight * (e - mean).square().sum(1)).sum()
        count = self.count + added
        delta = mean - self.mean
        share = added / count.clamp_min(1)
        return Moments(count, self.mean + share * delta, self.scatter + scatter + self.count * share * delta.square().sum())


def cross(e: Tensor, earlier: Moments) -> Tensor:
    """sum_i sum_y |e_i - e_y|², the second term of eq. (7), for encodings with shape (K, d); a scalar."""
    return earlier.count * (e - earlier.mean).square().sum() + len(e) * earlier.scatter

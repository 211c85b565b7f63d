"""The diversity objective, in linear time.

The pairwise sum of eq. (6) is not quadratic in the number of codes:

    sum_ij |e_i - e_j|² = 2 K sum_i |e_i - mean|²            gradient 4 K (e_i - mean)
    sum_i sum_y |e_i - e_y|² = |C0| sum_i |e_i - mean0|² + K sum_y |e_y - mean0|²

so sums alone are enough, also for eq. (7) with any number of earlier samples C0. The mean is
subtracted first: otherwise float32 cancels when the encodings share a large offset. Autograd of
these forms gives just the gradients above, in O(K d), and saves one tensor of shape (K, d).

The first line also splits: with moments of all n codes, 2 `cross` of any part of them has eq. (6)'s
gradient for that part, so eq. (6) needs no graph of all n (`invset.samplers.full`).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


def pairwise(e: Tensor) -> Tensor:
    """sum_ij |e_i - e_j|², the objective of eq. (6), for encodings with shape (K, d); a scalar."""
    return 2 * len(e) * (e - e.mean(0, keepdim=True)).square().sum()


@dataclass(frozen=True)
class Moments:
    """What eq. (7) needs to know of the earlier samples C0.

    Attributes:
        count: how many, with shape ().
        mean: of their encodings, with shape (d,), or () of none.
        scatter: sum of their squared distances from the mean, with shape ().
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, e: Tensor) -> Moments:
        """Moments of encodings with shape (N, d), N >= 1, in float64.

        A mean rounded to float32 puts an error of up to half its last digit into every gradient of
        `cross`.
        """
        e = e.double()
        mean = e.mean(0)
        return cls(e.new_full((), len(e)), mean, (e - mean).square().sum())

    @classmethod
    def none(cls, like: Tensor) -> Moments:
        """Moments of no rows, with the type of `like`; the mean, with shape (), fits any width."""
        zero = like.new_zeros(())
        return cls(zero, zero, zero)

    def joined(self, other: Moments) -> Moments:
        """Moments of both sets of rows; the update is Chan, Golub and LeVeque's (1979), which does
        not cancel.
        """
        count = self.count + other.count
        delta = other.mean - self.mean
        share = other.count / count.clamp_min(1)
        scatter = self.scatter + other.scatter + self.count * share * delta.square().sum()
        return Moments(count, self.mean + share * delta, scatter)

    def merged(self, e: Tensor, chosen: Tensor) -> Moments:
        """Moments after adding the rows of `e` where `chosen` (boolean, with shape (B,)); no row is
        copied or counted on the host.
        """
        e = e.to(self.mean)
        weight = chosen.to(e)
        added = weight.sum()
        mean = (weight.unsqueeze(1) * e).sum(0) / added.clamp_min(1)
        scatter = (weight * (e - mean).square().sum(1)).sum()
        return self.joined(Moments(added, mean, scatter))


def cross(e: Tensor, earlier: Moments) -> Tensor:
    """sum_i sum_y |e_i - e_y|², the second term of eq. (7), for encodings with shape (K, d); a
    scalar.
    """
    return earlier.count * (e - earlier.mean).square().sum() + len(e) * earlier.scatter

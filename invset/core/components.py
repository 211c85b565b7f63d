"""Principal components: the one place where they are computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Components:
    """Orthonormal directions of N rows with d numbers, by falling variance.

    Attributes:
        mean: with shape (d,).
        directions: as columns, with shape (d, r), r = min(N, d). The largest entry of each is
            positive.
        variance: along each direction, with shape (r,), at least 0.
    """

    mean: Tensor
    directions: Tensor
    variance: Tensor

    def holding(self, share: float) -> Components:
        """The fewest directions that hold `share`, in (0, 1], of the variance.

        Directions without variance (below 1e-12 of the largest) are never among them.
        """
        part = self.variance.cumsum(0) / self.variance.sum().clamp_min(1e-300)
        varied = int((self.variance > 1e-12 * self.variance[0]).sum())
        count = min(int((part < share).sum()) + 1, varied)
        return Components(self.mean, self.directions[:, :count], self.variance[:count])


def principal_components(x: Tensor) -> Components:
    """Components of rows, with shape (N, d), N >= 2, in float64."""
    x = x.double()
    mean = x.mean(0)
    centred = x - mean
    if len(x) > x.shape[1]:
        variance, directions = torch.linalg.eigh(centred.T @ centred / (len(x) - 1))
        variance = variance.flip(0).clamp_min(0)
        directions = directions.flip(1)
    else:
        # nothing d × d: encodings can have many more numbers than there are samples
        _, values, rows = torch.linalg.svd(centred, full_matrices=False)
        variance = values.square() / (len(x) - 1)
        directions = rows.T
    # the sign of an eigenvector is arbitrary: fixed here, so that every machine agrees
    signs = directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
    return Components(mean, directions * signs, variance)

"""One damped Gauss-Newton step on the p constraint rows.

To bring the activations f (B, p) of coordinates u to their levels, linearise r(u + delta) = r + J
delta and minimise

    1/2 |delta|² + mu/2 |r + J delta|²        delta = -J' (J J' + I / mu)^-1 r

for each code: a p x p solve. In whitened coordinates |delta|² is the change in standard deviations
of real codes, so delta is the most natural way to the level; the quadratic is the penalty of eq.
(9) for f at its level.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gauss_newton_step(
    rows: Tensor,
    residual: Tensor,
    mu: Tensor,
    longest: float | Tensor,
    ways: Tensor | None = None,
) -> Tensor:
    """The step delta, no longer than `longest` standard deviations in root mean square.

    Args:
        rows: J, with shape (B, p, dim).
        residual: r, with shape (B, p).
        mu: penalty of each code, with shape (B,).
        longest: limit of |delta| / sqrt(dim), or one of each code, with shape (B, 1).
        ways: directions H to go in, in place of J', with shape (B, p, dim): delta = -H' (J H' +
            I / mu)^-1 r; see `Region.ways`.
    """
    ways = rows if ways is None else ways
    gram = rows @ ways.transpose(1, 2)
    gram.diagonal(dim1=1, dim2=2).add_((1 / mu).unsqueeze(1))
    weights = _solved(gram, residual.unsqueeze(2))
    delta = -(ways * weights).sum(1)
    length = delta.norm(dim=1, keepdim=True) / math.sqrt(delta.shape[1])
    # as PyTorch divides a number by a tensor, to the last bit
    return delta * (length.clamp_min(1e-30).reciprocal() * longest).clamp_max(1)


def along(rows: Tensor, push: Tensor) -> Tensor:
    """The part of `push` that changes no activation (to first order), with unit root mean
    square.
    """
    gram = rows @ rows.transpose(1, 2)
    diagonal = gram.diagonal(dim1=1, dim2=2)
    diagonal.add_(1e-6 * diagonal.mean(1, keepdim=True).clamp_min(1e-30))
    weights = _solved(gram, rows @ push.unsqueeze(2))
    free = push - (rows * weights).sum(1)
    return free / free.norm(dim=1, keepdim=True).clamp_min(1e-30) * math.sqrt(free.shape[1])


def _solved(gram: Tensor, right: Tensor) -> Tensor:
    """The weights w of gram w = right, with shapes (B, p, p) and (B, p, 1).

    One neuron is one equation. A device's solver takes several kernels for it, where two do.
    """
    if gram.shape[1] == 1:
        return right * gram.reciprocal()  # as LAPACK divides, to the last bit
    # solve_ex does not read an error code back from the device
    return torch.linalg.solve_ex(gram, right)[0]

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


def gauss_newton_step(rows: Tensor, residual: Tensor, mu: Tensor, longest: float) -> Tensor:
    """The step delta, no longer than `longest` standard deviations in root mean square.

    Args:
        rows: J, with shape (B, p, dim).
        residual: r, with shape (B, p).
        mu: penalty of each code, with shape (B,).
        longest: limit of |delta| / sqrt(dim).
    """
    gram = rows @ rows.transpose(1, 2) + torch.diag_embed((1 / mu).unsqueeze(1).expand_as(residual))
    # solve_ex does not read an error code back from the device
    weights = torch.linalg.solve_ex(gram, residual.unsqueeze(2))[0]
    delta = -(rows * weights).sum(1)
    length = delta.norm(dim=1, keepdim=True) / math.sqrt(delta.shape[1])
    return delta * (longest / length.clamp_min(1e-30)).clamp_max(1)

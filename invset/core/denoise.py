"""Total variation denoising of pictures (Rudin, Osher & Fatemi 1992), by the dual steps of
Chambolle 2004, An algorithm for total variation minimization and applications.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Length of a dual step.
TAU = 0.25


def denoised(x: Tensor, strength: float, rounds: int = 30) -> Tensor:
    """The u that makes Σ |∇u| + |u - x|² / (2 strength) small, for each channel.

    Args:
        x: pictures, with shape (B, channels, H, W).
        strength: in the units of x; an edge is lowered by it times length over area.
        rounds: dual steps.
    """
    across = torch.zeros_like(x)
    down = torch.zeros_like(x)
    for _ in range(rounds):
        rest = _divergence(across, down) - x / strength
        to_right = functional.pad(rest[..., 1:] - rest[..., :-1], (0, 1))
        to_below = functional.pad(rest[..., 1:, :] - rest[..., :-1, :], (0, 0, 0, 1))
        size = 1 + TAU * (to_right.square() + to_below.square()).sqrt()
        across = (across + TAU * to_right) / size
        down = (down + TAU * to_below) / size
    return x - strength * _divergence(across, down)


def _divergence(across: Tensor, down: Tensor) -> Tensor:
    """Minus the adjoint of forward differences."""
    right = across - functional.pad(across[..., :-1], (1, 0))
    return right + down - functional.pad(down[..., :-1, :], (0, 0, 1, 0))

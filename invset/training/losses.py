"""Codes that no picture has, and errors that mean the same for every network."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from invset.core.ball import send


def gaussian_codes(codes: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Draw codes with the mean and covariance of `codes`, with shape (B, d), without forming the
    covariance.
    """
    mean = codes.mean(0)
    drawn = send(torch.randn(count, len(codes), generator=rng), codes.device)
    mixing = drawn.to(codes) / math.sqrt(len(codes) - 1)
    return mean + mixing @ (codes - mean)


def relative_error(value: Tensor, target: Tensor) -> Tensor:
    """Squared error as a share of the target's mean square, over the whole batch."""
    return F.mse_loss(value.float(), target.float()) / target.float().square().mean().clamp_min(
        1e-12
    )

"""Rounding with the gradient of the identity (straight through): what the network sees is what is
saved, and yet it can be moved.
"""

from __future__ import annotations

import torch
from torch import Tensor


class Round8Bit(torch.autograd.Function):
    """The 8-bit values that a PNG holds."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return (x * 255).round() / 255

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


class Snap(torch.autograd.Function):
    """Whole numbers in some columns."""

    @staticmethod
    def forward(ctx: object, x: Tensor, whole: Tensor) -> Tensor:
        return torch.where(whole, x.round() + 0.0, x)  # + 0.0: a file has one zero

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return gradient, None

"""Fully connected layers of frozen networks at the speed of memory.

A pass of ten codes does 20 operations for each weight that it reads, so a fully connected layer
should cost what reading its weights costs. PyTorch gives these products to MKL, which reads them at
a quarter of that speed on AMD's processors; oneDNN, which computes PyTorch's convolutions, needs a
third of MKL's time if the weights are packed for it (docs/speed.md).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Rows that weights are packed for; with others the products are the same, and as fast from 1 to
#: 1,000.
BATCH = 10


@cache
def packing_pays() -> bool:
    """Whether this processor was found to gain from packed weights; with AVX2 alone the two
    libraries are equal.
    """
    known = torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_linear_pointwise"
    )  # torch.compile's, not public
    return known and torch.backends.cpu.get_cpu_capability() == "AVX512"


class Dense(nn.Linear):
    """`nn.Linear` that packs its weights, twice, for forward and backward passes, once they are
    frozen; the result is the same.

    Weights that are trained, on another device, in another type or on another kind of processor go
    the way of `nn.Linear`. Weights changed in place or replaced are packed anew at the next pass.
    """

    _packed: tuple[tuple[int, int], Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not self._can_be_packed(x):
            return F.linear(x, self.weight, self.bias)
        weight = self.weight.detach()
        state = weight.data_ptr(), weight._version
        if self._packed is None or self._packed[0] != state:
            pack = torch.ops.mkldnn._reorder_linear_weight
            self._packed = state, pack(weight, BATCH), pack(weight.t(), BATCH)
        return _Product.apply(x, *self._packed[1:], self.bias)

    def _can_be_packed(self, x: Tensor) -> bool:
        frozen = not (self.weight.requires_grad or torch.is_autocast_enabled("cpu"))
        usual = (
            x.ndim == 2
            and len(x) > 0
            and x.device.type == "cpu"
            and x.dtype == self.weight.dtype == torch.float32
        )
        return frozen and usual and packing_pays()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}  # packed weights can't be copied


class _Product(torch.autograd.Function):
    """x W' + b, with the gradient in x alone."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, forward: Tensor, backward: Tensor, bias: Tensor | None
    ) -> Tensor:
        ctx.backward_weight = backward
        return torch.ops.mkldnn._linear_pointwise(x, forward, bias, "none", [], "")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        return (
            torch.ops.mkldnn._linear_pointwise(
                gradient.contiguous(), ctx.backward_weight, None, "none", [], ""
            ),
            None,
            None,
            None,
        )

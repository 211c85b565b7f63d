"""Depthwise convolutions with a stride, whose gradient in bfloat16 is computed in float32.

oneDNN has no fast kernel for that gradient in bfloat16: it takes 5 to 50 times as long as the one
in float32, most of the backward pass of a network such as EfficientNet-Lite.
`invset.nets.fast.accelerate` puts this class in; what it brings is in docs/speed.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def is_strided_depthwise(module: nn.Module) -> bool:
    """Whether a module is a convolution that `Depthwise` computes: one filter a channel, with a
    stride.
    """
    return (
        isinstance(module, nn.Conv2d)
        and module.groups == module.in_channels == module.out_channels > 1
        and max(module.stride) > 1
        and module.padding_mode == "zeros"
        and isinstance(module.padding, tuple)
    )


class Depthwise(nn.Conv2d):
    """`nn.Conv2d` with one filter a channel. On a CPU, in bfloat16, with frozen weights, its
    gradient is that of float32, rounded; anything else goes the way of `nn.Conv2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling() or not self._has_own_gradient(x):
            return super().forward(x)
        geometry = self.stride, self.padding, self.dilation
        return _Depthwise.apply(x.bfloat16(), self.weight, self.bias, geometry)

    def _has_own_gradient(self, x: Tensor) -> bool:
        autocast = torch.is_autocast_enabled("cpu")
        kind = torch.get_autocast_dtype("cpu") if autocast else x.dtype
        trained = any(one.requires_grad for one in self.parameters())
        usual = x.device.type == "cpu" and len(x) > 0 and kind is torch.bfloat16
        return usual and x.requires_grad and not trained


class _Depthwise(torch.autograd.Function):
    """A convolution of x in the type of x, whose gradient in x is computed in float32, or in the
    type of the weights if that is wider.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: tuple[Any, ...]
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.geometry = geometry
        ctx.shape = x.shape
        own_bias = None if bias is None else bias.to(x)
        stride, padding, dilation = geometry
        return F.conv2d(x, weight.to(x), own_bias, stride, padding, dilation, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        (weight,) = ctx.saved_tensors
        wide = torch.promote_types(weight.dtype, torch.float32)
        stride, padding, dilation = ctx.geometry
        # of the input its shape and layout alone are looked at
        like = torch.empty(ctx.shape, dtype=wide, memory_format=torch.channels_last)
        found, _, _ = torch.ops.aten.convolution_backward(
            gradient.to(wide),
            like,
            weight.to(wide),
            None,
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            len(weight),
            [True, False, False],
        )
        return found.to(gradient), None, None, None

"""Layers that give PyTorch's values in less time, and the one switch that puts them in.

    nn.Linear              `Dense`         weights packed for oneDNN, on the CPU, once frozen
    nn.Conv2d              `BlockConv2d`   with stride, without padding: on blocks of pixels
    nn.Conv2d              `Depthwise`     one filter a channel, with stride: a gradient in float32
    nn.LocalResponseNorm   `ChannelNorm`   a product with a band matrix

Networks are built of PyTorch's own layers; `accelerate` exchanges them. What each one brings is in
docs/speed.md.

A pass of ten codes does 20 operations for each weight that it reads, so a fully connected layer
should cost what reading its weights costs. PyTorch gives these products to MKL, which reads them at
a quarter of that speed on AMD's processors; oneDNN, which computes PyTorch's convolutions, needs a
third of MKL's time if the weights are packed for it. PyTorch has no public function for that. So
whatever private name is used here is looked for first; where one is missing, `Dense` is
`nn.Linear`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.nets.depthwise import Depthwise, is_strided_depthwise

Module = TypeVar("Module", bound=nn.Module)

#: Rows that weights are packed for; with others the products are the same, and as fast from 1 to
#: 1,000.
BATCH = 10


def can_pack(operators: object = torch.ops.mkldnn, tensor: type = Tensor) -> bool:
    """Whether this PyTorch has all private names that packing needs.

    Args:
        operators: where oneDNN's are: packing of a weight, and a product with what it gives.
        tensor: the class whose count of changes in place tells that a weight is another.
    """
    needed = ("_reorder_linear_weight", "_linear_pointwise")
    return (
        torch.backends.mkldnn.is_available()
        and all(hasattr(operators, name) for name in needed)
        and hasattr(tensor, "_version")
    )


#: Found once: whether weights can be packed, and whether this processor was found to gain from it;
#: with AVX2 alone the two libraries are equal.
CAN_PACK = can_pack()
PACKING_PAYS = CAN_PACK and torch.backends.cpu.get_cpu_capability() == "AVX512"


def accelerate(module: Module, on: bool = True) -> Module:
    """Exchange the layers of a module, in place, for those above; the values are the same.

    Args:
        module: any.
        on: False exchanges them back for PyTorch's own.

    Returns:
        The same module.
    """
    for child in module.modules():
        # the classes differ in `forward` alone, so parameters, hooks and names stay as they are
        child.__class__ = _fast(child) if on else _PLAIN.get(type(child), type(child))
    return module


def _fast(layer: nn.Module) -> type[nn.Module]:
    """The class that computes a layer faster, or its own."""
    if type(layer) is not nn.Conv2d:
        return _FAST.get(type(layer), type(layer))
    if is_strided_depthwise(layer):
        return Depthwise
    return BlockConv2d if _in_blocks(layer) else nn.Conv2d


def channels_last(module: Module) -> Module:
    """The same module with its maps laid out as N, H, W, C, which convolutions on CPUs prefer."""
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _in_blocks(conv: nn.Module) -> bool:
    """Whether a convolution is one that `BlockConv2d` computes, and gains from that."""
    assert isinstance(conv, nn.Conv2d)
    stride = conv.stride[0]
    kernel = conv.kernel_size[0]
    square = conv.stride == (stride, stride) and conv.kernel_size == (kernel, kernel)
    whole = conv.padding == (0, 0) and conv.dilation == (1, 1) and conv.groups == 1
    # taps of weight zero cost as much as others: with 3x3 and stride 2 they outweigh the gain
    padded = kernel + -kernel % stride
    return square and whole and stride > 1 and padded**2 <= 1.5 * kernel**2


class Dense(nn.Linear):
    """`nn.Linear` that packs its weights, twice, for forward and backward passes, once they are
    frozen; the result is the same.

    Weights that are trained, on another device, in another type or on another kind of processor go
    the way of `nn.Linear`; under autocast a copy of frozen ones in its type is kept, which it would
    make anew in each pass. Weights changed in place or replaced are packed, or copied, anew at the
    next pass.
    """

    _packed: tuple[tuple[int, int], Tensor, Tensor] | None = None
    _low: tuple[tuple[Any, ...], Tensor, Tensor | None] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return F.linear(x, self.weight, self.bias)
        if not self._can_be_packed(x):
            return F.linear(x, *self._as_autocast(x.device.type))
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
        return frozen and usual and PACKING_PAYS

    def _as_autocast(self, device: str) -> tuple[Tensor, Tensor | None]:
        """Weight and bias, as autocast on a kind of device gives them to a product."""
        held = [self.weight] if self.bias is None else [self.weight, self.bias]
        cast = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        frozen = not any(one.requires_grad or one.dtype is not torch.float32 for one in held)
        if not (cast and frozen):
            return self.weight, self.bias
        kind = torch.get_autocast_dtype(device)
        state = kind, device, *((one.data_ptr(), one._version) for one in held)
        if self._low is None or self._low[0] != state:
            low = [one.detach().to(kind) for one in held]
            self._low = state, low[0], low[1] if len(low) > 1 else None
        return self._low[1:]

    def __getstate__(self) -> dict[str, Any]:
        # packed weights can't be copied, others need not be
        return {**self.__dict__, "_packed": None, "_low": None}


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
        weight = ctx.backward_weight
        product = torch.ops.mkldnn._linear_pointwise(
            gradient.contiguous(), weight, None, "none", [], ""
        )
        return product, None, None, None


class BlockConv2d(nn.Conv2d):
    """A convolution without padding or groups, computed on blocks of stride x stride pixels as
    channels; the numbers are the same.

    conv1 sees 3 channels, too few for the CPU kernels of its gradient: as 48 channels of 4x4 blocks
    its forward and backward pass takes 0.45 of the time, which is 0.07 of a step of CaffeNet with
    its generator.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not len(x):
            # pixel_unshuffle leaves the channels of no images as they are
            return super().forward(x)
        stride = self.stride[0]
        kernel = self.kernel_size[0]
        more = -kernel % stride  # taps of weight zero, up to whole blocks
        blocks = (
            F.pad(self.weight, (0, more, 0, more))
            .unflatten(3, (-1, stride))
            .unflatten(2, (-1, stride))
        )
        weight = blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
        down, right = (
            (side - kernel) // stride * stride + kernel + more - side for side in x.shape[-2:]
        )
        return F.conv2d(F.pixel_unshuffle(F.pad(x, (0, right, 0, down)), stride), weight, self.bias)


class ChannelNorm(nn.LocalResponseNorm):
    """Local response normalisation by a sum over channels that is a product with a band matrix, and
    with a backward pass of its own.

        y = x d^-beta,   d = k + alpha/n sum_window x²
        dx = dy d^-beta - 2 alpha beta / n x sum_window (dy x d^(-beta - 1))

    PyTorch's pools over 3-d volumes, which takes 3.4 times as long.
    """

    def forward(self, x: Tensor) -> Tensor:
        channel = torch.arange(x.shape[1], device=x.device)
        ahead = channel - channel.unsqueeze(1) + self.size // 2
        band = ((ahead >= 0) & (ahead < self.size)).to(x.dtype) * (self.alpha / self.size)
        return _Normalized.apply(x, band[..., None, None], self.beta, self.k)


class _Normalized(torch.autograd.Function):
    # CUDA's autocast takes powers in float32 and convolutions in bfloat16, the CPU's leaves both as
    # they come; a backward pass, outside of autocast, can't mix them
    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(ctx: Any, x: Tensor, band: Tensor, beta: float, k: float) -> Tensor:
        scale = F.conv2d(x.square(), band) + k
        factor = scale.pow(-beta)
        ctx.save_for_backward(x, band, scale, factor)
        ctx.beta = beta
        return x * factor

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        x, band, scale, factor = ctx.saved_tensors
        direct = gradient * factor
        around = F.conv2d(direct * x / scale, band.transpose(0, 1))
        return torch.addcmul(direct, x, around, value=-2 * ctx.beta), None, None, None


#: PyTorch's layers and ours; which convolution becomes what, its shape says (`_fast`).
_FAST: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Dense,
    nn.LocalResponseNorm: ChannelNorm,
}
_PLAIN = {fast: plain for plain, fast in _FAST.items()}
_PLAIN |= {BlockConv2d: nn.Conv2d, Depthwise: nn.Conv2d}

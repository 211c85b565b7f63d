"""Encoders that mirror `invset.nets.upconv`: from an image to a code.

    conv1_1 down1 | conv2_1 down2 | … | code

Leaky ReLUs with slope 0.3 after every layer but the last; each ``down`` (4x4, stride 2) halves the
side.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from invset.core.checks import check_widths
from invset.errors import InvsetError
from invset.nets.upconv import SLOPE


class DownConv(nn.Sequential):
    """Float images in [0, 1], with shape (N, channels, size, size), to codes, with shape (N,
    code_dim).

    Args:
        code_dim: numbers in a code.
        size: side of the image in pixels, a multiple of 2 to the power of the number of pairs.
        widths: channels before and after each halving of the side, one pair (conv, down) a halving.
        channels: of the image: 3 is RGB, 1 grey.
    """

    def __init__(
        self,
        code_dim: int = 128,
        size: int = 28,
        widths: Sequence[Sequence[int]] = ((16, 32), (32, 32)),
        channels: int = 1,
    ) -> None:
        for pair in widths:
            check_widths("a pair of widths", pair, 2)
        check_widths("code_dim, size and channels", [code_dim, size, channels], 3)
        if size % 2 ** len(widths):
            raise InvsetError(
                f"size must be a multiple of 2 ** (number of width pairs) = {2 ** len(widths)}, not"
                f" {size}"
            )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        before = channels
        for i, (same, down) in enumerate(widths, start=1):
            layers[f"conv{i}_1"] = nn.Conv2d(before, same, 3, padding=1)
            layers[f"relu_conv{i}_1"] = nn.LeakyReLU(SLOPE)
            layers[f"down{i}"] = nn.Conv2d(same, down, 4, stride=2, padding=1)
            layers[f"relu_down{i}"] = nn.LeakyReLU(SLOPE)
            before = down
        layers["flatten"] = nn.Flatten()
        layers["code"] = nn.Linear(before * (size // 2 ** len(widths)) ** 2, code_dim)
        super().__init__(layers)

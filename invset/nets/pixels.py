"""``generator=pixels``: the code is the image itself, so the inverse set is sought among all
images, natural or not.

The baseline that a generator is measured against: the activation is reached within a few steps, by
what looks like noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.nets.generator import Generator
from invset.nets.sides import sides


def pixels_generator(
    size: int | Sequence[int] = 32, channels: int = 3, device: str | torch.device = "cpu"
) -> Generator:
    """The identity: channels * height * width pixels in [0, 1] are the code.

    Args:
        size: side of the image in pixels, or (height, width).
        channels: of the image, 3 for RGB, 1 for grey.
        device: where the images are.

    Raises:
        InvsetError: `size` or `channels` is below 1.
    """
    height, width = sides(size)
    if channels < 1:
        raise InvsetError(f"generator.channels must be at least 1, not {channels}")
    count = channels * height * width

    def start(number: int, rng: torch.Generator) -> Tensor:
        return torch.rand(number, count, generator=rng, device=rng.device).to(device)

    return Generator(
        nn.Unflatten(1, (channels, height, width)),
        count,
        name="pixels",
        clip=(0.0, 1.0),
        start=start,
        learnt=False,
        device=device,
    )

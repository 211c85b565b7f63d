"""``generator=pixels``: the code is the image itself, so the inverse set is sought among all
images, natural or not.

The baseline that a generator is measured against: the activation is reached within a few steps, by
what looks like noise.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.nets.generator import Generator


def pixels_generator(size: int = 32, device: str | torch.device = "cpu") -> Generator:
    """The identity: 3 * size² pixels in [0, 1] are the code.

    Args:
        size: side of the image in pixels.
        device: where the images are.

    Raises:
        InvsetError: `size` is below 1.
    """
    if size < 1:
        raise InvsetError(f"generator.size must be at least 1 pixel, not {size}")

    def start(count: int, rng: torch.Generator) -> Tensor:
        return torch.rand(count, 3 * size * size, generator=rng, device=rng.device).to(device)

    return Generator(
        nn.Unflatten(1, (3, size, size)),
        3 * size * size,
        name="pixels",
        clip=(0.0, 1.0),
        start=start,
        device=device,
    )

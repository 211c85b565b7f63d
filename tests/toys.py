"""Tiny data sets for the tests of training."""

from __future__ import annotations

import torch

from invset.files.images import ImageSet


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def two_classes(count: int = 64, size: int = 8, seed: int = 0) -> ImageSet:
    """Noise on a reddish or a bluish ground: a linear function of the mean colour tells the classes
    apart.
    """
    rng = seeded(seed)
    labels = torch.arange(count) % 2
    images = torch.randint(0, 120, (count, 3, size, size), generator=rng)
    images[labels == 0, 0] += 100
    images[labels == 1, 2] += 100
    return ImageSet(
        images.to(torch.uint8), labels, ["red", "blue"], [f"{i}.png" for i in range(count)]
    )

"""Small inverse sets whose answer is known, shared by the tests of the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from invset.core.ranges import ActivationRange
from invset.core.space import Box, Region
from invset.core.target import Target
from invset.samplers.base import Sampler
from invset.samplers.drive import Run, drive


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=seeded(seed), dtype=torch.float64)


def cube(dim: int = 8, seed: int = 0) -> Box:
    """The unit cube of pixels, starting anywhere in it."""
    return Box(0.0, 1.0, uniform(512, dim, seed=seed))


def plain_set(
    f: Callable[[Tensor], Tensor], ranges: Sequence[tuple[float, float]], region: Region
) -> Target:
    """f by itself: G and E are the identity."""
    like = region.sample(1, seeded())
    return Target(lambda c: (f(c), c), ActivationRange.of(ranges, like), region)


def linear(dim: int = 8, p: int = 1, seed: int = 1) -> Tensor:
    """Weights of p linear units, with shape (dim, p)."""
    return normal(dim, p, seed=seed)


def tanh_net(dim: int = 8, p: int = 3, seed: int = 2) -> Callable[[Tensor], Tensor]:
    """A smooth nonlinear f with p outputs."""
    first, second = normal(dim, 16, seed=seed) / dim**0.5, normal(16, p, seed=seed + 1) / 4
    return lambda c: torch.tanh(2 * c @ first) @ second


def run(sampler: Sampler[Any], target: Target, seed: int = 0) -> Run[Any]:
    return drive(sampler, target, seeded(seed))


def mean_distance(x: Tensor) -> float:
    return torch.pdist(x).mean().item()

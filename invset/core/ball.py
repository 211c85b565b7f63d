"""The natural region of codes that are N(0, I): a ball, without a matrix.

`CodePrior` is the same ball in whitened coordinates of codes that are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.coordinates import Coordinates
from invset.core.options import Bounds, check_option
from invset.core.values import ByValue

#: Share of a fresh draw in the code that follows a sample, where a region knows no better one.
WALK = 0.85


def send(x: Tensor, device: torch.device) -> Tensor:
    """Copy to a device without waiting for it, which takes pinned memory there."""
    if device.type == "cuda" and x.device.type == "cpu":
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


class InBall(Coordinates):
    """Coordinates w that are N(0, I) in the ball |w| <= radius."""

    radius: Tensor
    name: ClassVar[str] = "natural"
    scale: ClassVar[float] = 1.0
    plain: ClassVar[bool] = False
    walk: ClassVar[float] = WALK

    @property
    def dim(self) -> int:
        raise NotImplementedError

    def project(self, u: Tensor) -> Tensor:
        norm = u.norm(dim=1, keepdim=True)
        return u * (self.radius.to(u) / norm.clamp_min(1e-12)).clamp_max(1)

    def tangent(self, rows: Tensor, u: Tensor) -> Tensor:
        """Without their radial part where u lies on the sphere |u| = radius."""
        norm = u.norm(dim=1, keepdim=True)
        normal = torch.where(
            norm > 0.999 * self.radius, u / norm.clamp_min(1e-12), torch.zeros_like(u)
        ).unsqueeze(1)
        return rows - (rows * normal).sum(2, keepdim=True) * normal

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        u = torch.randn(count, self.dim, generator=rng, device=rng.device)
        return self.project(send(u, self.radius.device))

    def mixed(self, u: Tensor, fresh: Tensor, share: float) -> Tensor:
        return math.sqrt(1 - share**2) * u + share * fresh  # N(0, I) if both are


@dataclass(frozen=True, eq=False)
class Ball(ByValue, InBall):
    """Codes that are N(0, I) by construction (GANs, flows), of any length: nothing is stored.

    Attributes:
        code_dim: numbers in a code.
        radius: of the ball, with shape ().
    """

    code_dim: int
    radius: Tensor

    @property
    def dim(self) -> int:
        return self.code_dim

    @classmethod
    def holding(cls, code_dim: int, share: float = 0.95) -> Ball:
        """The ball that holds a share of all codes, in (0, 1): its radius is a quantile of the chi
        distribution.

        Raises:
            InvsetError: another share.
        """
        check_option("share", share, "float", Bounds(above=0, below=1), 0.95)
        low = 0.0
        # of |w|², whose distribution function is gammainc(code_dim / 2, |w|² / 2)
        high = code_dim + 40 * math.sqrt(code_dim)
        for _ in range(64):
            middle = (low + high) / 2
            half = torch.tensor([code_dim / 2, middle / 2], dtype=torch.float64)
            below = torch.special.gammainc(half[0], half[1]).item() < share
            low, high = (middle, high) if below else (low, middle)
        return cls(code_dim, torch.tensor(math.sqrt(low)))

    def to(self, device: str | torch.device) -> Ball:
        """The same on another device."""
        return Ball(self.code_dim, self.radius.to(device))

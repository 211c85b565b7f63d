"""The region of phases: every code is as natural as every other, and 2π is where it began."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.coordinates import Coordinates


@dataclass(frozen=True)
class Torus(Coordinates):
    """Phases in [-π, π).

    Attributes:
        dim: phases in a code.
        scale: the unit of step lengths, radians.
        device: where codes are.
    """

    dim: int
    scale: float
    device: str | torch.device = "cpu"
    name: ClassVar[str] = "natural"
    plain: ClassVar[bool] = False
    walk: ClassVar[float] = 1.0

    def to(self, device: str | torch.device) -> Torus:
        """The same on another device."""
        return Torus(self.dim, self.scale, device)

    def project(self, u: Tensor) -> Tensor:
        return (u + math.pi).remainder(2 * math.pi) - math.pi

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        turn = torch.rand(count, self.dim, generator=rng, device=rng.device)
        return send((2 * turn - 1) * math.pi, torch.device(self.device))

    def mixed(self, u: Tensor, fresh: Tensor, share: float) -> Tensor:
        way = self.project(fresh - u)  # the shorter one
        return self.project(u + share * way)

"""What most regions have alike: coordinates are the codes, and every one counts the same."""

from __future__ import annotations

import torch
from torch import Tensor


class Coordinates:
    """Coordinates u that are the codes themselves; a region says otherwise where it must.

    The methods are those of `invset.core.space.Region`.
    """

    def decode(self, u: Tensor) -> Tensor:
        return u

    def encode(self, codes: Tensor) -> Tensor:
        return codes

    def tangent(self, rows: Tensor, u: Tensor) -> Tensor:
        return rows

    def ways(self, rows: Tensor) -> Tensor:
        return rows

    def calm(self, u: Tensor) -> Tensor:
        return u

    def pace(self, age: Tensor) -> Tensor:
        return torch.ones_like(age)

    def principal(self, count: int) -> Tensor | None:
        return None

"""The average of the weights that is exported."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def warm_ema(decay: float) -> Callable[[Tensor, Tensor, int | Tensor], Tensor]:
    """Exponential moving average whose first values weigh as a plain mean does, so that the start
    is soon forgotten.
    """

    def average(averaged: Tensor, current: Tensor, count: int | Tensor) -> Tensor:
        if not averaged.is_floating_point():  # batch norm's count of batches
            return current
        return torch.lerp(
            averaged, current.to(averaged.dtype), max(1 - decay, 1 / (1 + 0.1 * float(count)))
        )

    return average

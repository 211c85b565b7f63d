"""The average of the weights that is exported."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class WarmAverage(AveragedModel):
    """Exponential moving average of a model's weights and buffers, of all of them in one call.

    Its first values weigh as a plain mean does, so that the start is soon forgotten. Updates are
    counted on the host, wherever the weights are.

    Args:
        model: what is averaged.
        decay: what the average keeps of itself at an update, in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, use_buffers=True)
        self.decay = decay

    @property
    def weight(self) -> float:
        """Of the model's values at the next update: 1 at the first."""
        return max(1 - self.decay, 1 / (1 + 0.1 * int(self.n_averaged)))

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        means, counters = _tensors(self.module)
        values, counts = _tensors(model)
        torch._foreach_lerp_(means, values, self.weight)
        for mine, count in zip(counters, counts, strict=True):
            mine.copy_(count)
        self.n_averaged += 1


def _tensors(module: nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Weights and buffers with a mean; and those without, as batch norm's counts of batches."""
    both: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for one in (*module.parameters(), *module.buffers()):
        both[not one.is_floating_point()].append(one)
    return both

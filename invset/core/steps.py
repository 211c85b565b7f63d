"""Step rules for codes: how a gradient becomes a step, each code on its own.

The paper's plain step C - beta dL/dC leaves beta open and explodes once mu is large; the other two
rules do not care about the scale of L. Lengths are in units of the region's scale (`Region.scale`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

#: What a rule remembers of each code; the first axis is the batch.
Memory = dict[str, Tensor]


class StepRule(Protocol):
    """``step, memory = rule(gradient, memory)``; the step is to be multiplied by the region's scale
    and subtracted.
    """

    def __call__(self, gradient: Tensor, memory: Memory) -> tuple[Tensor, Memory]: ...


@dataclass(frozen=True)
class Plain:
    """beta * gradient, the paper's step 3 (section 3.4).

    Attributes:
        beta: step length.
    """

    beta: float

    def __call__(self, gradient: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return self.beta * gradient, memory


@dataclass(frozen=True)
class Normalized:
    """lr * gradient / mean |gradient| of each code, as PPGN steps (Nguyen et al. 2017).

    Attributes:
        lr: mean absolute step of one coordinate.
    """

    lr: float

    def __call__(self, gradient: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        return self.lr * gradient / gradient.abs().mean(1, keepdim=True).clamp_min(1e-30), memory


@dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015) with a step counter for each code, so that codes of different ages
    share a batch.

    Attributes:
        lr: largest step of one coordinate.
        beta1, beta2: decays of the two averages.
        eps: added to the root.
    """

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-30

    def __call__(self, gradient: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        if not memory:
            age = torch.zeros(len(gradient), 1, device=gradient.device, dtype=gradient.dtype)
            memory = {"m": torch.zeros_like(gradient), "v": torch.zeros_like(gradient), "age": age}
        m = torch.lerp(gradient, memory["m"], self.beta1)
        v = torch.lerp(gradient.square(), memory["v"], self.beta2)
        age = memory["age"] + 1
        step = (
            self.lr * (m / (1 - self.beta1**age)) / ((v / (1 - self.beta2**age)).sqrt() + self.eps)
        )
        return step, {"m": m, "v": v, "age": age}

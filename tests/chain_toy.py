"""A linear generator, an encoder of as many numbers as codes, and a network of two layers: what the
tests of chains in code space run on.
"""

from __future__ import annotations

import torch
from cases import normal
from torch import Tensor

from invset.core.ranges import ActivationRange
from invset.core.space import Box
from invset.core.target import Layer, Target

DIM, PIXELS, HIDDEN, UNITS, UNIT = 6, 10, 7, 4, 2
#: A linear generator, an encoder of as many numbers as codes, and a network of two layers.
G, E, W1, W2 = (
    normal(*s, seed=i) / 3
    for i, s in enumerate([(DIM, PIXELS), (PIXELS, DIM), (PIXELS, HIDDEN), (HIDDEN, UNITS)])
)
g_, e_, w1_, w2_ = (m.numpy() for m in (G, E, W1, W2))


def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
    x = codes @ G
    return torch.tanh(x @ W1) @ W2, torch.relu(x @ E)


def target(low: float = 0.0, high: float = 30.0, unit: int = UNIT) -> Target:
    def one(codes: Tensor) -> tuple[Tensor, Tensor]:
        f, e = evaluate(codes)
        return f[:, [unit]], e

    start = normal(1, DIM)
    ends = ActivationRange.of([(0.0, 1.0)], start)
    return Target(one, ends, Box(low, high, start), layer=Layer(evaluate, unit))

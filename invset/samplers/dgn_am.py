"""``sampler=dgn_am``: activation maximisation in the codes of a generator network, "Synthesizing
the preferred inputs for neurons in neural networks via deep generator networks" (Nguyen et al.
2016).

The authors' code (Evolving-AI-Lab/synthesizing: act_max.py) takes two steps, for i = 0 …
n_iters - 1, with the length r = lr + (lr_end - lr) i / n_iters:

    x = G(c) + r g / mean |g|                       picture step; g = ∂f/∂x at G(c)
    c <- clip(c + r d / mean |d|, 0, upper)         code step; d = (∂G/∂c)ᵀ (x - G(c))
    c <- decay c

x - G(c) is a multiple of g, so d is the same multiple of the chain rule's ∂f(G(c))/∂c, and d /
mean |d| does not know the multiple. One backward pass through network and generator therefore gives
both steps to the last code. Starts are drawn from N(0, I). The picture of the last pass is kept,
not the one that excites most, before its code step; the authors save it after a picture step,
which moves pixels by less than a 20th of a grey level on average there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.options import option
from invset.core.target import Seen, Target
from invset.errors import InvsetError
from invset.samplers.climbing import Climbers, Climbing


@dataclass(frozen=True)
class DGNAM(Climbing):
    """DGN-AM from K starts at a time.

    Bounds of each unit, three standard deviations in the authors' act_range/3x/fc6.txt, are given
    as ``clip=FILE``.

    Attributes:
        steps: passes of a code; the last one only shows its picture.
        keep: of a start with goal=max or min: the code with the "best" activation, or the "last",
            as published.
        lr: mean absolute step of a code's number in the first pass.
        lr_end: the same as the passes end.
        decay: factor of the code after every step; 1: none.
        start_at: "normal": codes drawn from N(0, I), as published, and moved into the bounds;
            "region": starts of the region.
    """

    steps: int = option(200, at_least=2)
    keep: str = option("last", words=("best", "last"))
    lr: float = option(8.0, above=0)
    lr_end: float = option(1e-10, at_least=0)
    decay: float = option(0.99, above=0, at_most=1)
    start_at: str = option("normal", words=("normal", "region"))

    space: ClassVar[str] = "codes"

    @property
    def last(self) -> int:
        return self.steps - 1

    def check(self, target: Target) -> None:
        super().check(target)
        if not target.space.plain:
            raise InvsetError(
                f"sampler=dgn_am moves in plain code space, not in prior={target.space.name}; type"
                " prior=clip"
            )

    def start(self, target: Target, count: int, rng: torch.Generator) -> Tensor:
        like = target.space.sample(count, rng)
        if self.start_at == "region":
            return like
        drawn = torch.randn(like.shape, generator=rng, device=rng.device, dtype=like.dtype)
        # the authors' code keeps to the bounds from its first step on
        return target.space.project(send(drawn, like.device))

    def moved(self, target: Target, state: Climbers, seen: Seen, slope: Tensor) -> Climbers:
        project = target.space.project
        rate = self.lr + (self.lr_end - self.lr) * state.age / self.steps
        moves = (slope != 0).any(1, keepdim=True)  # the authors' code ends where there is no slope
        length = slope.abs().mean(1, keepdim=True).clamp_min(torch.finfo(slope.dtype).tiny)
        # bounds that hold zero hold what decays, too; others need the outer projection
        u = project(self.decay * project(state.u - rate / length * slope))
        return replace(state, u=torch.where(moves, u, project(state.u)))

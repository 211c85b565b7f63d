"""``sampler=random``: draws of the region, kept if they are inside; the baseline of every table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from invset.core.checks import GOALS
from invset.core.options import option
from invset.core.target import Target
from invset.samplers.base import LOOK, Limits, Offer, Sampler


@dataclass(frozen=True)
class Drawn:
    """How many draws there were.

    Attributes:
        count: draws so far.
    """

    count: int


@dataclass(frozen=True)
class Random(Sampler[Drawn]):
    """Independent draws of the region, K at a time.

    With goal=range a draw is a sample if it lies inside. With goal=max or min a sample is the best
    of `draws` draws.

    Attributes:
        K: draws at a time, one forward pass for all.
        goal: "range": draws inside [z1, z2]; "max" or "min": the largest or smallest activation of
            `draws` draws. Several neurons: of the sum of their activations.
        draws: draws for each sample of goal=max and goal=min.
        budget: code-steps a sample of goal=range, on average, before the run gives up; a draw costs
            1/3.
    """

    goal: str = option("range", words=GOALS)
    draws: int = option(100, at_least=1)
    budget: float = option(200.0, above=0)

    origins: ClassVar[tuple[str, ...]] = ("draw",)

    def limits(self) -> Limits:
        return Limits(self.budget * self.n if self.goal == "range" else None)

    def init(self, target: Target, rng: torch.Generator) -> Drawn:
        return Drawn(0)

    def step(self, target: Target, state: Drawn, rng: torch.Generator) -> tuple[Drawn, Offer]:
        seen = target.look(target.space.sample(self.K, rng))
        number = state.count + torch.arange(self.K, device=seen.u.device)
        parent = number if self.goal == "range" else number // self.draws
        return Drawn(state.count + self.K), Offer(seen, self.accepts(target, seen.f), parent)

    def stride(self, state: Drawn, wanted: int) -> int:
        if self.goal == "range":
            return super().stride(state, wanted)
        return min(LOOK, max(1, -(-(self.draws * self.n - state.count) // self.K)))

    def done(self, state: Drawn) -> bool:
        return self.goal != "range" and state.count >= self.draws * self.n

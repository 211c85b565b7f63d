"""One rung of a ladder: given codes, taken by Gauss-Newton steps to given levels of one range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.gauss_newton import gauss_newton_step
from invset.core.target import MARGIN, Target
from invset.samplers.base import Column, Offer, Sampler

#: Steps between two looks at which codes have arrived.
LOOK = 4


@dataclass(frozen=True)
class ClimbState:
    """Where the codes of one rung are.

    Attributes:
        u: coordinates of the codes on their way, with shape (B, dim).
        level: activations that they go to, with shape (B, 1).
        number: of each in the ladder, with shape (B,).
        arrived: those that are there, with shape (B,).
        steps: passes so far.
    """

    u: Tensor
    level: Tensor
    number: Tensor
    arrived: Tensor
    steps: int


@dataclass(frozen=True, kw_only=True)
class Climb(Sampler[ClimbState]):
    """Gauss-Newton steps of given codes to given levels; the options are those of `Ladder`."""

    start: Tensor
    place: Tensor
    mu0: float = 1e3
    tolerance: float = 0.25
    longest: float = 0.4
    max_age: int = 40

    origins: ClassVar[tuple[str, ...]] = ("rung",)
    columns: ClassVar[tuple[Column, ...]] = (Column("on_the_way", "codes: on their way"),)

    def init(self, target: Target, rng: torch.Generator) -> ClimbState:
        level = target.range.z1 + (MARGIN + (1 - 2 * MARGIN) * self.place) * target.range.width
        number = torch.arange(len(self.start), device=self.start.device)
        return ClimbState(self.start, level, number, torch.zeros_like(number).bool(), 0)

    def step(
        self, target: Target, state: ClimbState, rng: torch.Generator
    ) -> tuple[ClimbState, Offer]:
        space = target.space
        seen = target.look(state.u, grad=True)
        residual = ((seen.f - state.level) / target.range.width).detach()
        there = self.accepts(target, seen.f) & (residual.abs() <= self.tolerance).all(1)
        slopes = target.slopes(seen) / target.range.width * space.scale
        seen = seen.detached()
        mu = torch.full_like(seen.u[:, 0], float(self.mu0))
        step = gauss_newton_step(space.tangent(slopes, seen.u), residual, mu, self.longest)
        moved = space.project(seen.u + space.scale * step)
        after = replace(
            state,
            u=torch.where(there.unsqueeze(1), seen.u, moved),
            arrived=state.arrived | there,
            steps=state.steps + 1,
        )
        log = (~after.arrived).sum().to(seen.u).unsqueeze(0)
        return after, Offer(seen, there & ~state.arrived, state.number, log)

    def done(self, state: ClimbState) -> Tensor | bool:
        return state.arrived.all() | (state.steps >= self.max_age)

    def stride(self, state: ClimbState, wanted: int) -> int:
        return min(LOOK, self.max_age - state.steps)

    def turn(self, state: ClimbState, done: bool, wanted: int) -> ClimbState | None:
        """Only the codes that are still on their way."""
        if done:
            return None
        stay = (~state.arrived).nonzero().squeeze(1)
        return ClimbState(
            state.u[stay], state.level[stay], state.number[stay], state.arrived[stay], state.steps
        )

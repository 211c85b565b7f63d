"""One rung of a ladder: given codes, taken by Gauss-Newton steps to given levels of one range."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.approach import approach
from invset.core.gap import Gap, comes_to_rest, moves, none_of
from invset.core.ranges import MARGIN
from invset.core.target import Target
from invset.core.walk import change
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
        gap: between moving and fixed views of robust neurons.
    """

    u: Tensor
    level: Tensor
    number: Tensor
    arrived: Tensor
    steps: int
    gap: Gap


@dataclass(frozen=True, kw_only=True)
class Climb(Sampler[ClimbState]):
    """Gauss-Newton steps of given codes to given levels; the options are those of `Ladder`."""

    start: Tensor
    place: Tensor
    mu0: float = 1e3
    tolerance: float = 0.25
    longest: float = 0.4
    max_age: int = 40
    moving: int = 36
    fixed: int = 2
    momentum: float = 0.5

    origins: ClassVar[tuple[str, ...]] = ("rung",)
    columns: ClassVar[tuple[Column, ...]] = (Column("on_the_way", "codes: on their way"),)

    def init(self, target: Target, rng: torch.Generator) -> ClimbState:
        level = target.range.z1 + (MARGIN + (1 - 2 * MARGIN) * self.place) * target.range.width
        number = torch.arange(len(self.start), device=self.start.device)
        gap = Gap.empty(self.start, target)
        return ClimbState(self.start, level, number, none_of(self.start), 0, gap)

    def step(
        self, target: Target, state: ClimbState, rng: torch.Generator
    ) -> tuple[ClimbState, Offer]:
        space = target.space
        moving = moves(target, state.steps, self.moving, self.fixed)
        seen = target.look(state.u, grad=True, moving=moving)
        slopes = target.slopes(seen) / target.range.width * space.scale
        known = torch.full_like(state.arrived, state.steps > 0)
        f, slopes = state.gap.read(seen, slopes, self.momentum, known)
        residual = ((f - state.level) / target.range.width).detach()
        there = self.accepts(target, f) & (residual.abs() <= self.tolerance).all(1)
        if moving:
            there = none_of(state.u)
        seen = seen.detached()
        moved = self._moved(target, seen.u, slopes, residual, state.steps)
        gap = state.gap
        if moving:
            rise = change(slopes, moved - seen.u) / space.scale
            gap = gap.after(f + target.range.width * rise, slopes)
        elif comes_to_rest(state.steps, self.moving, self.fixed):
            gap = gap.measured(f, known)
        after = replace(
            state,
            u=torch.where(there.unsqueeze(1), seen.u, moved),
            arrived=state.arrived | there,
            steps=state.steps + 1,
            gap=gap,
        )
        log = (~after.arrived).sum().to(seen.u).unsqueeze(0)
        seen = replace(seen, f=f)  # an estimate in moving views, as fixed ones would show it
        return after, Offer(seen, there & ~state.arrived, state.number, log)

    def _moved(
        self, target: Target, u: Tensor, slopes: Tensor, residual: Tensor, steps: int
    ) -> Tensor:
        """The codes after one step towards their levels."""
        space = target.space
        mu = torch.full_like(u[:, 0], float(self.mu0))
        longest = self.longest * space.pace(torch.full_like(mu, steps)).unsqueeze(1)
        calm, step, _ = approach(space, u, slopes, residual, mu, longest)
        return space.project(calm + space.scale * step)

    def done(self, state: ClimbState) -> Tensor | bool:
        # where views never move, `slopes` are empty
        extra = 2 * self.moving if state.gap.slopes.shape[2] else 0
        return state.arrived.all() | (state.steps >= self.max_age + extra)

    def stride(self, state: ClimbState, wanted: int) -> int:
        return min(LOOK, max(1, self.max_age - state.steps))

    def turn(self, state: ClimbState, done: bool, wanted: int) -> ClimbState | None:
        """Only the codes that are still on their way."""
        if done:
            return None
        stay = (~state.arrived).nonzero().squeeze(1)
        return ClimbState(
            state.u[stay],
            state.level[stay],
            state.number[stay],
            state.arrived[stay],
            state.steps,
            state.gap.rows(stay),
        )

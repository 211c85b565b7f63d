"""``sampler=stream``, the default: K codes in flight, each on its way to a level of its own; codes
that reach their level are kept and replaced.

The published sampler takes short steps from K seeds and repeats them. Here every sample has a level
of its own in [z1, z2], so that the whole range is covered, and its code goes there the shortest way
in whitened coordinates: one neuron is one equation, and a few Gauss-Newton steps solve it. A code
that comes into the range elsewhere is taken as well if that part of the range is behind the others.
From where it was taken it goes on, a long random way, to another sample (`core/walk.py`). A code
that does not reach its level in `max_age` steps is replaced by a fresh draw from the natural
region.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.approach import approach
from invset.core.flight import Flight, Look
from invset.core.gap import Gap, Phase, none_of
from invset.core.gauss_newton import along
from invset.core.levels import Levels, goal
from invset.core.moments import Moments, cross, pairwise
from invset.core.options import option
from invset.core.target import Seen, Target
from invset.core.walk import Walk, change
from invset.samplers.base import LOOK, Column, Limits, Offer, Sampler


@dataclass(frozen=True)
class StreamState:
    """Where a stream is.

    Attributes:
        u: coordinates of the codes in flight, with shape (K, dim).
        flight: what is known of each.
        levels: how many samples each tenth of the ranges has.
        next_ticket: the first ticket that no code had, with shape ().
        walk: what walks missed so far.
        moments: of the encodings of all samples.
        steps: steps so far.
        gap: between moving and fixed views of robust neurons.
    """

    u: Tensor
    flight: Flight
    levels: Levels
    next_ticket: Tensor
    walk: Walk
    moments: Moments
    steps: int
    gap: Gap


@dataclass(frozen=True)
class Stream(Sampler[StreamState]):
    """K codes in flight until n are kept.

    Attributes:
        K: codes at a time.
        n: samples to keep.
        mu0: penalty of a fresh code, in units of the range's width.
        alpha: factor of the penalty every `inner_steps` steps of a code.
        inner_steps: steps of one code between two growths of its penalty.
        tolerance: distance from its target activation at which a code is kept, a share of the
            width.
        walk: share of a fresh draw in the code that follows a sample by a random walk, in (0, 1].
            sqrt(1 - walk²) of it is the sample's, bent towards the next target (`Walk`). 1 starts
            anew; None: what suits the region of codes.
        longest: limit of one Gauss-Newton step, standard deviations in root mean square.
        relaxation: factor of a step that starts a width or more from its target, falling to 1 at
            the target. Far from it, activations rise by less than their slope says.
        diversity: length of a code's first diversity step, towards larger distances of eq. (7),
            standard deviations in root mean square; halved at every further step. None: 0.05, or
            0 for robust neurons, whose encodings would cost as much as their slopes.
        push_every: steps between two diversity steps, each of which takes a backward pass.
        max_age: steps after which a code that has not reached its target is replaced.
        budget: code-steps a sample, on average, before the run gives up.
        patience: steps without a single sample before the run gives up, in multiples of max_age.
        mu_max: largest penalty.
        moving: steps of robust neurons on moving views, before `fixed` on those that decide.
        fixed: steps on fixed views, which alone give samples; then views move again.
        momentum: share of the earlier slopes in those of a step on moving views, in [0, 1).
    """

    mu0: float = option(10.0, above=0, below=math.inf)
    alpha: float = option(10.0, above=1, below=math.inf)
    inner_steps: int = option(10, at_least=1)
    tolerance: float = option(0.1, above=0)
    walk: float | None = option(None, above=0, at_most=1)
    longest: float = option(0.7, above=0)
    relaxation: float = option(1.5, at_least=0)
    diversity: float | None = option(None, at_least=0)
    push_every: int = option(1, at_least=1)
    max_age: int = option(40, at_least=1)
    budget: float = option(200.0, above=0)
    patience: int = option(5, at_least=1)
    mu_max: float = option(1e6, above=0)
    moving: int = option(36, at_least=0)
    fixed: int = option(2, at_least=1)
    momentum: float = option(0.5, at_least=0, below=1)

    origins: ClassVar[tuple[str, ...]] = ("stream",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("residual", "distance from the target activation (widths of the range)"),
        Column("mu", "penalty μ"),
    )

    def limits(self) -> Limits:
        return Limits(self.budget * self.n, self.patience * self.max_age)

    def init(self, target: Target, rng: torch.Generator) -> StreamState:
        u = target.space.sample(self.K, rng)
        offset = torch.rand(target.p, generator=rng, device=rng.device).to(u)
        levels = Levels.empty(offset)
        ticket = torch.arange(self.K, device=u.device)
        none = torch.zeros(self.K, dtype=torch.bool, device=u.device)
        flight = Flight(
            ticket=ticket,
            level=levels.spread(ticket),
            draw=ticket,
            age=torch.zeros_like(u[:, 0]),
            failed=none,
            walked=none,
            promised=u.new_zeros(self.K, target.p),
        )
        moments = Moments.none(u)
        next_ticket = torch.tensor(self.K, device=u.device)
        walk = Walk.empty(target.p, u)
        gap = Gap.empty(u, target)
        return StreamState(u, flight, levels, next_ticket, walk, moments, 0, gap)

    def step(
        self, target: Target, state: StreamState, rng: torch.Generator
    ) -> tuple[StreamState, Offer]:
        pushes = self._length(target) > 0 and state.steps % self.push_every == 0
        phase = Phase.of(target, state.steps, self.moving, self.fixed, pushes)
        fresh = target.space.sample(len(state.u), rng).to(state.u)
        # a number that changes would be another recording
        after, offer = target.repeated(self._advanced, phase, replace(state, steps=0), fresh)
        return replace(after, steps=state.steps + 1), offer

    def _advanced(
        self, target: Target, phase: Phase, state: StreamState, fresh: Tensor
    ) -> tuple[StreamState, Offer]:
        """A step, but for the draw of codes that start anew, with shape (K, dim)."""
        flight = state.flight
        look = self._look(target, state, phase)
        gap = state.gap
        if phase.rests:
            gap = gap.measured(look.seen.f.detach(), flight.age > 0)
        residual = look.place - goal(flight.level)
        old = flight.age + 1 >= self._oldest(target)
        arrived = self._arrived(target, state, look, residual, old)
        mu = self._penalty(flight.age)
        moved = self._move(target, look, residual, mu, flight.age)
        after = self._replaced(target, state, look, arrived, moved, fresh)
        if look.seen.moving:
            rise = change(look.slopes, moved - look.u) / target.space.scale
            gap = gap.after(target.range.z1 + target.range.width * (look.place + rise), look.slopes)
        log = torch.stack([residual.abs().mean(), mu.mean()])
        return replace(after, gap=gap), Offer(look.shown(target), arrived, flight.draw, log)

    def _look(self, target: Target, state: StreamState, phase: Phase) -> Look:
        """One forward pass, and a backward pass for each neuron and for the diversity."""
        seen = target.look(state.u, grad=True, moving=phase.moving)
        push = self._push(target, seen, state.moments) if phase.pushes else None
        slopes = target.slopes(seen) / target.range.width.unsqueeze(1) * target.space.scale
        f, slopes = state.gap.read(seen, slopes, self.momentum, state.flight.age > 0)
        place = ((f - target.range.z1) / target.range.width).to(seen.u.dtype)
        return Look(seen, seen.u.detach(), place, slopes, push)

    def _oldest(self, target: Target) -> int:
        """Steps after which a code is given up: on fixed views only, as moving views give none."""
        return self.max_age + (0 if target.moving is None else 2 * self.moving)

    def _length(self, target: Target) -> float:
        """Of the first step along the level set."""
        if self.diversity is not None:
            return self.diversity
        return 0.05 if target.moving is None else 0.0

    def _push(self, target: Target, seen: Seen, earlier: Moments) -> Tensor:
        """Gradient of eq. (7), relative to the encodings' mean square, so that its weight means the
        same everywhere.
        """
        e = seen.e
        objective = pairwise(e) / (2 * len(e)) + cross(e, earlier) / earlier.count.clamp_min(1)
        mean_square = e.detach().square().sum(1).mean().clamp_min(1e-30)
        return target.pull(seen, objective / mean_square, keep=True)

    def _arrived(
        self, target: Target, state: StreamState, look: Look, residual: Tensor, old: Tensor
    ) -> Tensor:
        """Codes to keep: at their level; or where samples are wanted; or, at the end of their time,
        anywhere in the range.
        """
        if look.seen.moving:
            return none_of(look.u)
        inside = self.accepts(target, look.seen.f)
        at_level = (residual.abs() <= self.tolerance).all(1)
        return inside & (at_level | state.levels.wanted(look.place, inside) | old)

    def _penalty(self, age: Tensor) -> Tensor:
        growth = self.alpha ** (age / self.inner_steps).floor()
        return (self.mu0 * growth).clamp_max(self.mu_max)

    def _move(
        self, target: Target, look: Look, residual: Tensor, mu: Tensor, age: Tensor
    ) -> Tensor:
        """The codes after one Gauss-Newton step towards their levels."""
        space = target.space
        longest = self.longest * space.pace(age).unsqueeze(1)
        calm, delta, rows = approach(
            space, look.u, look.slopes, residual, mu, longest, self.relaxation
        )
        if look.push is not None:
            # halved at every step of a code: a push of constant length would keep it from settling
            # at its level
            length = (self._length(target) * 0.5**age).unsqueeze(1)
            delta = delta + length * along(rows, look.push)
        return space.project(calm + space.scale * delta)

    def _replaced(
        self,
        target: Target,
        state: StreamState,
        look: Look,
        arrived: Tensor,
        moved: Tensor,
        fresh: Tensor,
    ) -> StreamState:
        """The state after a step: kept codes go on to the next level; codes that are too old start
        anew for the same level, once, and then give it up.
        """
        flight = state.flight
        old = flight.age + 1 >= self._oldest(target)
        leaves = arrived | old
        passes_on = arrived | (old & flight.failed)
        levels = state.levels.taken(look.place, arrived)
        following = state.next_ticket + passes_on.long().cumsum(0) - 1
        ticket = torch.where(passes_on, following, flight.ticket)
        level = levels.next(flight.level, passes_on, ticket)
        share = target.space.walk if self.walk is None else self.walk
        walks = arrived & (share < 1)
        walk = state.walk.seen(flight.walked & (flight.age == 0), look.place, flight.promised)
        promised = flight.promised
        if share < 1:
            onward, promised = self._onward(target, walk, look, fresh, level, share)
            fresh = torch.where(walks.unsqueeze(1), onward, fresh)
        after = Flight(
            ticket=ticket,
            level=level,
            draw=torch.where(leaves & ~walks, ticket, flight.draw),
            age=torch.where(leaves, 0, flight.age + 1),
            failed=torch.where(leaves, old & ~passes_on, flight.failed),
            walked=torch.where(leaves, walks, flight.walked),
            promised=torch.where(leaves.unsqueeze(1), promised, flight.promised),
        )
        u = torch.where(leaves.unsqueeze(1), fresh, moved)
        moments = state.moments.merged(look.seen.e.detach(), arrived)
        state = replace(state, u=u, flight=after, levels=levels, walk=walk, moments=moments)
        return replace(state, next_ticket=state.next_ticket + passes_on.sum())

    def _onward(
        self,
        target: Target,
        walk: Walk,
        look: Look,
        fresh: Tensor,
        level: Tensor,
        share: float,
    ) -> tuple[Tensor, Tensor]:
        """Where a walk from each code leads, and the places that it promises."""
        space = target.space
        mixed = space.mixed(look.u, fresh, share)
        if look.push is not None:
            mixed = mixed + space.scale * self._length(target) * along(look.slopes, look.push)
        return walk.onward(space, look.u, mixed, look.slopes, look.place, goal(level), self.longest)

    def stride(self, state: StreamState, wanted: int) -> int:
        return min(LOOK, max(1, -(-wanted // len(state.u))))

    def turn(self, state: StreamState, done: bool, wanted: int) -> StreamState:
        """Only as many codes as samples are still wanted: those that are on their way longest."""
        if wanted >= len(state.u):
            return state
        oldest = state.flight.age.argsort(descending=True, stable=True)
        stay = oldest[:wanted].sort().values
        flight = state.flight.rows(stay)
        return replace(state, u=state.u[stay], flight=flight, gap=state.gap.rows(stay))

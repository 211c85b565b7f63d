"""``sampler=stream``, the default: K codes in flight, each on its way to a level of its own; who
arrives is kept and replaced.

The published sampler takes short steps from K seeds and repeats them. Here every sample has a level
of its own in [z1, z2], so that the whole range is covered, and its code goes there the shortest way
in whitened coordinates: one neuron is one equation, and a few Gauss-Newton steps solve it. A code
that comes into the range elsewhere is taken as well if that part of the range is behind the others.
From where it was taken it goes on, a long random way, to another sample (`walk.py`); a code that
does not arrive in `max_age` steps is replaced by a fresh draw from the natural region.

``step=multipliers`` is the other choice: eq. (9) for f at its level by Adam, with a multiplier and
a penalty for each code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invset.core.checks import check_choice, check_counts
from invset.core.gauss_newton import gauss_newton_step, jacobian, tangent
from invset.core.kept import Kept
from invset.core.levels import Levels
from invset.core.moments import Moments, cross, pairwise
from invset.core.options import option
from invset.core.steps import Adam, forget
from invset.core.target import InverseSet
from invset.core.walk import Walk
from invset.errors import InvsetError
from invset.samplers.base import State, Status, closest, extent

#: How near the end of a range a sample may lie, as a share of the width: rounding must not carry it
#: out.
MARGIN = 1e-3


@dataclass(frozen=True)
class Stream:
    """K codes in flight until n have arrived.

    Attributes:
        K: codes in flight.
        n: samples to keep.
        mu0: penalty of a fresh code; in units of the range's width, so it means the same for every
            neuron.
        alpha: factor of the penalty every `inner_steps` steps of a code.
        inner_steps: steps of one code between two growths of its penalty (and multiplier updates).
        step: "gauss_newton" or "multipliers".
        tolerance: distance from its level at which a code has arrived, as a share of the width.
        walk: share of a fresh draw in the code that follows a sample, in (0, 1]: sqrt(1 - walk²) of
            it is the sample's, bent towards the next level (`Walk`); 1 starts anew.
        longest: limit of one Gauss-Newton step, in standard deviations in root mean square.
        relaxation: factor of a Gauss-Newton step that starts a width or more from its level,
            falling to 1 at the level: far from it, networks rise by less than their slope says.
        lr: Adam's rate for ``step=multipliers``, in standard deviations.
        diversity: weight of eq. (7) among the codes in flight and the samples kept; for
            Gauss-Newton the length of a code's first step along the level set (standard deviations
            in root mean square), halved at every further step.
        max_age: steps after which a code that has not arrived is replaced.
        budget: code-steps a sample, on average, before the run gives up.
        patience: code-steps without a single sample before the range counts as unreachable, in
            multiples of K max_age.
        mu_max: largest penalty.
        round_steps: steps between two looks at how many have arrived.
    """

    K: int = option(10, at_least=1)
    n: int = option(100, at_least=1)
    mu0: float = option(10.0, above=0)
    alpha: float = option(10.0, above=1)
    inner_steps: int = option(10, at_least=1)
    step: str = option("gauss_newton", words=("gauss_newton", "multipliers"))
    tolerance: float = option(0.1, at_least=0)
    walk: float = option(0.85, above=0, at_most=1)
    longest: float = option(0.7, at_least=0)
    relaxation: float = option(1.5, at_least=0)
    lr: float = option(0.2, at_least=0)
    diversity: float = option(0.05, at_least=0)
    max_age: int = option(40, at_least=1)
    budget: float = option(200.0, at_least=0)
    patience: int = option(5, at_least=0)
    mu_max: float = option(1e6, at_least=0)
    round_steps: int = option(5, at_least=1)

    columns = ("f_min", "f_mean", "f_max", "residual", "mu", "inside", "kept")

    def __post_init__(self) -> None:
        check_counts(self.K, self.n, self.mu0, self.alpha)
        if not 0 < self.walk <= 1:
            raise InvsetError(
                f"sampler.walk must be above 0 and at most 1, not {self.walk}; 1 starts every"
                " sample anew"
            )
        check_choice("sampler.step", self.step, ("gauss_newton", "multipliers"))

    def init(self, target: InverseSet, rng: torch.Generator) -> State:
        u = target.region.sample(self.K, rng)
        with torch.no_grad():
            f, e = target(u[:1])
        like: dict[str, Any] = {"device": u.device, "dtype": u.dtype}
        levels = Levels.empty(torch.rand(target.p, generator=rng, device=rng.device).to(**like))
        ticket = torch.arange(self.K, device=u.device)
        extra: dict[str, Any] = {
            "ticket": ticket,
            "next_ticket": torch.tensor(self.K, device=u.device),
            "level": levels.spread(ticket),
            "offset": levels.offset,
            "counts": levels.counts,
            "draw": ticket,
            "walk": Walk.empty(target.p, u).state(),
            "walked": torch.zeros(self.K, dtype=torch.bool, device=u.device),
            "promised": torch.zeros(self.K, target.p, **like),
            "age": torch.zeros(self.K, **like),
            "failed": torch.zeros(self.K, dtype=torch.bool, device=u.device),
            "lambda_": torch.zeros(self.K, target.p, **like),
            "memory": {},
            "moments": [
                torch.zeros((), **like),
                torch.zeros(e.shape[1], **like),
                torch.zeros((), **like),
            ],
            "arrived_at": 0,
        }
        kept = Kept.empty(self.n, u, f, e)
        return State(u, kept, 0, 0, Status.RUNNING, f[0], extra)

    def round(self, target: InverseSet, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        rows, before = [], state.kept
        # steps in which no more codes can arrive than are wanted are steps too many
        wanted = self.n - state.extra.get("counted", 0)
        for _ in range(min(self.round_steps, max(1, -(-wanted // len(state.u))))):
            state, row = self._step(target, state, rng)
            rows.append(row)
        kept = state.kept.confirmed(
            target, before, self.K, lambda f: target.range.contains(f, MARGIN)
        )
        return self._judge(replace(state, kept=kept)), torch.stack(rows)

    def _step(self, target: InverseSet, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        x, K = state.extra, len(state.u)
        u = state.u.detach().requires_grad_()
        f, e = target(u)
        place = ((f.detach() - target.range.z1) / target.range.width).to(u.dtype)
        residual = place - _goal(x["level"])
        inside = target.range.contains(f.detach(), MARGIN)
        old = x["age"] + 1 >= self.max_age
        levels = Levels(x["offset"], x["counts"])
        # at its level; or where samples are wanted; or in the range at least, at the end of its
        # time
        arrived = inside & (
            (residual.abs() <= self.tolerance).all(1) | levels.wanted(place, inside) | old
        )
        levels = levels.taken(place, arrived)
        mu = (self.mu0 * self.alpha ** (x["age"] / self.inner_steps).floor()).clamp_max(self.mu_max)

        push = self._push(u, e, Moments(*x["moments"])) if self.diversity else None
        rows = jacobian(f, u) / target.range.width.unsqueeze(1) * target.region.scale
        moved, memory, lambda_ = self._move(target, u, rows, push, residual, mu, x)
        kept = state.kept.add(arrived, u, f, e, state.steps, x["draw"])
        moments = Moments(*x["moments"]).merged(e.detach(), arrived)

        # who arrived goes on to the next level; who is too old starts anew for the same level, once
        leaves = arrived | old
        passes_on = arrived | (old & x["failed"])
        ticket = torch.where(
            passes_on, x["next_ticket"] + passes_on.long().cumsum(0) - 1, x["ticket"]
        )
        level = levels.next(x["level"], passes_on, ticket)
        fresh = target.region.sample(K, rng).to(u)
        walk, walks = (
            Walk(*x["walk"]).seen(x["walked"] & (x["age"] == 0), place, x["promised"]),
            arrived & (self.walk < 1),
        )
        promised = x["promised"]
        if self.walk < 1:
            onward, promised = self._onward(
                target, walk, u.detach(), fresh, push, rows, place, level
            )
            fresh = torch.where(walks.unsqueeze(1), onward, fresh)
        extra = {
            **x,
            "ticket": ticket,
            "level": level,
            "counts": levels.counts,
            "draw": torch.where(leaves & ~walks, ticket, x["draw"]),
            "walk": walk.state(),
            "walked": torch.where(leaves, walks, x["walked"]),
            "promised": torch.where(leaves.unsqueeze(1), promised, x["promised"]),
            "next_ticket": x["next_ticket"] + passes_on.sum(),
            "age": torch.where(leaves, 0, x["age"] + 1),
            "failed": torch.where(leaves, old & ~passes_on, x["failed"]),
            "lambda_": torch.where(leaves.unsqueeze(1), 0, lambda_),
            "memory": forget(memory, leaves),
            "moments": [moments.count, moments.mean, moments.scatter],
        }
        best = closest(target, state.best_f, f)
        means = [residual.abs().mean(), mu.mean(), inside.sum(), kept.count]
        row = torch.cat(
            [extent(f).to(u.dtype), torch.stack([v.detach().to(u.dtype) for v in means])]
        )
        u = torch.where(leaves.unsqueeze(1), fresh, moved)
        after = replace(
            state,
            u=u,
            kept=kept,
            steps=state.steps + 1,
            code_steps=state.code_steps + K,
            best_f=best,
            extra=extra,
        )
        return after, row

    def _move(
        self,
        target: InverseSet,
        u: Tensor,
        rows: Tensor,
        push: Tensor | None,
        residual: Tensor,
        mu: Tensor,
        x: dict[str, Any],
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Take one step of every code; return the codes, Adam's memory and the multipliers."""
        scale, lambda_ = target.region.scale, x["lambda_"]
        if self.step == "gauss_newton":
            rows = tangent(rows, u.detach(), getattr(target.region, "radius", math.inf))
            far = 1 + (self.relaxation - 1) * residual.abs().clamp_max(1)
            delta = gauss_newton_step(rows, far * residual, mu, self.longest)
            if push is not None:
                # halved at every step of a code: a push of constant length would keep it from
                # settling at its level
                delta = delta + (self.diversity * 0.5 ** x["age"]).unsqueeze(1) * _along(rows, push)
            return target.region.project(u.detach() + scale * delta), x["memory"], lambda_
        # eq. (9) for f at its level: the residual's multiplier may have either sign
        gradient = ((mu.unsqueeze(1) * residual - lambda_).unsqueeze(2) * rows).sum(1)
        if push is not None:
            gradient = gradient - self.diversity * push
        delta, memory = Adam(self.lr)(gradient, x["memory"])
        due = (x["age"] + 1) % self.inner_steps == 0
        lambda_ = torch.where(due.unsqueeze(1), lambda_ - mu.unsqueeze(1) * residual, lambda_)
        return target.region.project(u.detach() - scale * delta), memory, lambda_

    def _onward(
        self,
        target: InverseSet,
        walk: Walk,
        u: Tensor,
        fresh: Tensor,
        push: Tensor | None,
        rows: Tensor,
        place: Tensor,
        level: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Where a walk from each code leads, and the places that it promises."""
        mixed = target.region.mixed(u, fresh, self.walk)
        if push is not None:
            mixed = mixed + target.region.scale * self.diversity * _along(rows, push)
        return walk.onward(target.region, u, mixed, rows, place, _goal(level), self.longest)

    def _push(self, u: Tensor, e: Tensor, earlier: Moments) -> Tensor:
        """Gradient of eq. (7), relative to the encodings' mean square, so that its weight means the
        same everywhere.
        """
        objective = pairwise(e) / (2 * len(e)) + cross(e, earlier) / earlier.count.clamp_min(1)
        return torch.autograd.grad(
            objective / e.detach().square().sum(1).mean().clamp_min(1e-30), u, retain_graph=True
        )[0]

    def _judge(self, state: State) -> State:
        """Look at the device once: has the run ended, and why?"""
        count = int(state.kept.count)
        finite = bool(torch.isfinite(state.u).all() & torch.isfinite(state.best_f).all())
        extra = dict(state.extra)
        if count > extra.get("counted", 0):
            extra["arrived_at"] = state.steps
        extra["counted"] = count
        status = Status.RUNNING
        if count >= self.n:
            status = Status.REACHED
        elif not finite:
            status = Status.NOT_FINITE
        elif count == 0 and state.steps >= self.patience * self.max_age:
            status = Status.UNREACHABLE
        elif (
            state.code_steps >= self.budget * self.n
            or state.steps - extra["arrived_at"] >= self.patience * self.max_age
        ):
            status = Status.BUDGET
        after = replace(state, status=status, extra=extra)
        return (
            _fewer(after, self.n - count)
            if status is Status.RUNNING and self.n - count < len(state.u)
            else after
        )


def _goal(level: Tensor) -> Tensor:
    """Places that levels stand for: not quite at the ends."""
    return MARGIN + (1 - 2 * MARGIN) * level


def _fewer(state: State, count: int) -> State:
    """Only as many codes as samples are still wanted: those that are on their way longest."""
    stay = state.extra["age"].argsort(descending=True, stable=True)[:count].sort().values
    names = ("ticket", "level", "age", "failed", "lambda_", "draw", "walked", "promised")
    part = {name: state.extra[name][stay] for name in names}
    memory = {name: value[stay] for name, value in state.extra["memory"].items()}
    return replace(state, u=state.u[stay], extra={**state.extra, **part, "memory": memory})


def _along(rows: Tensor, push: Tensor) -> Tensor:
    """The part of `push` that changes no activation (to first order), with unit root mean
    square.
    """
    gram = rows @ rows.transpose(1, 2)
    ridge = 1e-6 * gram.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-30)
    gram = gram + torch.diag_embed(ridge.unsqueeze(1).expand(-1, gram.shape[1]))
    weights = torch.linalg.solve_ex(gram, rows @ push.unsqueeze(2))[0]
    free = push - (rows * weights).sum(1)
    return free / free.norm(dim=1, keepdim=True).clamp_min(1e-30) * math.sqrt(free.shape[1])

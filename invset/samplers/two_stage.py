"""``sampler=two_stage``, the published method (paper, section 3.4):

    seeds     1  s <- max(0, g - lambda / mu), the minimiser of eq. (9) in s
              2  C <- C - beta dL/dC, L of eq. (9); `inner_steps` times
              3  lambda <- max(lambda - mu g, 0), mu <- alpha mu; from 1 until all K are inside
    sampling  4  C <- C - beta dL/dC, L of eq. (11), with lambda and mu as they are; the codes that
                 are inside are samples and the next C0; again until there are n

Every published choice can be selected (``experiment=paper/base`` selects them all); our remedies
are options of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.gauss_newton import gauss_newton_step
from invset.core.lagrangian import penalty, slack
from invset.core.moments import Moments
from invset.core.options import option
from invset.core.steps import Memory
from invset.core.target import Seen, Target
from invset.core.walk import FIRM, Walk
from invset.samplers.augmented_lagrangian import SETTLED, AugmentedLagrangian
from invset.samplers.base import Offer

#: Inner steps of the seeds between two looks at whether all of them are inside.
SEEDS_LOOK = 10

#: Sampling steps that there are on top of `max_sampling`.
SPARE = 10

SEED = 0
SAMPLE = 1


@dataclass(frozen=True)
class TwoStageState:
    """Where the two stages are.

    Attributes:
        u: coordinates of the codes, with shape (K, dim).
        stage: "seeds" or "sampling".
        outer: outer iterations of the seeds so far.
        inner: gradient steps of the current outer iteration, or of the sampling, so far.
        lambda_: multipliers, with shape (K, constraints).
        mu: penalty, with shape ().
        s: slack, with the shape of `lambda_`.
        memory: of the step rule.
        complete: whether the seeds are what `until` asks for, a boolean with shape ().
        scatter: sum of eq. (6) after the last outer iteration, with shape ().
        calm: outer iterations in a row in which it was at rest, with shape ().
        earlier: moments of C0 of eq. (7).
        walk: what walks missed so far.
        walked: codes that are at the end of a walk, with shape (K,).
        promised: places that the walks were to end at, with shape (K, p).
    """

    u: Tensor
    stage: str
    outer: int
    inner: int
    lambda_: Tensor
    mu: Tensor
    s: Tensor
    memory: Memory
    complete: Tensor
    scatter: Tensor
    calm: Tensor
    earlier: Moments
    walk: Walk
    walked: Tensor
    promised: Tensor


@dataclass(frozen=True)
class TwoStage(AugmentedLagrangian[TwoStageState]):
    """The published sampler, with options; those of eq. (9) are `AugmentedLagrangian`'s. "(paper)"
    marks the published choice.

    Attributes:
        K: seed codes.
        n: samples, the seed codes among them.
        until: when seed codes are found: all "inside" (paper, section 3.4) or "settled": inside,
            with the sum of eq. (6) at rest (section 4.3).
        tolerance: change of that sum in an outer iteration, as a share of it, up to which it is at
            rest.
        tested: whether all seed codes are inside is tested at every gradient "step" or after each
            outer "iteration", with its lambda and mu (paper).
        carried: whether the step rule keeps its averages from the seed codes into the sampling.
        walk_constraint: False: sampling steps without the constraint terms of eq. (11) (paper, end
            of section 3.4).
        walk: 0 (paper): sampling steps are gradient steps of eq. (11), which hardly move a code.
            Above 0, up to 1: the share of a fresh draw in a random walk (`Walk`). A code that is
            inside goes by a random walk back to the middle of the range. A code outside goes the
            shortest way. Both use the slopes of f alone.
        longest: limit of a step back to the middle, in standard deviations in root mean square.
        earlier: C0 of eq. (7): the "last" codes that were inside (paper, step 4) or "all" samples
            so far.
        max_sampling: gradient steps of the second stage, in multiples of the fewest possible, (n -
            K) / K.
    """

    until: str = option("inside", words=("inside", "settled"))
    tolerance: float = option(1e-3, at_least=0)
    tested: str = option("step", words=("step", "iteration"))
    carried: bool = True
    walk_constraint: bool = True
    walk: float = option(0.6, at_least=0, at_most=1)
    longest: float = option(0.7, above=0)
    earlier: str = option("last", words=("last", "all"))
    max_sampling: float = option(20.0, above=0)

    origins: ClassVar[tuple[str, ...]] = ("seed", "sample")

    def init(self, target: Target, rng: torch.Generator) -> TwoStageState:
        u = self.start(target, self.K, rng)
        none = u.new_zeros(())
        promised = u.new_zeros(self.K, target.p)
        lambda_ = torch.zeros_like(self.constraints(target, promised))
        return TwoStageState(
            u=u,
            stage="seeds",
            outer=0,
            inner=0,
            lambda_=lambda_,
            mu=torch.full_like(none, float(self.mu0)),
            s=lambda_,
            memory={},
            complete=torch.zeros((), dtype=torch.bool, device=u.device),
            scatter=torch.full_like(none, torch.nan),
            calm=none,
            earlier=Moments.none(u),
            walk=Walk.empty(target.p, u),
            walked=torch.zeros(self.K, dtype=torch.bool, device=u.device),
            promised=promised,
        )

    def step(
        self, target: Target, state: TwoStageState, rng: torch.Generator
    ) -> tuple[TwoStageState, Offer]:
        seen = target.look(state.u, grad=True, also=self.also)
        inside = self.accepts(target, seen.f)
        if state.stage == "seeds":
            return self._seeds_step(target, state, seen, inside)
        return self._sampling_step(target, state, seen, inside, rng)

    # the seeds

    def _seeds_step(
        self, target: Target, state: TwoStageState, seen: Seen, inside: Tensor
    ) -> tuple[TwoStageState, Offer]:
        g = self.constraints(target, seen.f.detach())
        begins = state.inner == 0 and state.outer > 0
        tested = self.until == "inside" and (begins or self.tested == "step")
        complete = state.complete | inside.all() if tested else state.complete
        if begins:
            # of a test at each step, lambda and mu stay those of the iteration in which it held
            settled = complete if self.tested == "step" else state.complete
            lambda_, mu = self.multipliers(g, state.lambda_, state.mu)
            state = _unless(settled, state, replace(state, lambda_=lambda_, mu=mu))
        state = replace(state, complete=complete)
        if state.inner == 0 or self.slack == "fresh":
            state = replace(state, s=slack(g, state.lambda_, state.mu))
        after, log = self._descended(target, state, seen, None)
        after = replace(_unless(complete, state, after), inner=state.inner + 1)
        if after.inner == self.inner_steps:
            after = self._outer(after, seen, inside)
        return after, Offer(seen.detached(), None, _numbers(seen), log, SEED)

    def _outer(self, state: TwoStageState, seen: Seen, inside: Tensor) -> TwoStageState:
        """The end of an outer iteration; for "settled", is the sum of eq. (6) at rest?"""
        state = replace(state, inner=0, outer=state.outer + 1)
        if self.until == "inside":
            return state
        scatter = Moments.of(self.compared(seen).detach()).scatter
        at_rest = (scatter - state.scatter).abs() <= self.tolerance * scatter
        calm = torch.where(at_rest & inside.all(), state.calm + 1, 0)
        return replace(state, scatter=scatter, calm=calm, complete=calm >= SETTLED)

    # the sampling

    def _sampling_step(
        self,
        target: Target,
        state: TwoStageState,
        seen: Seen,
        inside: Tensor,
        rng: torch.Generator,
    ) -> tuple[TwoStageState, Offer]:
        """The first pass sees the seeds; those inside are kept even if others were given up."""
        first = state.inner == 0
        earlier = self._earlier(state.earlier, self.compared(seen).detach(), inside)
        complete = state.complete | inside.all() if first else state.complete
        state = replace(state, earlier=earlier, complete=complete, inner=state.inner + 1)
        if self.walk:
            after = self._walk(target, state, seen, inside, rng)
            zero = torch.zeros_like(state.mu)
            log = self.log(target, seen, (zero, zero), state.lambda_, state.mu)
        else:
            s = slack(self.constraints(target, seen.f.detach()), state.lambda_, state.mu)
            after, log = self._descended(target, replace(state, s=s), seen, earlier)
        origin = SEED if first else SAMPLE
        return after, Offer(seen.detached(), inside, _numbers(seen), log, origin)

    def _earlier(self, earlier: Moments, compared: Tensor, inside: Tensor) -> Moments:
        """C0 after a step: with "last", the codes that are inside now, or as it was if none is."""
        if self.earlier == "last":
            keep = (~inside.any()).to(compared)
            earlier = Moments(earlier.count * keep, earlier.mean, earlier.scatter * keep)
        return earlier.merged(compared, inside)

    def _walk(
        self,
        target: Target,
        state: TwoStageState,
        seen: Seen,
        inside: Tensor,
        rng: torch.Generator,
    ) -> TwoStageState:
        """The codes after a long way, if they were inside, or after the shortest step to the middle
        of the range.
        """
        space = target.space
        width = target.range.width
        u = seen.u.detach()
        rows = target.slopes(seen) / width.unsqueeze(1) * space.scale
        place = ((seen.f.detach() - target.range.z1) / width).to(u.dtype)
        walk = state.walk.seen(state.walked, place, state.promised)
        mixed = space.mixed(u, space.sample(len(u), rng).to(u), self.walk)
        middle = torch.full_like(place, 0.5)
        onward, promised = walk.onward(space, u, mixed, rows, place, middle, self.longest)
        firm = torch.full_like(u[:, 0], FIRM)
        back = gauss_newton_step(space.tangent(rows, u), place - 0.5, firm, self.longest)
        u = torch.where(inside.unsqueeze(1), onward, space.project(u + space.scale * back))
        return replace(state, u=u, walk=walk, walked=inside, promised=promised)

    # a gradient step of either stage

    def _descended(
        self, target: Target, state: TwoStageState, seen: Seen, earlier: Moments | None
    ) -> tuple[TwoStageState, Tensor]:
        """The state after a gradient step of eq. (9), or of eq. (11) with `earlier`; and the
        numbers of `columns`.
        """
        objective = self.objective_of(self.compared(seen), earlier)
        g = self.constraints(target, seen.f)
        terms = penalty(g, state.s, state.lambda_, state.mu).sum()
        if earlier is not None and not self.walk_constraint:
            terms = torch.zeros_like(terms)
        gradient = target.pull(seen, terms - objective)
        step, memory = self.step_rule(gradient, state.memory)
        u = target.space.project(seen.u.detach() - target.space.scale * step)
        log = self.log(target, seen, (objective, terms), state.lambda_, state.mu)
        return replace(state, u=u, memory=memory), log

    # what the driver asks

    def done(self, state: TwoStageState) -> Tensor | bool:
        if state.stage == "seeds":
            return state.complete
        most = self.max_sampling * max(1.0, (self.n - self.K) / self.K) + SPARE
        return ~state.complete | (state.inner >= most)  # nothing follows seeds that were given up

    def stride(self, state: TwoStageState, wanted: int) -> int:
        if state.stage == "seeds":
            tested = self.tested == "iteration" and state.inner == 0
            return 1 if tested else min(SEEDS_LOOK, self.inner_steps - state.inner)
        return super().stride(state, wanted) if state.inner else 1

    def turn(self, state: TwoStageState, done: bool, wanted: int) -> TwoStageState | None:
        if state.stage == "sampling":
            return super().turn(state, done, wanted)
        if not done and state.outer < self.max_outer:
            return state
        memory = state.memory if self.carried else {}
        return replace(state, stage="sampling", inner=0, memory=memory)


def _unless(complete: Tensor, before: TwoStageState, after: TwoStageState) -> TwoStageState:
    """`before` where `complete`, else `after`. A branch would wait for the device."""

    def pick(old: Tensor, new: Tensor) -> Tensor:
        return torch.where(complete, old, new)

    return replace(
        after,
        u=pick(before.u, after.u),
        lambda_=pick(before.lambda_, after.lambda_),
        mu=pick(before.mu, after.mu),
        memory={k: pick(before.memory.get(k, new), new) for k, new in after.memory.items()},
    )


def _numbers(seen: Seen) -> Tensor:
    return torch.arange(len(seen.u), device=seen.u.device)

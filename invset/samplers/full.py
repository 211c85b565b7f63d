"""``sampler=full``: all n codes of eq. (6) and (16) optimised together, to the end, in the memory
that K of them need.

The paper gave this up: the objective looks quadratic in n, and n codes do not fit in memory
(section 3.2). But the codes know each other by the moments of the encodings alone
(`invset.core.moments`), so a gradient step is two passes over parts of K codes:

1. without a graph: f of all codes, and number, mean and scatter of their encodings;
2. forwards and backwards: the gradient of each part, given those moments.

Of all n codes only these are stored: coordinates, the step rule's memory, f and lambda, once as
they were before the round, which an interruption leaves whole, and once as they are; and
coordinates and encodings of those that were inside. What is large, the images, the taps and the
graph, exists for K codes at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.lagrangian import penalty, slack
from invset.core.moments import Moments, cross
from invset.core.options import option
from invset.core.steps import Adam, Memory, StepRule
from invset.core.target import Seen, Target
from invset.samplers.augmented_lagrangian import SETTLED, AugmentedLagrangian
from invset.samplers.base import Offer


@dataclass(frozen=True)
class FullState:
    """Where all n codes are.

    Attributes:
        u: coordinates, with shape (n, dim).
        f: activations, with shape (n, p); known after an outer iteration, else of the step before.
        whole: moments of all encodings (of all codes for eq. 14), as `f`.
        inner: gradient steps of the current outer iteration so far.
        outer: outer iterations so far.
        lambda_: multipliers, with shape (n, constraints).
        mu: penalty, with shape ().
        s: slack, with the shape of `lambda_`.
        memory: of the step rule.
        most: most codes that were inside after an outer iteration, with shape ().
        scatter: sum of eq. (6) after the last outer iteration, with shape ().
        calm: outer iterations in a row with all codes inside and this sum at rest, with shape ().
        inside: codes inside after the last outer iteration, with shape ().
    """

    u: Tensor
    f: Tensor
    whole: Moments
    inner: int
    outer: int
    lambda_: Tensor
    mu: Tensor
    s: Tensor
    memory: Memory
    most: Tensor
    scatter: Tensor
    calm: Tensor
    inside: Tensor


@dataclass(frozen=True)
class _Pass:
    """What the first pass finds.

    Attributes:
        seen: all codes, without a graph; without encodings, with shape (n, 0), where a gradient
            step follows, as only samples need them.
        whole: moments of all encodings (of all codes for eq. 14).
        last: the last part with its graph, if that was asked for: the second pass begins there
            without another forward pass.
    """

    seen: Seen
    whole: Moments
    last: Seen | None


@dataclass(frozen=True)
class Full(AugmentedLagrangian[FullState]):
    """Eq. (6)/(16) for all n codes; the options of eq. (9) are `AugmentedLagrangian`'s.

    Samples are the codes inside after an outer iteration: of the latest one that had the most.

    Attributes:
        K: codes in memory at a time; the result does not depend on it.
        n: codes that are optimised together.
        max_outer: outer iterations before the run ends as it is.
        mu_max: largest penalty; the multipliers do the rest, and a large one makes short steps of
            Adam.
        epsilon0: share of the width, from each end, within which codes may lie. 1 is eq. (16) to
            the letter. A little less keeps codes that the objective drives against an end from
            lying just outside.
        diversity: weight of the objective; 1, as in eq. (16).
        step_rule: how a gradient becomes a step.
        until: "settled": all codes inside and the objective no longer changing (section 4.3, "all
            the way"); "inside": all inside after an outer iteration (section 3.4).
        tolerance: change of the objective in an outer iteration, as a share of it, up to which it
            counts as settled.
        patience: outer iterations without a code inside before the range counts as unreachable.
    """

    max_outer: int = option(200, at_least=1)
    epsilon0: float = option(0.9, at_least=0, at_most=1)
    mu_max: float = option(10.0, above=0)
    diversity: float = option(1.0, at_least=0)
    step_rule: StepRule = field(default_factory=lambda: Adam(0.1))
    until: str = option("settled", words=("settled", "inside"))
    tolerance: float = option(1e-3, at_least=0)
    patience: int = option(40, at_least=1)

    replaces: ClassVar[bool] = True
    origins: ClassVar[tuple[str, ...]] = ("seed",)

    def init(self, target: Target, rng: torch.Generator) -> FullState:
        u = self.start(target, self.n, rng)
        first = self._first_pass(target, u, graph=False)
        lambda_ = torch.zeros_like(self.constraints(target, first.seen.f))
        none = torch.zeros((), dtype=torch.long, device=u.device)
        return FullState(
            u=u,
            f=first.seen.f,
            whole=first.whole,
            inner=0,
            outer=0,
            lambda_=lambda_,
            mu=torch.full((), float(self.mu0), device=u.device, dtype=u.dtype),
            s=torch.zeros_like(lambda_),
            memory={},
            most=none,
            scatter=torch.full_like(first.whole.scatter, torch.nan),
            calm=none,
            inside=none,
        )

    def step(
        self, target: Target, state: FullState, rng: torch.Generator
    ) -> tuple[FullState, Offer]:
        """One gradient step of all codes; at the end of an outer iteration also lambda and mu."""
        found = self._known(target, state)
        g = self.constraints(target, found.seen.f)
        s = state.s
        if state.inner == 0 or self.slack == "fresh":
            s = slack(g, state.lambda_, state.mu)
        parts = (self._value(found.whole), penalty(g, s, state.lambda_, state.mu).sum())
        log = self.log(target, found.seen, parts, state.lambda_, state.mu)
        numbers = torch.arange(self.n, device=state.u.device)
        state = replace(state, s=s, inner=state.inner + 1)
        state = self._second_pass(target, state, found)
        if state.inner < self.inner_steps:
            return state, Offer(found.seen, None, numbers, log)
        last = self._first_pass(target, state.u, graph=False)
        chosen = self.accepts(target, last.seen.f)
        return self._outer(target, state, last, chosen), Offer(last.seen, chosen, numbers, log)

    def _known(self, target: Target, state: FullState) -> _Pass:
        """The first pass at the codes as they are; after an outer iteration it is known already."""
        if state.inner == 0:
            return _Pass(Seen(state.u, state.f, state.u[:, :0]), state.whole, None)
        return self._first_pass(target, state.u, graph=True)

    def _outer(self, target: Target, state: FullState, last: _Pass, chosen: Tensor) -> FullState:
        """The end of an outer iteration: lambda, mu, and is the objective at rest?"""
        g = self.constraints(target, last.seen.f)
        lambda_, mu = self.multipliers(g, state.lambda_, state.mu)
        # the sum of eq. (6) itself: relative to the encodings' mean square it would not show that
        # all of them grow
        scatter = last.whole.scatter
        inside = chosen.sum()
        at_rest = (scatter - state.scatter).abs() <= self.tolerance * scatter.abs()
        calm = torch.where(at_rest & (inside == self.n), state.calm + 1, 0)
        return replace(
            state,
            f=last.seen.f,
            whole=last.whole,
            inner=0,
            outer=state.outer + 1,
            lambda_=lambda_,
            mu=mu,
            most=torch.maximum(state.most, inside),
            scatter=scatter,
            calm=calm,
            inside=inside,
        )

    # the two passes

    def _first_pass(self, target: Target, u: Tensor, graph: bool) -> _Pass:
        """Activations of all codes and the moments of their encodings, K codes at a time.

        Args:
            target: the inverse set.
            u: coordinates, with shape (n, dim).
            graph: whether a gradient step follows: then the last part keeps its graph, and the
                encodings of all, which only samples need, are forgotten.
        """
        parts = []
        whole = None
        last = None
        for first in range(0, self.n, self.K):
            follows = graph and first + self.K >= self.n
            seen = target.look(u[first : first + self.K], grad=follows, also=self.also)
            last = seen if follows else None
            seen = seen.detached()
            moments = Moments.of(self.compared(seen))
            whole = moments if whole is None else whole.joined(moments)
            parts.append(seen)
        assert whole is not None
        f = torch.cat([part.f for part in parts])
        e = u[:, :0] if graph else torch.cat([part.e for part in parts])
        return _Pass(Seen(u, f, e), whole, last)

    def _second_pass(self, target: Target, state: FullState, found: _Pass) -> FullState:
        """One gradient step of all codes, a part after the other."""
        moved = torch.empty_like(state.u)
        memory: Memory = {}
        ahead = found.last
        for first in reversed(range(0, self.n, self.K)):
            rows = slice(first, first + self.K)
            part = ahead or target.look(state.u[rows], grad=True, also=self.also)
            ahead = None
            gradient = self._gradient(target, part, state, rows, found.whole)
            before = {name: value[rows] for name, value in state.memory.items()}
            step, after = self.step_rule(gradient, before)
            moved[rows] = target.space.project(part.u.detach() - target.space.scale * step)
            for name, value in after.items():
                memory.setdefault(name, value.new_zeros(self.n, *value.shape[1:]))
                memory[name][rows] = value
        return replace(state, u=moved, memory=memory)

    def _gradient(
        self, target: Target, part: Seen, state: FullState, rows: slice, whole: Moments
    ) -> Tensor:
        """Gradient of eq. (9) over all n codes in the coordinates of one part."""
        g = self.constraints(target, part.f)
        terms = penalty(g, state.s[rows], state.lambda_[rows], state.mu).sum()
        if self.objective != "none":
            # twice: a pair of codes is counted as (i, j) and as (j, i), and here the others are
            # held fixed
            terms = terms - 2 * self._weight(whole) * cross(self.compared(part), whole)
        return target.pull(part, terms)

    def _weight(self, whole: Moments) -> Tensor:
        """Factor of the sum of eq. (6)."""
        if self.objective == "none":
            return torch.zeros_like(whole.count)
        if self.diversity_units == "raw":
            return torch.full_like(whole.count, self.diversity)
        mean_square = whole.scatter / whole.count + whole.mean.square().sum()
        return self.diversity / (2 * whole.count * mean_square.clamp_min(1e-30))

    def _value(self, whole: Moments) -> Tensor:
        """The objective, eq. (6), with its weight."""
        return self._weight(whole) * 2 * whole.count * whole.scatter

    # what the driver asks

    def done(self, state: FullState) -> Tensor | bool:
        if state.inner or not state.outer:
            return False
        all_inside = state.inside == self.n
        enough = all_inside if self.until == "inside" else state.calm >= SETTLED
        nothing = (state.most == 0) & (state.outer >= self.patience)
        return enough | nothing | (state.outer >= self.max_outer)

    def stride(self, state: FullState, wanted: int) -> int:
        return self.inner_steps - state.inner

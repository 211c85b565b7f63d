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

import math
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from invset.core.kept import Kept
from invset.core.lagrangian import penalty, slack
from invset.core.moments import Moments, cross
from invset.core.options import option
from invset.core.steps import Adam, StepRule
from invset.core.target import InverseSet
from invset.samplers.augmented_lagrangian import SETTLED, AugmentedLagrangian
from invset.samplers.base import State, Status, closest


@dataclass(frozen=True)
class _Part:
    """Some of the codes, and what the networks say of them.

    Attributes:
        rows: which of the n codes.
        u, f, e: coordinates, activations and encodings; f and e with a graph back to u, or without.
    """

    rows: slice
    u: Tensor
    f: Tensor
    e: Tensor


@dataclass(frozen=True)
class _Look:
    """What the first pass finds.

    Attributes:
        f: activations of all codes, with shape (n, p).
        whole: moments of all encodings (of all codes for eq. 14).
        last: the last part with its graph, if that was asked for: the second pass begins there
            without another forward pass.
        kept: the codes inside, if they were asked for.
    """

    f: Tensor
    whole: Moments
    last: _Part | None
    kept: Kept | None


@dataclass(frozen=True)
class Full(AugmentedLagrangian):
    """Eq. (6)/(16) for all n codes; the options of eq. (9) are `AugmentedLagrangian`'s.

    Samples are the codes inside after an outer iteration: of the latest one that had the most.

    Attributes:
        K: codes in memory at a time; the result does not depend on it.
        n: codes that are optimised together.
        max_outer: outer iterations before the run ends as it is.
        mu_max: largest penalty; the multipliers do the rest, and a large one makes short steps of
            Adam.
        epsilon0: share of the width, from each end, within which codes may lie; 1 is eq. (16) to
            the letter, and a little less keeps codes that the objective drives against an end from
            lying just outside.
        diversity: weight of the objective; 1, as in eq. (16).
        until: "settled": all codes inside and the objective no longer changing (section 4.3, "all
            the way"); "inside": all inside after an outer iteration (section 3.4).
        tolerance: change of the objective in an outer iteration, as a share of it, up to which it
            counts as settled.
        patience: outer iterations without a code inside before the range counts as unreachable.
    """

    max_outer: int = option(200, at_least=1)
    epsilon0: float = option(0.9, at_least=0)
    mu_max: float = option(10.0, at_least=0)
    diversity: float = option(1.0, at_least=0)
    step: StepRule = field(default_factory=lambda: Adam(0.1))
    until: str = option("settled", words=("inside", "settled"))
    tolerance: float = option(1e-3, at_least=0)
    patience: int = option(40, at_least=0)

    def _choices(self) -> dict[str, tuple[str, ...]]:
        return {**super()._choices(), "until": ("settled", "inside")}

    def init(self, target: InverseSet, rng: torch.Generator) -> State:
        u = self._start(target, self.n, self.n, rng)
        look = self._look(target, u, keep_at=0)
        assert look.kept is not None
        extra: dict[str, Any] = {
            "outer": 0,
            **_remembered(look),
            "lambda_": torch.zeros_like(self._constraints(target, look.f)),
            "mu": torch.full((), float(self.mu0), device=u.device, dtype=u.dtype),
            "memory": {},
            "most": int(look.kept.count),
            "scatter": math.nan,
            "settled": 0,
            "seed_steps": 0,
        }
        return State(u, look.kept, 0, 0, Status.RUNNING, closest(target, look.f[0], look.f), extra)

    def round(self, target: InverseSet, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        """One outer iteration: s in closed form, `inner_steps` gradient steps, then lambda and
        mu.
        """
        # in copies, which each part is written over: the state before the round stays whole
        x, u, best = dict(state.extra), state.u.clone(), state.best_f
        x["memory"] = {name: value.clone() for name, value in x["memory"].items()}
        look = _Look(x["f"], Moments(*x["moments"]), None, None)
        steps, s = state.steps + self.inner_steps, None
        rows: list[Tensor] = []
        for inner in range(1, self.inner_steps + 1):
            g = self._constraints(target, look.f)
            if s is None or self.slack == "fresh":
                s = slack(g, x["lambda_"], x["mu"])
            parts = self._value(look.whole), penalty(g, s, x["lambda_"], x["mu"]).sum()
            rows.append(
                self._row(
                    look.f, parts, (x["lambda_"], x["mu"]), self._inside(target, look.f), state.kept
                )
            )
            self._step(target, u, s, x, look)
            look = self._look(target, u, keep_at=steps if inner == self.inner_steps else None)
            best = closest(target, best, look.f)
        x["lambda_"], x["mu"] = self._multipliers(
            self._constraints(target, look.f), x["lambda_"], x["mu"]
        )
        x |= {"outer": x["outer"] + 1, "seed_steps": steps, **_remembered(look)}
        code_steps = state.code_steps + self.n * self.inner_steps
        after = replace(
            state,
            u=u,
            kept=look.kept or state.kept,
            steps=steps,
            code_steps=code_steps,
            best_f=best,
            extra=x,
        )
        return self._judge(state, after), torch.stack(rows)

    # the two passes

    def _part(self, target: InverseSet, u: Tensor, first: int, graph: bool) -> _Part:
        """K codes from number `first` on, or those that are left."""
        rows = slice(first, first + self.K)
        with torch.set_grad_enabled(graph):
            part = u[rows].clone().requires_grad_(graph)
            f, e = target(part)
        return _Part(rows, part, f, e)

    def _look(self, target: InverseSet, u: Tensor, keep_at: int | None) -> _Look:
        """The first pass; with `keep_at`, a gradient step's number, also keep the codes that are
        inside.
        """
        f, whole, kept, part = [], None, None, None
        for first in range(0, self.n, self.K):
            part = self._part(target, u, first, graph=keep_at is None and first + self.K >= self.n)
            f.append(part.f.detach())
            moments = Moments.of(self._compared(part.u, part.e).detach())
            whole = moments if whole is None else whole.joined(moments)
            if keep_at is not None:
                kept = kept or Kept.empty(self.n, part.u, part.f, part.e)
                numbers = torch.arange(first, first + len(part.f), device=u.device)
                kept = kept.add(
                    self._inside(target, part.f), part.u, part.f, part.e, keep_at, numbers
                )
        last = part if keep_at is None else None
        assert whole is not None
        return _Look(torch.cat(f), whole, last, kept)

    def _step(
        self, target: InverseSet, u: Tensor, s: Tensor, x: dict[str, Any], look: _Look
    ) -> None:
        """The second pass: one gradient step of all codes, written into `u` and the step rule's
        memory.
        """
        before, ahead = dict(x["memory"]), look.last
        for first in reversed(range(0, self.n, self.K)):
            part, ahead = ahead or self._part(target, u, first, graph=True), None
            gradient = self._gradient(target, part, s, x, look.whole)
            step, memory = self.step(
                gradient, {name: value[part.rows] for name, value in before.items()}
            )
            u[part.rows] = target.region.project(part.u.detach() - target.region.scale * step)
            for name, value in memory.items():
                if name not in x["memory"]:
                    x["memory"][name] = value.new_zeros(self.n, *value.shape[1:])
                x["memory"][name][part.rows] = value

    def _gradient(
        self, target: InverseSet, part: _Part, s: Tensor, x: dict[str, Any], whole: Moments
    ) -> Tensor:
        """Gradient of eq. (9) over all n codes in the coordinates of one part."""
        terms = penalty(
            self._constraints(target, part.f), s[part.rows], x["lambda_"][part.rows], x["mu"]
        ).sum()
        if self.objective != "none":
            # twice: a pair of codes is counted as (i, j) and as (j, i), and here the others are
            # held fixed
            terms = terms - 2 * self._weight(whole) * cross(self._compared(part.u, part.e), whole)
        return torch.autograd.grad(terms, part.u)[0]

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

    def _judge(self, before: State, after: State) -> State:
        """Look at the device once: has the run ended, and why?"""
        # the sum of eq. (6) itself: relative to the encodings' mean square it would not show that
        # all of them grow
        x, value = dict(after.extra), after.extra["moments"][2]
        finite = torch.isfinite(after.u).all() & torch.isfinite(x["f"]).all()
        finite, count, value = torch.stack(
            [finite.to(value), after.kept.count.to(value), value]
        ).tolist()
        if not finite:
            return replace(after, kept=before.kept, best_f=before.best_f, status=Status.NOT_FINITE)
        change = abs(value - x["scatter"])
        calm = count == self.n and change <= self.tolerance * abs(value)
        x |= {
            "scatter": value,
            "settled": x["settled"] + 1 if calm else 0,
            "most": max(x["most"], int(count)),
        }
        kept = after.kept if count == x["most"] else before.kept
        enough = count == self.n and (self.until == "inside" or x["settled"] >= SETTLED)
        status = Status.RUNNING
        if enough or (x["most"] == self.n and x["outer"] >= self.max_outer):
            status = Status.REACHED
        elif x["outer"] >= self.max_outer or (x["most"] == 0 and x["outer"] >= self.patience):
            status = Status.BUDGET if x["most"] else Status.UNREACHABLE
        return replace(after, kept=kept, status=status, extra=x)


def _remembered(look: _Look) -> dict[str, Any]:
    """What the next round begins with: it need not look again."""
    return {"f": look.f, "moments": [look.whole.count, look.whole.mean, look.whole.scatter]}

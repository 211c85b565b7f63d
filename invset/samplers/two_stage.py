"""``sampler=two_stage``, the published method (paper, section 3.4): seeds by the augmented Lagrangian, then single steps.

Seeds: minimise eq. (9) over K codes by coordinate descent — the slack in closed form, `inner_steps` gradient steps in C, then
lambda <- max(lambda - mu g, 0) and mu <- alpha mu — until all K are inside. Sampling: lambda and mu frozen, one gradient step
of eq. (11) at a time, keeping the codes that are inside, until there are n.

Every published choice can be selected (``experiment=paper/base`` selects them all); our remedies are options of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invset.diversity import Moments, cross, pairwise
from invset.inverse_set import InverseSet
from invset.lagrangian import penalty, slack
from invset.samplers.augmented_lagrangian import AugmentedLagrangian
from invset.samplers.base import State, Status, closest
from invset.samplers.kept import Kept

#: Sampling steps between two looks at how many samples there are.
SAMPLING_ROUND = 5


@dataclass(frozen=True)
class TwoStage(AugmentedLagrangian):
    """The published sampler, with options; those of eq. (9) are `AugmentedLagrangian`'s. "(paper)" marks the published choice.

    Attributes:
        K: seeds.
        n: samples, the seeds among them.
        earlier: C0 of eq. (7): the "last" codes that were inside (paper, step 4) or "all" samples so far.
        max_sampling: gradient steps of the second stage, in multiples of the fewest possible, (n - K) / K.
    """

    earlier: str = "last"
    max_sampling: float = 20.0

    def _choices(self) -> dict[str, tuple[str, ...]]:
        return {**super()._choices(), "earlier": ("last", "all")}

    def init(self, target: InverseSet, rng: torch.Generator) -> State:
        u = self._start(target, self.K, rng)
        with torch.no_grad():
            f, e = target(u)
        g = self._constraints(target, f)
        like: dict[str, Any] = {"device": u.device, "dtype": u.dtype}
        extra: dict[str, Any] = {
            "stage": "seeds",
            "outer": 0,
            "lambda_": torch.zeros_like(g),
            "mu": torch.tensor(float(self.mu0), **like),
            "memory": {},
            "moments": [torch.zeros((), **like), torch.zeros_like(self._compared(u, e)[0]), torch.zeros((), **like)],
            "seed_steps": 0,
            "moved": False,
        }
        kept = Kept.empty(self.n, u, f, e)
        return State(u, kept, 0, 0, Status.RUNNING, closest(target, f[0], f), extra)

    def round(self, target: InverseSet, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        return self._seeds(target, state) if state.extra["stage"] == "seeds" else self._sampling(target, state)

    # what both stages compute

    def _objective(self, compared: Tensor, earlier: Moments | None) -> Tensor:
        if self.objective == "none":
            return compared.new_zeros(())
        total = pairwise(compared)
        if self.diversity_units == "relative":
            # each sum over its number of partners, so that its weight does not grow with the samples kept
            total = total / len(compared)
            if earlier is not None:
                total = total + cross(compared, earlier) / earlier.count.clamp_min(1)
            total = total / (2 * compared.detach().square().sum(1).mean().clamp_min(1e-30))
        elif earlier is not None:
            total = total + cross(compared, earlier)
        return self.diversity * total

    def _gradient(
        self, target: InverseSet, u: Tensor, f: Tensor, e: Tensor, s: Tensor, x: dict[str, Any], earlier: Moments | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient of eq. (9), or of eq. (11) with `earlier`, in u; and its two parts."""
        objective = self._objective(self._compared(u, e), earlier)
        terms = penalty(self._constraints(target, f), s, x["lambda_"], x["mu"]).sum()
        (gradient,) = torch.autograd.grad(terms - objective, u)
        return gradient, objective.detach(), terms.detach()

    # stage 1

    def _seeds(self, target: InverseSet, state: State) -> tuple[State, Tensor]:
        """One outer iteration: lambda and mu from the last one, s in closed form, `inner_steps` gradient steps."""
        x, u, best = dict(state.extra), state.u, state.best_f
        done = torch.zeros((), dtype=torch.bool, device=u.device)
        taken = torch.zeros((), dtype=torch.long, device=u.device)
        rows: list[Tensor] = []
        s = inside = None
        for inner in range(self.inner_steps):
            u = u.detach().requires_grad_()
            f, e = target(u)
            inside = self._inside(target, f)
            done = done | inside.all()  # from here on nothing moves: no branch, so no waiting for the device
            g = self._constraints(target, f.detach())
            if inner == 0 and x["outer"] > 0:
                lambda_, mu = self._multipliers(g, x["lambda_"], x["mu"])
                x["lambda_"], x["mu"] = torch.where(done, x["lambda_"], lambda_), torch.where(done, x["mu"], mu)
            if s is None or self.slack == "fresh":
                s = slack(g, x["lambda_"], x["mu"])
            gradient, *parts = self._gradient(target, u, f, e, s, x, None)
            step, memory = self.step(gradient, x["memory"])
            moved = target.region.project(u.detach() - target.region.scale * step)
            u = torch.where(done, u.detach(), moved)
            x["memory"] = {k: torch.where(done, x["memory"].get(k, v), v) for k, v in memory.items()}
            taken = taken + (~done).long()
            best = closest(target, best, f)
            rows.append(self._row(f, (parts[0], parts[1]), (x["lambda_"], x["mu"]), inside, state.kept))
        steps = int(taken)
        x["outer"] += 1
        after = replace(state, u=u.detach(), steps=state.steps + steps, best_f=best, extra=x)
        # the pass in which all were inside counts too
        evaluated = min(steps + int(done), self.inner_steps)
        after = replace(after, code_steps=state.code_steps + self.K * evaluated)
        return self._judge_seeds(target, after, bool(done)), torch.stack(rows[:evaluated])

    def _judge_seeds(self, target: InverseSet, state: State, done: bool) -> State:
        if not bool(torch.isfinite(state.u).all() & torch.isfinite(state.best_f).all()):
            return replace(state, status=Status.NOT_FINITE)
        if not done and state.extra["outer"] < self.max_outer:
            return state
        with torch.no_grad():
            f, e = target(state.u)
        inside = self._inside(target, f)
        done = done or bool(inside.all())  # the very last step may have brought them in
        kept = state.kept.add(inside, state.u, f, e, state.steps, torch.arange(self.K, device=f.device))
        extra = {**state.extra, "stage": "sampling", "seed_steps": state.steps}
        moments = Moments(*extra["moments"]).merged(self._compared(state.u, e), inside)
        extra["moments"] = [moments.count, moments.mean, moments.scatter]
        status = Status.RUNNING
        if not done:
            status = Status.BUDGET if bool(inside.any()) else Status.UNREACHABLE
        elif int(kept.count) >= self.n:
            status = Status.REACHED
        return replace(state, kept=kept, status=status, extra=extra)

    # stage 2

    def _sampling(self, target: InverseSet, state: State) -> tuple[State, Tensor]:
        """A few single steps with lambda and mu frozen; after each, the codes that are inside are kept."""
        x, u, kept, best = dict(state.extra), state.u, state.kept, state.best_f
        seeds = torch.arange(self.K, device=u.device)
        rows: list[Tensor] = []
        for _ in range(SAMPLING_ROUND):
            u = u.detach().requires_grad_()
            f, e = target(u)
            inside = self._inside(target, f)
            if x["moved"]:  # the first pass sees the seeds, which are kept already
                kept = kept.add(inside, u, f, e, state.steps + len(rows), seeds)
                x["moments"] = self._next_moments(Moments(*x["moments"]), self._compared(u, e).detach(), inside)
            s = slack(self._constraints(target, f.detach()), x["lambda_"], x["mu"])
            gradient, *parts = self._gradient(target, u, f, e, s, x, Moments(*x["moments"]))
            step, x["memory"] = self.step(gradient, x["memory"])
            u = target.region.project(u.detach() - target.region.scale * step)
            x["moved"] = True
            best = closest(target, best, f)
            rows.append(self._row(f, (parts[0], parts[1]), (x["lambda_"], x["mu"]), inside, kept))
        after = replace(state, u=u, kept=kept, steps=state.steps + len(rows), best_f=best, extra=x)
        after = replace(after, code_steps=state.code_steps + self.K * len(rows))
        kept = kept.confirmed(target, state.kept, self.K, lambda f: self._inside(target, f))
        return self._judge_sampling(replace(after, kept=kept)), torch.stack(rows)

    def _next_moments(self, earlier: Moments, compared: Tensor, inside: Tensor) -> list[Tensor]:
        """C0 after a step: with "last", the codes that are inside now, or as it was if none is."""
        base = earlier
        if self.earlier == "last":
            keep = (~inside.any()).to(compared)
            base = Moments(earlier.count * keep, earlier.mean, earlier.scatter * keep)
        merged = base.merged(compared, inside)
        return [merged.count, merged.mean, merged.scatter]

    def _judge_sampling(self, state: State) -> State:
        count = int(state.kept.count)
        if count >= self.n:
            return replace(state, status=Status.REACHED)
        if not bool(torch.isfinite(state.u).all()):
            return replace(state, status=Status.NOT_FINITE)
        limit = self.max_sampling * max(1.0, (self.n - self.K) / self.K) + 10
        if state.steps - state.extra["seed_steps"] >= limit:
            return replace(state, status=Status.BUDGET)
        return state

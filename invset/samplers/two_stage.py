"""``sampler=two_stage``, the published method (paper, section 3.4): seeds by the augmented
Lagrangian, then single steps.

Seeds: minimise eq. (9) over K codes by coordinate descent — the slack in closed form, `inner_steps`
gradient steps in C, then lambda <- max(lambda - mu g, 0) and mu <- alpha mu — until all K are
inside. Sampling: lambda and mu frozen, one gradient step of eq. (11) at a time, keeping the codes
that are inside, until there are n.

Every published choice can be selected (``experiment=paper/base`` selects them all); our remedies
are options of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invset.core.gauss_newton import gauss_newton_step, jacobian, tangent
from invset.core.kept import Kept
from invset.core.lagrangian import penalty, slack
from invset.core.moments import Moments, cross, pairwise
from invset.core.options import option
from invset.core.target import InverseSet
from invset.core.walk import FIRM, Walk
from invset.errors import InvsetError
from invset.samplers.augmented_lagrangian import SETTLED, AugmentedLagrangian
from invset.samplers.base import State, Status, closest

#: Sampling steps between two looks at how many samples there are.
SAMPLING_ROUND = 5

#: Inner steps of the seeds between two looks at whether all of them are inside.
SEEDS_LOOK = 10


@dataclass(frozen=True)
class TwoStage(AugmentedLagrangian):
    """The published sampler, with options; those of eq. (9) are `AugmentedLagrangian`'s. "(paper)"
    marks the published choice.

    Attributes:
        K: seeds.
        n: samples, the seeds among them.
        until: seeds are optimised until they are "inside" (paper, section 3.4) or "settled": all
            inside and the sum of eq. (6) at rest (section 4.3, "all the way"), or to `max_outer`.
        tolerance: change of that sum in an outer iteration, as a share of it, up to which it is at
            rest.
        walk: 0 (paper): sampling steps are gradient steps of eq. (11), which hardly move a code.
            Above 0, up to 1: a code that is inside goes on a long random way back to the middle of
            the range (`Walk`), one that is not the shortest way, both by the slopes of f alone; the
            share of a fresh draw in the way.
        longest: limit of a step back to the middle, in standard deviations in root mean square.
        earlier: C0 of eq. (7): the "last" codes that were inside (paper, step 4) or "all" samples
            so far.
        max_sampling: gradient steps of the second stage, in multiples of the fewest possible, (n -
            K) / K.
        chains: runs of K seeds side by side, each as if it were alone, for one set of n samples: so
            that a pass has chains K codes and fills a device. 1 (paper). With `walk` they share
            random numbers.
    """

    until: str = option("inside", words=("inside", "settled"))
    tolerance: float = option(1e-3, at_least=0)
    walk: float = option(0.6, at_least=0, at_most=1)
    longest: float = option(0.7, at_least=0)
    earlier: str = option("last", words=("last", "all"))
    max_sampling: float = option(20.0, at_least=0)
    chains: int = option(1, at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.walk <= 1:
            raise InvsetError(
                f"sampler.walk must be at least 0 and at most 1, not {self.walk}; 0 takes the steps"
                " of eq. (11)"
            )
        if isinstance(self.chains, bool) or not isinstance(self.chains, int) or self.chains < 1:
            raise InvsetError(
                f"sampler.chains must be a whole number of at least 1, not {self.chains}; for"
                " example sampler.chains=4"
            )
        if self.chains * self.K > self.n:
            raise InvsetError(
                f"sampler.chains={self.chains} chains of K={self.K} seeds are more than the"
                f" n={self.n} samples asked for; type sampler.chains={self.n // self.K} or a"
                " larger n"
            )

    def _choices(self) -> dict[str, tuple[str, ...]]:
        return {**super()._choices(), "earlier": ("last", "all"), "until": ("inside", "settled")}

    def init(self, target: InverseSet, rng: torch.Generator) -> State:
        u = self._start(target, self.chains * self.K, self.K, rng)
        with torch.no_grad():
            f, e = target(u)
        g, none = self._constraints(target, f), u.new_zeros(self.chains)
        extra: dict[str, Any] = {
            "stage": "seeds",
            "outer": 0,
            "lambda_": torch.zeros_like(g),
            "mu": torch.full_like(u[:, :1], float(self.mu0)),
            "memory": {},
            "parent": torch.arange(len(u), device=u.device),
            "scatter": torch.full_like(u[:, 0], math.nan),
            "settled": torch.zeros_like(u[:, 0]),
            "walks": Walk.empty(target.p, u).state(),
            "walked": torch.zeros(len(u), dtype=torch.bool, device=u.device),
            "promised": torch.zeros(len(u), target.p, device=u.device, dtype=u.dtype),
            "ready": [],
            "moments": [none, self._by_chain(torch.zeros_like(self._compared(u, e)))[:, 0], none],
            "seed_steps": 0,
            "moved": False,
        }
        kept = Kept.empty(self.n, u, f, e)
        return State(u, kept, 0, 0, Status.RUNNING, closest(target, f[0], f), extra)

    def round(self, target: InverseSet, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        return (
            self._seeds(target, state)
            if state.extra["stage"] == "seeds"
            else self._sampling(target, state, rng)
        )

    # what both stages compute

    def _by_chain(self, rows: Tensor) -> Tensor:
        """Rows of codes, with shape (chains K, ...), to (chains, K, ...)."""
        return rows.unflatten(0, (-1, self.K))

    def _objective(self, compared: Tensor, earlier: Moments | None) -> Tensor:
        """Eq. (6) of one chain's codes, or eq. (7) with earlier samples, weighted; a scalar."""
        if self.objective == "none":
            return compared.new_zeros(())
        total = pairwise(compared)
        if self.diversity_units == "relative":
            # each sum over its number of partners, so that its weight does not grow with the
            # samples kept
            total = total / len(compared)
            if earlier is not None:
                total = total + cross(compared, earlier) / earlier.count.clamp_min(1)
            total = total / (2 * compared.detach().square().sum(1).mean().clamp_min(1e-30))
        elif earlier is not None:
            total = total + cross(compared, earlier)
        return self.diversity * total

    def _gradient(
        self,
        target: InverseSet,
        u: Tensor,
        f: Tensor,
        e: Tensor,
        s: Tensor,
        x: dict[str, Any],
        earlier: list[Tensor] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient of eq. (9), or of eq. (11) with `earlier`, in u; and its two parts."""

        def objective(compared: Tensor, *moments: Tensor) -> Tensor:
            return self._objective(compared, Moments(*moments) if moments else None)

        objectives = _each(objective, self._by_chain(self._compared(u, e)), *(earlier or []))[
            0
        ].sum()
        terms = penalty(self._constraints(target, f), s, x["lambda_"], x["mu"]).sum()
        (gradient,) = torch.autograd.grad(terms - objectives, u)
        return gradient, objectives.detach(), terms.detach()

    # stage 1

    def _seeds(self, target: InverseSet, state: State) -> tuple[State, Tensor]:
        """One outer iteration: lambda and mu from the last one, s in closed form, `inner_steps`
        gradient steps.
        """
        x, u, best = dict(state.extra), state.u, state.best_f
        done = torch.zeros(len(u) // self.K, dtype=torch.bool, device=u.device)
        taken = torch.zeros_like(done, dtype=torch.long)
        rows: list[Tensor] = []
        s = inside = None
        for inner in range(self.inner_steps):
            u = u.detach().requires_grad_()
            f, e = target(u)
            inside = self._inside(target, f)
            if self.until == "inside":
                done = done | self._by_chain(inside).all(
                    1
                )  # from here on a chain stands still: no branch, so no waiting for the device
            stays = done.repeat_interleave(self.K, output_size=len(u)).unsqueeze(1)
            g = self._constraints(target, f.detach())
            if inner == 0 and x["outer"] > 0:
                lambda_, mu = self._multipliers(g, x["lambda_"], x["mu"])
                x["lambda_"], x["mu"] = (
                    torch.where(stays, x["lambda_"], lambda_),
                    torch.where(stays, x["mu"], mu),
                )
            if s is None or self.slack == "fresh":
                s = slack(g, x["lambda_"], x["mu"])
            gradient, *parts = self._gradient(target, u, f, e, s, x, None)
            step, memory = self.step(gradient, x["memory"])
            moved = target.region.project(u.detach() - target.region.scale * step)
            u = torch.where(stays, u.detach(), moved)
            x["memory"] = {
                k: torch.where(stays, x["memory"].get(k, v), v) for k, v in memory.items()
            }
            taken = taken + (~done).long()
            best = closest(target, best, f)
            rows.append(
                self._row(
                    f, (parts[0], parts[1]), (x["lambda_"], x["mu"].mean()), inside, state.kept
                )
            )
            if len(rows) % SEEDS_LOOK == 0 and bool(done.all()):
                break
        if self.until == "settled" and inside is not None:
            done = self._settled(x, self._compared(u, e).detach(), inside)
        # the pass in which all of a chain were inside counts too
        evaluated = (taken + done.long()).clamp_max(self.inner_steps).tolist()
        x["outer"] += 1
        after = replace(
            state, u=u.detach(), steps=state.steps + int(taken.max()), best_f=best, extra=x
        )
        after = replace(after, code_steps=state.code_steps + self.K * sum(evaluated))
        return self._judge_seeds(target, after, done), torch.stack(rows[: max(evaluated)])

    def _settled(self, x: dict[str, Any], compared: Tensor, inside: Tensor) -> Tensor:
        """Which chains have their codes inside and the sum of eq. (6) at rest for some outer
        iterations, with shape (chains,).
        """
        (scatter,) = _each(lambda rows: Moments.of(rows).scatter, self._by_chain(compared))
        calm = (scatter - x["scatter"][:: self.K]).abs() <= self.tolerance * scatter
        calm = (calm & self._by_chain(inside).all(1)).repeat_interleave(self.K)
        x["scatter"] = scatter.repeat_interleave(self.K)
        x["settled"] = torch.where(calm, x["settled"] + 1, 0)
        return x["settled"][:: self.K] >= SETTLED

    def _judge_seeds(self, target: InverseSet, state: State, done: Tensor) -> State:
        """Keep the seeds of the chains that are done, which then wait for the others; the last of
        them begin the sampling.
        """
        if not bool(torch.isfinite(state.u).all() & torch.isfinite(state.best_f).all()):
            return replace(state, status=Status.NOT_FINITE)
        leaves = done if state.extra["outer"] < self.max_outer else torch.ones_like(done)
        if not bool(leaves.any()):
            return state
        x, batch = dict(state.extra), _batch(state)
        going = _pick(batch, leaves.repeat_interleave(self.K))
        with torch.no_grad():
            f, e = target(going["u"])
        inside = self._inside(target, f)
        kept = state.kept.add(inside, going["u"], f, e, state.steps, going["parent"])
        succeeds = done[leaves] | self._by_chain(inside).all(
            1
        )  # the very last step may have brought them in
        compared = self._compared(going["u"], e)
        moments = _each(_first_moments, self._by_chain(compared), self._by_chain(inside))
        ready = _pick(going, succeeds.repeat_interleave(self.K))
        x["ready"] = [*x["ready"], {**ready, "moments": [m[succeeds] for m in moments]}]
        after = _with(
            replace(state, kept=kept, extra=x), _pick(batch, ~leaves.repeat_interleave(self.K))
        )
        return after if len(after.u) else self._begin_sampling(after)

    def _begin_sampling(self, state: State) -> State:
        """All chains have their seeds, or were given up: those with seeds go on."""
        batch = _join(state.extra["ready"])
        extra = {
            **state.extra,
            "stage": "sampling",
            "seed_steps": state.steps,
            "moments": batch.pop("moments"),
            "ready": [],
        }
        status = Status.RUNNING
        if not len(batch["u"]):
            status = Status.BUDGET if int(state.kept.count) else Status.UNREACHABLE
        elif int(state.kept.count) >= self.n:
            status = Status.REACHED
        return _with(replace(state, status=status, extra=extra), batch)

    # stage 2

    def _sampling(
        self, target: InverseSet, state: State, rng: torch.Generator
    ) -> tuple[State, Tensor]:
        """A few single steps with lambda and mu frozen; after each, the codes that are inside are
        kept.
        """
        x, u, kept, best = dict(state.extra), state.u, state.kept, state.best_f
        rows: list[Tensor] = []

        def next_moments(compared: Tensor, inside: Tensor, *earlier: Tensor) -> tuple[Tensor, ...]:
            return tuple(self._next_moments(Moments(*earlier), compared, inside))

        for _ in range(SAMPLING_ROUND):
            u = u.detach().requires_grad_()
            f, e = target(u)
            inside = self._inside(target, f)
            if x["moved"]:  # the first pass sees the seeds, which are kept already
                kept = kept.add(inside, u, f, e, state.steps + len(rows), x["parent"])
                compared = self._by_chain(self._compared(u, e).detach())
                x["moments"] = _each(next_moments, compared, self._by_chain(inside), *x["moments"])
            parts = (f.new_zeros(()), f.new_zeros(()))
            if self.walk:
                u = self._walk(target, u, f, inside, x, rng)
            else:
                u, parts = self._eq11(target, u, f, e, x)
            x["moved"] = True
            best = closest(target, best, f)
            rows.append(
                self._row(f, (parts[0], parts[1]), (x["lambda_"], x["mu"].mean()), inside, kept)
            )
        kept = kept.confirmed(target, state.kept, len(u), lambda f: self._inside(target, f))
        after = replace(state, u=u, kept=kept, steps=state.steps + len(rows), best_f=best, extra=x)
        return self._judge_sampling(
            replace(after, code_steps=state.code_steps + len(u) * len(rows))
        ), torch.stack(rows)

    def _eq11(
        self, target: InverseSet, u: Tensor, f: Tensor, e: Tensor, x: dict[str, Any]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One gradient step of eq. (11); the codes after it, and the two parts of its value."""
        s = slack(self._constraints(target, f.detach()), x["lambda_"], x["mu"])
        gradient, objective, terms = self._gradient(target, u, f, e, s, x, x["moments"])
        step, x["memory"] = self.step(gradient, x["memory"])
        return target.region.project(u.detach() - target.region.scale * step), (objective, terms)

    def _walk(
        self,
        target: InverseSet,
        u: Tensor,
        f: Tensor,
        inside: Tensor,
        x: dict[str, Any],
        rng: torch.Generator,
    ) -> Tensor:
        """The codes after a long way, if they were inside, or after the shortest step to the middle
        of the range.
        """
        region, width = target.region, target.range.width
        rows = jacobian(f, u) / width.unsqueeze(1) * region.scale
        u, place = u.detach(), ((f.detach() - target.range.z1) / width).to(u.dtype)
        walk = Walk(*x["walks"]).seen(x["walked"], place, x["promised"])
        mixed = region.mixed(u, region.sample(len(u), rng).to(u), self.walk)
        onward, promised = walk.onward(
            region, u, mixed, rows, place, torch.full_like(place, 0.5), self.longest
        )
        firm = torch.full_like(u[:, 0], FIRM)
        back = gauss_newton_step(
            tangent(rows, u, getattr(region, "radius", math.inf)), place - 0.5, firm, self.longest
        )
        x |= {"walks": walk.state(), "walked": inside, "promised": promised}
        return torch.where(inside.unsqueeze(1), onward, region.project(u + region.scale * back))

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
        limit = self.max_sampling * max(1.0, (self.n - len(state.u)) / len(state.u)) + 10
        if state.steps - state.extra["seed_steps"] >= limit:
            return replace(state, status=Status.BUDGET)
        return state


def _first_moments(compared: Tensor, inside: Tensor) -> tuple[Tensor, ...]:
    none = compared.new_zeros(())
    first = Moments(none, torch.zeros_like(compared[0]), none).merged(compared, inside)
    return first.count, first.mean, first.scatter


def _each(function: Callable[..., Tensor | tuple[Tensor, ...]], *tensors: Tensor) -> list[Tensor]:
    """What `function` makes of every chain's part of the tensors, whose first axis is the
    chains.
    """
    if len(tensors[0]) == 1:  # just what a run without chains computes
        out = function(*(tensor[0] for tensor in tensors))
        return [one.unsqueeze(0) for one in (out if isinstance(out, tuple) else (out,))]
    out = torch.vmap(function)(*tensors)
    return list(out) if isinstance(out, tuple) else [out]


# some of the codes and all that is known of each


def _batch(state: State) -> dict[str, Any]:
    names = ("lambda_", "mu", "parent", "memory", "scatter", "settled", "walked", "promised")
    return {"u": state.u, **{name: state.extra[name] for name in names}}


def _with(state: State, batch: dict[str, Any]) -> State:
    rest = {name: value for name, value in batch.items() if name != "u"}
    return replace(state, u=batch["u"], extra={**state.extra, **rest})


def _pick(batch: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """The codes where `rows`, a boolean, is true."""
    return {k: _pick(v, rows) if isinstance(v, dict) else v[rows] for k, v in batch.items()}


def _join(batches: list[dict[str, Any]]) -> dict[str, Any]:
    """One batch after the other; "moments" is a list of tensors, "memory" a dictionary."""

    def join(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {k: join([value[k] for value in values]) for k in values[0]}
        return (
            [join(list(parts)) for parts in zip(*values, strict=True)]
            if isinstance(values[0], list)
            else torch.cat(values)
        )

    return join(batches)

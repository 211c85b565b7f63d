"""The one loop that runs every sampler: it keeps, counts, logs, stops, and leaves a state to go on
from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar, get_origin, get_type_hints

import torch
from torch import Tensor

from invset.core.checks import goal_of
from invset.core.goal import loss
from invset.core.kept import Kept
from invset.core.plain import from_plain, to_plain
from invset.core.products import products
from invset.core.target import Meter, Seen, Target
from invset.errors import InvsetError
from invset.samplers.base import Column, Limits, Offer, Sampler, Status

S = TypeVar("S")


@dataclass(frozen=True)
class Run(Generic[S]):
    """Where a run is after a look at the device. Immutable: an interrupted round leaves it whole.

    Attributes:
        state: the sampler's.
        kept: the samples so far; None before the first step.
        best_f: activations that came closest to the ranges so far, with shape (p,).
        meter: passes so far.
        status: why it ended, or RUNNING.
        steps: steps so far.
        count: samples so far.
        arrived_at: step of the latest look that found a new sample.
        seconds: time of sampling so far.
    """

    state: S
    kept: Kept | None
    best_f: Tensor | None
    meter: Meter
    status: Status = Status.RUNNING
    steps: int = 0
    count: int = 0
    arrived_at: int = 0
    seconds: float = 0.0


#: Called after every look with the run and the rows of `columns`, with shape (steps, columns).
OnLook = Callable[[Run[Any], list[list[float]]], None]


def columns(sampler: Sampler[Any] | type[Sampler[Any]], p: int) -> tuple[Column, ...]:
    """The columns of the log: the activations of p neurons, the sampler's own, and two counts."""
    ends = (("min", "lowest"), ("mean", "mean"), ("max", "highest"))
    named = (
        [("f", "activation")]
        if p == 1
        else [(f"f{j + 1}", f"activation {j + 1}") for j in range(p)]
    )
    extent = [Column(f"{f}_{end}", f"{word} {title}") for f, title in named for end, word in ends]
    counts = (Column("inside", "codes: in range"), Column("kept", "codes: kept"))
    return (*extent, *sampler.columns, *counts)


def state_type(sampler: Sampler[Any]) -> Any:
    """The class of a sampler's states, which `init` says that it returns.

    Raises:
        InvsetError: it does not say.
    """
    found = get_type_hints(type(sampler).init).get("return")
    if not is_dataclass(get_origin(found) or found):
        name = type(sampler).__name__
        raise InvsetError(
            f"the state of a sampler is a frozen dataclass, which a run goes on from: {name}.init"
            " must say which one it returns, as in `def init(self, target, rng) -> MyState`"
        )
    return found


@products("float32")
def drive(
    sampler: Sampler[S],
    target: Target,
    rng: torch.Generator,
    run: Run[S] | None = None,
    on_look: OnLook | None = None,
    limits: Limits | None = None,
) -> Run[S]:
    """Run `sampler` until it ends, is interrupted (Ctrl-C), or meets numbers that are not finite.

    Args:
        sampler: what to run.
        target: what to sample; its meter goes on from `run`, or from zero.
        rng: of every random draw; when `run` is given, as it was after the look that made it.
        run: where to go on; None starts anew.
        on_look: see `OnLook`.
        limits: when to give up; what they leave open, the sampler says.
    """
    stop = sampler.limits().times(target.passes).tightened(limits or Limits())
    try:
        if run is None:
            run = _begun(sampler, target, rng)
        else:
            target.meter.set(run.meter)
        started = time.monotonic() - run.seconds
        while run.status is Status.RUNNING:
            run, rows = _round(sampler, target, rng, run, stop)
            run = _judged(replace(run, seconds=time.monotonic() - started), stop, limits)
            if on_look is not None:
                on_look(run, rows.tolist())
    except KeyboardInterrupt:
        if run is None:
            raise
        if run.status is Status.RUNNING:  # a run that has ended stays ended
            run = replace(run, status=Status.INTERRUPTED)
    return run


def _begun(sampler: Sampler[S], target: Target, rng: torch.Generator) -> Run[S]:
    """The run before the first step; a state that no file could hold is told now, not after it."""
    kind = state_type(sampler)
    sampler.check(target)
    target.meter.set(Meter())
    state = sampler.init(target, rng)
    from_plain(kind, to_plain(state))
    return Run(state, None, None, target.meter.copy())


def _round(
    sampler: Sampler[S], target: Target, rng: torch.Generator, run: Run[S], stop: Limits
) -> tuple[Run[S], Tensor]:
    """Some steps without reading anything back from the device, then one look at it; no step more
    where a limit of passes is reached, which is known without the device.
    """
    state = run.state
    kept = run.kept
    best = run.best_f
    goal = goal_of(sampler)
    sound = []
    rows = []
    for number in range(sampler.stride(state, sampler.n - run.count)):
        state, offer = _checked(sampler, sampler.step(target, state, rng))
        seen = offer.seen
        finite = torch.isfinite(seen.f).all(1) & torch.isfinite(seen.u).all(1)
        allowed = sampler.accepts(target, seen.f)
        kept = _keep(sampler, target, kept, offer, finite & allowed, run.steps + number)
        if not seen.moving:  # an estimate reached nothing
            best = closest(target, seen.f[0] if best is None else best, seen.f, goal)
        sound.append(finite.all())
        inside = allowed if sampler.holds_range else target.range.contains(seen.f)
        if seen.moving:  # on a scale of its own
            inside = torch.zeros_like(inside)
        rows.append(_row(offer, inside, kept))
        if stop.spent(target.meter):
            break
    if not target.exact and goal == "range" and not sampler.replacing and kept is not None:
        accepts = partial(sampler.accepts, target)
        kept = kept.confirmed(target, run.count, sampler.K, accepts)
    steps = run.steps + len(rows)
    after = replace(
        run, state=state, kept=kept, best_f=best, steps=steps, meter=target.meter.copy()
    )
    return _read(sampler, after, torch.stack(sound).all()), torch.stack(rows)


def _checked(sampler: Sampler[S], given: object) -> tuple[S, Offer]:
    """What a step gives, if it is what the contract says.

    Raises:
        InvsetError: it gives something else, or numbers of other shapes or types.
    """
    name = f"{type(sampler).__name__}.step"
    if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[1], Offer):
        raise InvsetError(f"{name} must return a pair: the next state, and an Offer")
    state: S = given[0]
    offer: Offer = given[1]
    if not isinstance(offer.seen, Seen):
        raise InvsetError(f"{name} offers `seen` that is not what target.look gave")
    if offer.seen.u.requires_grad or offer.seen.f.requires_grad:
        raise InvsetError(f"{name} offers `seen` with its gradient; offer seen.detached()")
    rows = (len(offer.seen.u),)
    wanted = (
        ("chosen", offer.chosen, rows, "a boolean"),
        ("parent", offer.parent, rows, "whole numbers"),
        ("log", offer.log, (len(sampler.columns),), "a number for each of its columns"),
    )
    for key, value, shape, what in wanted:
        if value is None:
            continue
        typed = {"chosen": value.dtype is torch.bool, "parent": value.dtype is torch.long}
        if value.shape != shape or not typed.get(key, True):
            raise InvsetError(
                f"{name} offers `{key}` of shape {tuple(value.shape)} and type {value.dtype}; it"
                f" must be {what}, with shape {shape}"
            )
    if offer.log is None and sampler.columns:
        names = ", ".join(column.name for column in sampler.columns)
        raise InvsetError(f"{name} offers no `log`; it must hold {names}")
    if type(offer.origin) is not int or not 0 <= offer.origin < len(sampler.origins):
        raise InvsetError(
            f"{name} offers `origin` {offer.origin!r}; it must be the number of one of the"
            f" {len(sampler.origins)} origins {', '.join(sampler.origins)}, from 0"
        )
    return state, offer


def _keep(
    sampler: Sampler[S],
    target: Target,
    kept: Kept | None,
    offer: Offer,
    allowed: Tensor,
    step: int,
) -> Kept | None:
    """The samples after an offer."""
    if offer.chosen is None:
        return kept
    goal = goal_of(sampler)
    chosen = offer.chosen & allowed
    before = Kept.empty(sampler.n, offer.seen) if kept is None or sampler.replacing else kept
    if goal != "range" and not sampler.replacing:
        losses = partial(loss, goal, target.range)
        return before.best(chosen, offer.seen, offer.rows(), losses, step, offer.origin)
    after = before.add(chosen, offer.seen, offer.rows(), step, offer.origin)
    return after.or_more(kept) if sampler.replacing and kept is not None else after


def _row(offer: Offer, inside: Tensor, kept: Kept | None) -> Tensor:
    """The numbers of `columns` for one step; `inside` says which codes are in range."""
    f = offer.seen.f.detach()
    extent = torch.stack([f.amin(0), f.mean(0), f.amax(0)], 1).flatten()
    count = inside.sum()
    counts = torch.stack([count, torch.zeros_like(count) if kept is None else kept.count])
    return torch.cat([extent, offer.numbers().detach().to(f), counts.to(f)])


def _read(sampler: Sampler[S], run: Run[S], finite: Tensor) -> Run[S]:
    """Read one small tensor back from the device: are there enough samples, is it the end?"""
    count = finite.new_zeros((), dtype=torch.long) if run.kept is None else run.kept.count
    done = sampler.done(run.state)
    if not isinstance(done, Tensor):
        done = finite.new_full((), done)
    numbers = torch.stack([finite.long(), count, done.long()]).tolist()
    sound = bool(numbers[0])
    found = numbers[1]
    ended = bool(numbers[2])
    arrived_at = run.steps if found > run.count else run.arrived_at
    run = replace(run, count=found, arrived_at=arrived_at)
    if not sound:
        return replace(run, status=Status.NOT_FINITE)
    if found >= sampler.n and goal_of(sampler) == "range" and not sampler.replacing:
        return replace(run, status=Status.REACHED)
    state = sampler.turn(run.state, ended, sampler.n - found)
    if state is None:
        enough = found >= sampler.asked(run.state)
        return replace(run, status=Status.REACHED if enough else _given_up(found))
    return replace(run, state=state)


def _judged(run: Run[S], limits: Limits, given: Limits | None) -> Run[S]:
    """The run, ended if it is past one of its limits. One that was `given` does not tell
    what can be reached.
    """
    past = (run.meter, run.steps - run.arrived_at, run.seconds)
    if run.status is not Status.RUNNING or not limits.past(*past):
        return run
    cut = given is not None and given.past(*past)
    return replace(run, status=Status.BUDGET if cut else _given_up(run.count))


def _given_up(count: int) -> Status:
    return Status.BUDGET if count else Status.UNREACHABLE


def closest(target: Target, best: Tensor, f: Tensor, goal: str = "range") -> Tensor:
    """Of `best`, with shape (p,), and the rows of f, with shape (B, p): the activations nearest to
    the goal; to the ranges, in their widths.
    """
    candidates = torch.cat([best.detach().unsqueeze(0), f.detach()])
    distance = loss(goal, target.range, candidates)
    # one axis: indexing with a scalar waits for the device
    nearest = torch.nan_to_num(distance, nan=torch.inf).argmin(keepdim=True)
    return candidates[nearest][0]

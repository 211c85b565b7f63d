"""``sampler=ladder``: the same starting codes taken through several ranges; one column a code, one
row a range.

Down a column only the activation changes, and the code moves no farther than it must: one sees what
the neuron adds. It is a study over several inverse sets, not a sampler: each row (rung) is a run of
its own, of the sampler `Climb`, from the same start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.checks import check_range
from invset.core.options import check_options, option
from invset.core.plain import on_cpu
from invset.core.ranges import ActivationRange
from invset.core.target import Meter, Target
from invset.core.values import as_pair
from invset.errors import InvsetError
from invset.samplers.base import Column, Limits, Status
from invset.samplers.drive import Run, columns, drive
from invset.samplers.found import Found
from invset.studies.climb import Climb, ClimbState
from invset.studies.study import OnLook

#: How ranges are typed.
EXAMPLE = "'sampler.ranges=[[1,2],[3,4],[5,6]]'"


@dataclass(frozen=True)
class Rung:
    """What one range gave.

    Attributes:
        u, f, e: coordinates, activations and encodings of the codes that arrived, a row each.
        step: step of the ladder at which each did, with shape (B,).
        number: of each code, with shape (B,).
    """

    u: Tensor
    f: Tensor
    e: Tensor
    step: Tensor
    number: Tensor


@dataclass(frozen=True)
class LadderState:
    """Where a ladder is.

    Attributes:
        start: coordinates that every rung starts at, with shape (K spare, dim).
        rungs: those that are done.
        current: the run of the rung that is not.
        steps: steps of the rungs that are done.
        best_f: activations that came closest to the ranges, with shape (1,).
        spent: passes of the rungs that are done.
        seconds: time of the rungs that are done.
        status: why it ended, or RUNNING.
    """

    start: Tensor
    rungs: list[Rung]
    current: Run[ClimbState] | None
    steps: int
    best_f: Tensor | None
    spent: Meter
    seconds: float
    status: Status

    @property
    def meter(self) -> Meter:
        """Passes so far."""
        return self.spent if self.current is None else self.spent.plus(self.current.meter)


@dataclass(frozen=True)
class Ladder:
    """K codes through every range, each rung by Gauss-Newton steps from the same start.

    Attributes:
        K: columns.
        ranges: (z1, z2) of each row, in raw activation units; of one neuron.
        mu0: penalty of the Gauss-Newton steps, constant; see `invset.core.gauss_newton`.
        tolerance: distance from its target activation at which a code is done, as a share of the
            width.
        longest: limit of one step, in standard deviations in root mean square.
        max_age: steps for one row.
        spare: codes that are tried for each column; the ones that reach most rows are kept.
        moving: steps of robust neurons on moving views, before `fixed` on those that decide.
        fixed: steps on fixed views, which alone give samples; then views move again.
        momentum: share of the earlier slopes in those of a step on moving views, in [0, 1).
    """

    K: int = option(20, at_least=1)
    ranges: Sequence[Sequence[float]] = ()
    mu0: float = option(1e3, above=0, below=math.inf)
    tolerance: float = option(0.25, above=0)
    longest: float = option(0.4, above=0)
    max_age: int = option(40, at_least=1)
    spare: float = option(1.5, at_least=1)
    moving: int = option(36, at_least=0)
    fixed: int = option(2, at_least=1)
    momentum: float = option(0.5, at_least=0, below=1)

    space: ClassVar[str] = "region"
    state_type: ClassVar[type[LadderState]] = LadderState

    def __post_init__(self) -> None:
        check_options(self, "sampler")
        if not isinstance(self.ranges, Iterable) or not len(self.ranges):
            raise InvsetError(f"a ladder needs ranges; type for example {EXAMPLE}")
        rungs = [as_pair("each of sampler.ranges", ends, EXAMPLE) for ends in self.ranges]
        for ends in rungs:
            check_range(*ends)
        object.__setattr__(self, "ranges", tuple(rungs))

    @property
    def n(self) -> int:
        """Most samples that there can be: one a cell."""
        return self.K * len(self.ranges)

    def columns(self, p: int) -> tuple[Column, ...]:
        return columns(Climb, p)

    def rows(self, target: Target) -> list[list[tuple[float, float]]]:
        return [[(float(z1), float(z2))] for z1, z2 in self.ranges]

    def check(self, target: Target) -> None:
        """Raise `InvsetError` for several neurons."""
        if target.p != 1:
            raise InvsetError(
                f"a ladder is for one neuron, not {target.p}; use sampler=stream for intersections"
            )

    def begin(self, target: Target, rng: torch.Generator) -> LadderState:
        """Draw the codes that every rung starts at."""
        self.check(target)
        start = target.space.sample(max(self.K, round(self.K * self.spare)), rng)
        return LadderState(start, [], None, 0, None, Meter(), 0.0, Status.RUNNING)

    def run(
        self,
        target: Target,
        rng: torch.Generator,
        state: LadderState | None = None,
        on_look: OnLook | None = None,
        limits: Limits | None = None,
    ) -> LadderState:
        """Take all codes through all ranges; see `Study.run`."""
        state = state or self.begin(target, rng)
        try:
            while state.status is Status.RUNNING:
                state = self._rung(target, rng, state, on_look, limits or Limits())
        except KeyboardInterrupt:
            return replace(state, status=Status.INTERRUPTED)
        return state

    def _rung(
        self,
        target: Target,
        rng: torch.Generator,
        state: LadderState,
        on_look: OnLook | None,
        limits: Limits,
    ) -> LadderState:
        """Drive the codes to the next range, or as far as an interruption lets them."""
        z1, z2 = self.ranges[len(state.rungs)]
        here = target.at(ActivationRange.of([(z1, z2)], state.start))

        def looked(run: Run[ClimbState], rows: list[list[float]]) -> None:
            if on_look is not None:
                on_look(self._within(state, run), rows, self._count(state) + run.count)

        climb = self._climb(state.start)
        left = limits.less(state.spent, state.seconds)
        run = drive(climb, here, rng, state.current, looked, left)
        if run.status is Status.INTERRUPTED:
            return replace(self._within(state, run), status=Status.INTERRUPTED)
        after = self._reached(state, run)
        if after.status is Status.RUNNING and limits.past(after.meter, 0, after.seconds):
            return replace(after, status=Status.BUDGET)
        return after

    def _climb(self, start: Tensor) -> Climb:
        count = len(start)
        # every column has its place in the range, the same on every rung
        place = (torch.arange(count, device=start.device) * 0.6180339887 + 0.5).frac()
        return Climb(
            K=count,
            n=count,
            start=start,
            place=place.to(start).unsqueeze(1),
            mu0=self.mu0,
            tolerance=self.tolerance,
            longest=self.longest,
            max_age=self.max_age,
            moving=self.moving,
            fixed=self.fixed,
            momentum=self.momentum,
        )

    def _within(self, state: LadderState, run: Run[ClimbState]) -> LadderState:
        best = run.best_f if state.best_f is None else state.best_f
        return replace(state, current=run, best_f=best)

    def _reached(self, state: LadderState, run: Run[ClimbState]) -> LadderState:
        """The ladder after a rung that has ended."""
        assert run.kept is not None
        kept = run.kept.trimmed()
        order = kept["parent"].argsort()
        rows = {name: kept[name][order] for name in ("u", "f", "e", "step", "parent")}
        number = rows.pop("parent")
        rung = Rung(**{**rows, "step": rows["step"] + state.steps}, number=number)
        rungs = [*state.rungs, rung]
        status = Status.RUNNING
        if run.status is Status.NOT_FINITE:
            status = Status.NOT_FINITE
        elif len(rungs) == len(self.ranges):
            status = Status.REACHED
        return LadderState(
            start=state.start,
            rungs=rungs,
            current=None,
            steps=state.steps + run.steps,
            best_f=run.best_f,
            spent=state.spent.plus(run.meter),
            seconds=state.seconds + run.seconds,
            status=status,
        )

    def _count(self, state: LadderState) -> int:
        return sum(len(rung.number) for rung in state.rungs)

    def found(self, target: Target, state: LadderState) -> Found:
        """The K columns that reached most rungs, in the order they were drawn."""
        count = len(state.start)
        rungs = [on_cpu(rung) for rung in state.rungs]
        reached = torch.zeros(len(self.ranges), count, dtype=torch.bool)
        for row, rung in enumerate(rungs):
            reached[row, rung.number] = True
        most = reached.sum(0).argsort(descending=True, stable=True)
        columns = most[: self.K].sort().values
        here = reached[:, columns]
        cells = torch.where(here, here.flatten().cumsum(0).view(here.shape) - 1, -1)
        stays = [torch.isin(rung.number, columns) for rung in rungs]
        parts = list(zip(rungs, stays, strict=True))
        total = int(here.sum())
        status = state.status
        if status is Status.REACHED and total < self.n:
            status = Status.BUDGET if total else Status.UNREACHABLE
        blank = state.start[:0].cpu()
        return Found(
            asked=self.n,
            u=torch.cat([blank, *(rung.u[stay] for rung, stay in parts)]),
            f=torch.cat([blank[:, :1], *(rung.f[stay] for rung, stay in parts)]),
            e=torch.cat([rung.e[stay] for rung, stay in parts]) if parts else blank,
            step=torch.cat([torch.zeros(0).long(), *(rung.step[s] for rung, s in parts)]),
            parent=torch.cat([torch.zeros(0).long(), *(r.number[s] for r, s in parts)]),
            origin=torch.zeros(total, dtype=torch.long),
            origins=Climb.origins,
            row=torch.arange(len(self.ranges)).repeat_interleave(here.sum(1)),
            ranges=self.rows(target),
            cells=cells,
            columns=self.columns(1),
            status=status,
            best_f=torch.full((1,), math.nan) if state.best_f is None else state.best_f,
            steps=state.steps,
            meter=state.meter,
            seconds=state.seconds,
        )

"""A study: one or several inverse sets that are sampled for one question, and what they gave.

A sampler alone is the study of one set (`Sampling`). A study over several sets, such as a ladder of
ranges, drives samplers in turn. ``invset run`` runs either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch

from invset.core.checks import goal_of
from invset.core.plain import from_plain, to_plain
from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.base import Column, Limits, S, Sampler, Status
from invset.samplers.drive import Run, columns, drive, state_type
from invset.samplers.found import Found

#: Called after every look with the state to go on from, the new rows of the log, with shape (steps,
#: columns), and how many samples there are.
OnLook = Callable[[Any, list[list[float]], int], None]

T = TypeVar("T")


@runtime_checkable
class Study(Protocol):
    """What ``invset run`` runs."""

    @property
    def n(self) -> int:
        """Samples asked for."""
        ...

    def columns(self, p: int) -> tuple[Column, ...]:
        """Columns of the log, for p neurons."""
        ...

    def rows(self, target: Target) -> list[list[tuple[float, float]]]:
        """Rows of ranges (z1, z2), one for each neuron."""
        ...

    def check(self, target: Target) -> None:
        """Raise `InvsetError` for a target that can't be sampled so."""
        ...

    def run(
        self,
        target: Target,
        rng: torch.Generator,
        state: Any = None,
        on_look: OnLook | None = None,
        limits: Limits | None = None,
    ) -> Any:
        """Sample until it ends or is interrupted; return the last state.

        Args:
            target: what to sample.
            rng: of every random draw; when `state` is given, as it was after the look that made it.
            state: where to go on; None starts anew.
            on_look: see `OnLook`.
            limits: when to give up.
        """
        ...

    def found(self, target: Target, state: Any) -> Found:
        """The samples of a state."""
        ...

    @property
    def state_type(self) -> Any:
        """The class of its states, to read one from a file."""
        ...

    @property
    def space(self) -> str:
        """What ``prior=auto`` means; see `Sampler.space`."""
        ...


@dataclass(frozen=True)
class Sampling(Generic[S]):
    """The study of one inverse set by one sampler."""

    sampler: Sampler[S]

    @property
    def n(self) -> int:
        """Samples asked for."""
        return self.sampler.n

    @property
    def K(self) -> int:
        """Codes at a time."""
        return self.sampler.K

    @property
    def goal(self) -> str:
        """What the sampler aims at."""
        return goal_of(self.sampler)

    @property
    def space(self) -> str:
        """Where the sampler moves."""
        return self.sampler.space

    @property
    def state_type(self) -> Any:
        """A run of the sampler."""
        return Run[state_type(self.sampler)]  # type: ignore[misc]

    def columns(self, p: int) -> tuple[Column, ...]:
        return columns(self.sampler, p)

    def rows(self, target: Target) -> list[list[tuple[float, float]]]:
        return [list(zip(target.range.z1.tolist(), target.range.z2.tolist(), strict=True))]

    def check(self, target: Target) -> None:
        self.sampler.check(target)

    def run(
        self,
        target: Target,
        rng: torch.Generator,
        state: Run[S] | None = None,
        on_look: OnLook | None = None,
        limits: Limits | None = None,
    ) -> Run[S]:
        """Drive the sampler."""

        def looked(run: Run[S], rows: list[list[float]]) -> None:
            if on_look is not None:
                on_look(run, rows, run.count)

        return drive(self.sampler, target, rng, state, looked, limits)

    def found(self, target: Target, state: Run[S]) -> Found:
        if state.kept is None:
            blank = torch.zeros(0, target.space.dim)
            numbers = torch.zeros(0, dtype=torch.long)
            kept = dict.fromkeys(("step", "parent", "origin"), numbers)
            kept |= {"u": blank, "f": torch.zeros(0, target.p), "e": blank}
        else:
            kept = state.kept.trimmed()
        best = torch.full((target.p,), torch.nan) if state.best_f is None else state.best_f
        return Found(
            asked=self.sampler.asked(state.state),
            **kept,
            origins=self.sampler.origins,
            row=torch.zeros(len(kept["u"]), dtype=torch.long),
            ranges=self.rows(target),
            cells=None,
            columns=self.columns(target.p),
            status=state.status,
            best_f=best,
            steps=state.steps,
            meter=state.meter,
            seconds=state.seconds,
            held=self.sampler.holds_ends,
            goal=self.goal,
            niches=self.sampler.niches,
        )


def study_of(component: Any) -> Study:
    """A study as it is; a sampler as the study of one set."""
    return Sampling(component) if isinstance(component, Sampler) else component


def codes_at_once(study: Study) -> int:
    """K, or all where a study of somebody else's has no such option."""
    return getattr(study, "K", study.n)


def saved(state: Any) -> dict[str, Any]:
    """A study's state as plain values and tensors, for `torch.save`."""
    return to_plain(state)


def loaded(study: Study, plain: dict[str, Any]) -> Any:
    """The inverse of `saved`; what was interrupted is running again.

    Raises:
        InvsetError: another sampler or another version wrote it.
    """
    return running(from_plain(study.state_type, plain))


def running(state: T) -> T:
    """The state of an interrupted study as one that runs."""
    changes: dict[str, Any] = {}
    if getattr(state, "status", None) is Status.INTERRUPTED:
        changes["status"] = Status.RUNNING
    current = getattr(state, "current", None)
    if current is not None:
        changes["current"] = running(current)
    return replace(state, **changes) if changes else state  # type: ignore[type-var]


def takes_real(study: Study) -> bool:
    """Whether a study's sampler, with its options, looks at real inputs."""
    return bool(getattr(getattr(study, "sampler", study), "needs_real", False))


def check_real(study: Study, given: bool, how: str) -> None:
    """Raise `InvsetError` where real inputs are missing, or given to a sampler that takes none.

    Args:
        study: what is run.
        given: whether there are some.
        how: what gives them.
    """
    sampler = getattr(study, "sampler", study)
    needed = takes_real(study)
    if needed and not given:
        raise InvsetError(
            f"{type(sampler).__name__} with these options needs real inputs; give them by {how}"
        )
    if given and not needed:
        raise InvsetError(
            f"{type(sampler).__name__} with these options looks at no real inputs; leave {how} out"
        )

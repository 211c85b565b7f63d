"""The contract of a sampler: it proposes codes; the driver (`drive.py`) does everything else.

A sampler is a frozen dataclass. Its fields are its options. It has

    init(target, rng) -> S                          the first state
    step(target, state, rng) -> (S, Offer)          one step: what was seen, and what may be kept
    done(state) -> bool, or a boolean tensor        nothing more will come

where S is a frozen dataclass of its own, of tensors and numbers. A step reads nothing back from the
device. The driver keeps what is offered, counts, logs, stops and saves.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from invset.core.checks import check_batch, goal_of
from invset.core.options import check_options, option
from invset.core.target import Meter, Seen, Target

S = TypeVar("S")


class Status(str, enum.Enum):
    """Why a run ended."""

    RUNNING = "running"
    REACHED = "reached"
    BUDGET = "budget"
    UNREACHABLE = "unreachable"
    NOT_FINITE = "not finite"
    INTERRUPTED = "interrupted"

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    Status.RUNNING: "Still running.",
    Status.REACHED: "All the samples asked for were found.",
    Status.BUDGET: (
        "The budget ran out before all the samples were found; those found so far are kept."
    ),
    Status.UNREACHABLE: (
        "No code came inside the range before the run gave up: it is out of reach of the generator"
        " here, or of so few steps."
    ),
    Status.NOT_FINITE: (
        "An activation or a code became infinite or not a number; the samples found before that"
        " are kept."
    ),
    Status.INTERRUPTED: (
        "Interrupted; the samples found so far are kept, and --resume goes on from here."
    ),
}


@dataclass(frozen=True)
class Column:
    """A column of the log: one number a step.

    Attributes:
        name: in ``optimization.csv``.
        title: of its chart, with the unit; columns whose titles begin with the same words and a
            colon share one.
    """

    name: str
    title: str


@dataclass(frozen=True)
class Offer:
    """What one step proposes to keep.

    Attributes:
        seen: what the step's pass saw.
        chosen: the rows to keep, a boolean with shape (B,); None: none.
        parent: row of the batch, or number of the seed, that each came from, with shape (B,); None:
            the row. With a goal other than a range: the number from 0 of the search of each, of
            which the driver keeps the best code.
        log: the numbers of `Sampler.columns`, with shape (columns,); None where it has none.
        origin: number from 0 of the word in `Sampler.origins`.
    """

    seen: Seen
    chosen: Tensor | None
    parent: Tensor | None = None
    log: Tensor | None = None
    origin: int = 0

    def rows(self) -> Tensor:
        """`parent`, or the rows of the batch."""
        if self.parent is None:
            return torch.arange(len(self.seen.u), device=self.seen.u.device)
        return self.parent

    def numbers(self) -> Tensor:
        """`log`, or no numbers."""
        return self.seen.f.new_zeros(0) if self.log is None else self.log


@dataclass(frozen=True)
class Limits:
    """When a run gives up: after the step that reaches a limit of passes; the others are looked at
    every few steps.

    Attributes:
        code_steps: forward-and-backward passes of one code, of the whole run; None: the sampler's
            own limit, if it has one.
        patience: steps in a row without a new sample; None: the sampler's own limit, if it has one.
        seconds: time of sampling; None: no limit.
        forwards: forward passes of one code, of the whole run; None: no limit.
    """

    code_steps: float | None = option(None, at_least=0)
    patience: int | None = option(None, at_least=1)
    seconds: float | None = option(None, at_least=0)
    forwards: float | None = option(None, at_least=0)

    def __post_init__(self) -> None:
        check_options(self, "limits")

    def past(self, meter: Meter, waited: int, seconds: float) -> bool:
        """Whether one of the limits is reached, `waited` steps after the latest new sample."""
        pairs = ((waited, self.patience), (seconds, self.seconds))
        return self.spent(meter) or any(
            limit is not None and spent >= limit for spent, limit in pairs
        )

    def spent(self, meter: Meter) -> bool:
        """Whether a limit of passes is reached."""
        pairs = ((meter.code_steps, self.code_steps), (meter.forwards, self.forwards))
        return any(limit is not None and spent >= limit for spent, limit in pairs)

    def reached(self, meter: Meter, seconds: float) -> str:
        """The first limit of passes or time that is reached, as it is typed; empty: none is."""
        pairs = (
            ("code_steps", meter.code_steps, self.code_steps),
            ("forwards", meter.forwards, self.forwards),
            ("seconds", seconds, self.seconds),
        )
        past = (f"{key}={limit:g}" for key, spent, limit in pairs if limit and spent >= limit)
        return next(past, "")

    def times(self, passes: int) -> Limits:
        """For codes that take several passes of the network each: code-steps count them all."""
        code_steps = None if self.code_steps is None else self.code_steps * passes
        return replace(self, code_steps=code_steps)

    def less(self, meter: Meter, seconds: float) -> Limits:
        """What is left of these after some passes and some time."""
        return Limits(
            _left(self.code_steps, meter.code_steps),
            self.patience,
            _left(self.seconds, seconds),
            _left(self.forwards, meter.forwards),
        )

    def tightened(self, other: Limits) -> Limits:
        """These, where `other` says nothing."""
        return Limits(
            self.code_steps if other.code_steps is None else other.code_steps,
            self.patience if other.patience is None else other.patience,
            self.seconds if other.seconds is None else other.seconds,
            self.forwards if other.forwards is None else other.forwards,
        )


def _left(limit: float | None, spent: float) -> float | None:
    return None if limit is None else max(0.0, limit - spent)


@dataclass(frozen=True)
class Sampler(Generic[S]):
    """What every sampler has. It proposes codes, and the driver does everything else: it keeps
    what is offered, counts, logs, stops and saves.

    A sampler is a frozen dataclass, whose fields are its options, with ``init(target, rng) -> S``,
    the first state, and ``step(target, state, rng) -> (S, Offer)``. S is a frozen dataclass of its
    own, of tensors and numbers.

    Attributes:
        K: codes at a time.
        n: samples asked for.
    """

    K: int = option(10, at_least=1)
    n: int = option(100, at_least=1)

    #: What ``prior=auto`` means: "region": the generator's natural region; "codes": plain codes.
    space: ClassVar[str] = "region"
    #: False: samples are what the sampler visits, in the range or not.
    holds_range: ClassVar[bool] = True
    #: True: each offer takes the place of an earlier one that had no more samples, until `done`.
    replaces: ClassVar[bool] = False
    #: True: samples are each for one unit of the neuron's layer, whose number from 0 is
    #: `Offer.parent`.
    niches: ClassVar[bool] = False
    #: What a sample may come from, as ``activations.csv`` says it.
    origins: ClassVar[tuple[str, ...]] = ("sample",)
    #: What `Offer.log` holds.
    columns: ClassVar[tuple[Column, ...]] = ()

    def __post_init__(self) -> None:
        check_options(self, "sampler")
        check_batch(self.K, self.n)

    @property
    def replacing(self) -> bool:
        """Whether offers take each other's place: `replaces`, where no option changes it."""
        return self.replaces

    @property
    def needs_real(self) -> bool:
        """Whether it needs real inputs, `Target.real`."""
        return False

    @property
    def holds_ends(self) -> bool:
        """Whether all samples were inside both ends of the range when they were taken."""
        return self.holds_range

    def check(self, target: Target) -> None:
        """Raise `InvsetError` for a target that this sampler can't sample; called before `init`."""

    def init(self, target: Target, rng: torch.Generator) -> S:
        """The first state."""
        raise NotImplementedError

    def step(self, target: Target, state: S, rng: torch.Generator) -> tuple[S, Offer]:
        """One step, without reading anything back from the device."""
        raise NotImplementedError

    def done(self, state: S) -> Tensor | bool:
        """Whether nothing more will come: see `turn`."""
        return False

    def asked(self, state: S) -> int:
        """Samples that there are to be: n, or fewer where there are no more."""
        return self.n

    def accepts(self, target: Target, f: Tensor) -> Tensor:
        """Which activations, with shape (B, p), may be samples, a boolean with shape (B,)."""
        if not self.holds_range or goal_of(self) != "range":
            return torch.ones(len(f), dtype=torch.bool, device=f.device)
        return target.inside(f)

    def stride(self, state: S, wanted: int) -> int:
        """Steps to take before the driver looks at the device again.

        Steps in which no more codes can come inside than are wanted are steps too many.
        """
        return min(LOOK, max(1, -(-wanted // self.K)))

    def turn(self, state: S, done: bool, wanted: int) -> S | None:
        """The state after a look, or None to end.

        Args:
            state: the state.
            done: what `done` said.
            wanted: samples that are still missing.
        """
        return None if done else state

    def limits(self) -> Limits:
        """When to give up, where the caller does not say."""
        return Limits()


#: Most steps between two looks at the device.
LOOK = 5

"""What every sampler has in common: ``init`` and ``round``, a state, a status; and the one loop
that drives them.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from invset.core.kept import Kept
from invset.core.target import InverseSet
from invset.errors import InvsetError


class Status(str, enum.Enum):
    """Why a sampler ended."""

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
        "The budget of steps ran out before all the samples were found; those found so far are"
        " kept."
    ),
    Status.UNREACHABLE: (
        "No code came inside the range within the budget: what the generator can make here does not"
        " reach it."
    ),
    Status.NOT_FINITE: (
        "An activation or a code became infinite or not a number; the samples found before that are"
        " kept."
    ),
    Status.INTERRUPTED: (
        "Interrupted; the samples found so far are kept, and --resume goes on from here."
    ),
}


@dataclass(frozen=True)
class State:
    """Where a sampler is. Immutable: an interrupted round leaves the state before it whole.

    Attributes:
        u: coordinates of the codes in flight, with shape (K, dim); of all n for `sampler=full`,
            with shape (n, dim).
        kept: the samples so far.
        steps: gradient steps so far; a code-step is one forward and backward pass of one code.
        code_steps: code-steps so far.
        status: why it ended, or RUNNING.
        best_f: activations that came closest to the ranges so far, with shape (p,).
        extra: what else the sampler remembers, tensors and plain values.
    """

    u: Tensor
    kept: Kept
    steps: int
    code_steps: int
    status: Status
    best_f: Tensor
    extra: dict[str, Any]


class Sampler(Protocol):
    """K codes at a time until n samples are kept.

    Attributes:
        K: codes at a time.
        n: samples asked for.
        columns: names of the numbers that `round` reports of every gradient step, those of `EXTENT`
            first; see `columns`.
    """

    K: int
    n: int
    columns: tuple[str, ...]

    def init(self, target: InverseSet, rng: torch.Generator) -> State:
        """The first state."""
        ...

    def round(self, target: InverseSet, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        """Some gradient steps without reading anything back from the device; then the status, and a
        row a step.
        """
        ...


#: The columns that `extent` gives of each neuron.
EXTENT = ("f_min", "f_mean", "f_max")


def extent(f: Tensor) -> Tensor:
    """Smallest, mean and largest activation of each neuron, one neuron after the other, with shape
    (3p,), of those of K codes (K, p).
    """
    f = f.detach()
    return torch.stack([f.amin(0), f.mean(0), f.amax(0)], 1).flatten()


def columns(sampler: Sampler, p: int) -> tuple[str, ...]:
    """`Sampler.columns` for p neurons: of several, the activations are those of the first
    (``f1_min``), of the second, and so on.
    """
    if p == 1:
        return sampler.columns
    named = [name.replace("f", f"f{j}", 1) for j in range(1, p + 1) for name in EXTENT]
    return (*named, *sampler.columns[len(EXTENT) :])


#: Called after every round with the state and the rows of `columns`, with shape (steps of the
#: round, columns).
OnRound = Callable[[State, list[list[float]]], None]


@dataclass(frozen=True)
class Outcome:
    """What `drive` returns.

    Attributes:
        state: the last state; its `kept` are the samples.
        seconds: wall-clock time.
    """

    state: State
    seconds: float


def drive(
    sampler: Sampler,
    target: InverseSet,
    rng: torch.Generator,
    state: State | None = None,
    on_round: OnRound | None = None,
) -> Outcome:
    """Run `sampler` until it ends, is interrupted (Ctrl-C), or meets numbers that are not finite.

    Args:
        sampler: what to run.
        target: the inverse set.
        rng: of every random draw; when `state` is given, as it was after the round that made it.
        state: where to go on; None starts anew.
        on_round: see `OnRound`.

    Raises:
        InvsetError: the device's memory is too small for K codes.
    """
    start = time.monotonic()
    try:
        state = state or sampler.init(target, rng)
        while state.status is Status.RUNNING:
            state, rows = sampler.round(target, state, rng)
            if on_round is not None:
                on_round(state, rows.tolist())
    except KeyboardInterrupt:
        if state is None:
            raise
        if (
            state.status is Status.RUNNING
        ):  # a run that has ended stays ended: there is nothing to go on with
            state = replace(state, status=Status.INTERRUPTED)
    except torch.OutOfMemoryError as error:
        codes = sampler.K * getattr(sampler, "chains", 1)
        part = max(1, codes // 2)
        raise InvsetError(
            f"memory of the device is too small for {codes} codes at once; evaluate fewer at a time"
            f" with runtime.micro_batch={part}, which gives the same samples, or take a smaller K"
            f" ({str(error).splitlines()[0]})"
        ) from error
    return Outcome(state, time.monotonic() - start)


def closest(target: InverseSet, best: Tensor, f: Tensor) -> Tensor:
    """Of `best`, with shape (p,), and the rows of f, with shape (B, p): the activations nearest to
    the ranges, in their widths.
    """
    candidates = torch.cat([best.unsqueeze(0), f.detach()])
    distance = (target.range.violation(candidates) / target.range.width).square().sum(1)
    nearest = torch.nan_to_num(distance, nan=torch.inf).argmin(
        keepdim=True
    )  # one axis: indexing with a scalar waits for the device
    return candidates[nearest][0]


def state_dict(state: State) -> dict[str, Any]:
    """The state as plain values and tensors, for `torch.save`."""
    plain = {f.name: getattr(state, f.name) for f in fields(state)}
    return {
        **plain,
        "status": state.status.value,
        "kept": {f.name: getattr(state.kept, f.name) for f in fields(Kept)},
    }


def load_state_dict(saved: dict[str, Any]) -> State:
    """The inverse of `state_dict`; an interrupted run is running again."""
    status = Status(saved["status"])
    status = Status.RUNNING if status is Status.INTERRUPTED else status
    return State(**{**saved, "status": status, "kept": Kept(**saved["kept"])})

"""Passes that several problems share: the codes of all that wait go through the networks at once.

Networks in evaluation mode take each row by itself, so that a row's activations, encodings and
gradient are those of a pass alone, but for rounding. What goes together depends on what the others
wait for, and on no clock: the same problems give the same bytes each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from invset.core.products import products
from invset.core.target import Evaluate
from invset.problem.in_views import InViews
from invset.problem.passes import Passes, portions_of
from invset.problem.portions import Portions
from invset.problem.problem import Problem
from invset.problem.readout import Readout

log = logging.getLogger(__name__)

#: What is asked of a pass: f and E; all units of the neuron's layer and E; f, and inputs and E.
NEURONS, UNITS, INPUTS = "neurons", "units", "inputs"


@dataclass
class Ask:
    """What a problem waits for.

    Attributes:
        answer: what it gets.
        error: what the pass raised, in place of an answer.
    """

    answer: Any = field(default=None, init=False)
    error: BaseException | None = field(default=None, init=False)


@dataclass
class Look(Ask):
    """A forward pass; its answer is a `Part`.

    Attributes:
        problem: whose neurons are read.
        kind: NEURONS, UNITS or INPUTS.
        codes: with shape (B, code_dim), without a graph.
        grad: whether gradients will be pulled.
    """

    problem: Problem
    kind: str
    codes: Tensor
    grad: bool

    @property
    def key(self) -> Hashable:
        """Looks of one key share a pass."""
        one = self.problem
        nets = (id(one.network.module), id(one.encoder_network.module), id(one.generator.module))
        place = (one.neurons[0].layer, one.places[0].at) if self.kind == UNITS else None
        seen = (one.made.eight_bit, one.made.clamp, one.encoder, place, one.flat)
        return (self.kind, self.grad, nets, seen, one.runtime)


@dataclass
class Pull(Ask):
    """A backward pass; its answer is the gradient in the codes.

    Attributes:
        part: that is pulled.
        slopes: of a scalar in the part's two tensors, each None where it does not depend on it.
        keep: whether another gradient will be pulled from the part.
    """

    part: Part
    slopes: Sequence[Tensor | None]
    keep: bool


@dataclass(eq=False)
class Shared:
    """A forward pass that was taken.

    Attributes:
        codes: of all, with shape (ΣB, code_dim).
        outputs: of all.
        products: how backward passes take products.
        pulled: parts of which another gradient may be pulled.
    """

    codes: Tensor
    outputs: tuple[Tensor, Tensor]
    products: str
    pulled: set[int] = field(default_factory=set)


@dataclass(eq=False)
class Part:
    """What one problem sees of a pass.

    Attributes:
        shared: the pass.
        rows: of its codes.
        columns: of its activations.
        first, second: what it sees, as leaves of a graph where gradients will be pulled.
    """

    shared: Shared
    rows: slice
    columns: slice
    first: Tensor
    second: Tensor


class SharedPasses:
    """Takes passes for several problems that have networks, generator and runtime in common."""

    def __init__(self) -> None:
        self._portions: dict[Hashable, Portions] = {}
        self._told = False

    def take(self, asked: Sequence[Ask]) -> list[Ask]:
        """Answer some of what is waited for, and say which.

        Backward passes come first, then passes without a gradient: problems that are not at the
        same point of a step meet again at the next pass with one.
        """
        pulls = [one for one in asked if isinstance(one, Pull)]
        looks = [one for one in asked if isinstance(one, Look)]
        plain = [one for one in looks if not one.grad]
        found: list[Ask] = []
        if pulls:
            for pulled in _alike([(id(one.part.shared), one) for one in pulls]):
                found += _answered(pulled, self._pulled)
        else:
            for looked in _alike([(one.key, one) for one in plain or looks]):
                found += _answered(looked, self._looked)
        return found

    def _looked(self, looks: Sequence[Look]) -> None:
        first = looks[0]
        codes = torch.cat([one.codes for one in looks]).requires_grad_(first.grad)
        passes = self._passes(looks)
        with _current(codes), torch.set_grad_enabled(first.grad):
            shared = Shared(codes, passes(codes), first.problem.runtime.products)
        self._tell_split(passes.portions)
        row = column = 0
        for look in looks:
            width = shared.outputs[0].shape[1] if look.kind == UNITS else len(look.problem.neurons)
            rows = slice(row, row + len(look.codes))
            columns = slice(column, column + width)
            row = rows.stop
            column = 0 if look.kind == UNITS else columns.stop
            f, e = (one.detach() for one in shared.outputs)
            f, e = f[rows, columns].contiguous(), e[rows].clone()
            look.answer = Part(
                shared, rows, columns, f.requires_grad_(first.grad), e.requires_grad_(first.grad)
            )
            shared.pulled.add(id(look.answer))

    def _passes(self, looks: Sequence[Look]) -> Passes:
        """All neurons are read in each row: no pass knows which row is whose, as the runtime may
        take a part of them at a time.
        """
        one = looks[0].problem
        device = one.network.device
        portions = self._portions.setdefault(looks[0].key, portions_of(one.runtime, device))
        return Passes(_evaluate(looks), one.runtime, device, portions, one.flat)

    def _tell_split(self, portions: Portions) -> None:
        """Say once that not all codes go at once."""
        if portions.split is not None and not self._told:
            log.info("%s", portions.split.sentence)
            self._told = True

    def _pulled(self, pulls: Sequence[Pull]) -> None:
        shared = pulls[0].part.shared
        wanted: dict[int, Tensor] = {}
        for pull in pulls:
            part = pull.part
            places = ((part.rows, part.columns), (part.rows,))
            for number, (slope, place) in enumerate(zip(pull.slopes, places, strict=True)):
                if slope is not None:
                    output = shared.outputs[number]
                    wanted.setdefault(number, torch.zeros_like(output))[place] = slope
            if not pull.keep:
                shared.pulled.discard(id(part))
        with _current(shared.codes), products(shared.products):
            (found,) = torch.autograd.grad(
                [shared.outputs[number] for number in wanted],
                shared.codes,
                list(wanted.values()),
                retain_graph=bool(shared.pulled),
            )
        for pull in pulls:
            pull.answer = found[pull.part.rows]


A = TypeVar("A", Look, Pull)


def _alike(asked: Iterable[tuple[Hashable, A]]) -> list[list[A]]:
    """What has one key together, in the order in which the keys come."""
    found: dict[Hashable, list[A]] = {}
    for key, one in asked:
        found.setdefault(key, []).append(one)
    return list(found.values())


def _answered(asked: list[A], take: Callable[[list[A]], None]) -> list[A]:
    """Take a pass; who shares it gets what it raises."""
    try:
        take(asked)
    except Exception as error:
        for one in asked:
            one.error = error
    return asked


def _evaluate(looks: Sequence[Look]) -> Evaluate:
    """What a pass of some looks, which have one key, computes."""
    one = looks[0].problem
    assert isinstance(one.readout, Readout)
    problems = [look.problem for look in looks]
    readout = replace(
        one.readout,
        neurons=[neuron for problem in problems for neuron in problem.neurons],
        places=[place for problem in problems for place in problem.places],
    )

    def neurons(codes: Tensor) -> tuple[Tensor, Tensor]:
        return readout.look(one.made(codes))

    def units(codes: Tensor) -> tuple[Tensor, Tensor]:
        return readout.units(one.made(codes))

    def inputs(codes: Tensor) -> tuple[Tensor, Tensor]:
        x = one.made(codes)
        f, e = readout.look(x)
        return f, torch.cat([x.flatten(1), e], 1)

    return {NEURONS: neurons, UNITS: units, INPUTS: inputs}[looks[0].kind]


def _current(codes: Tensor) -> AbstractContextManager[object]:
    """CUDA's current device is one of a thread."""
    return torch.cuda.device(codes.device) if codes.is_cuda else nullcontext()


def why_alone(problem: Problem) -> str | None:
    """Why a problem's passes can't be shared, in words; None: they can."""
    if isinstance(problem.readout, InViews):
        return "robust neurons are read in views of their own"
    if problem.runtime.cuda_graphs:
        return "steps are recorded (runtime.cuda_graphs)"
    if problem.runtime.compile:
        return "passes are compiled (runtime.compile)"
    return None

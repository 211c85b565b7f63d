"""What a sampler samples: {x = G(c) : z1 <= f_j(x) <= z2 for j = 1 … p} (paper, eq. 1, 6 and 12).

All that a sampler sees is a `Target`: the region of codes, the ranges, `look` (codes to activations
and encodings) and `pull` (a gradient in the codes). Anything differentiable serves;
`invset.problem` builds a target from networks and generators. Every pass goes through `look` and
`pull`, and their `Meter` counts it, so that the cost of any two methods can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from invset.core.gradient import gradient
from invset.core.products import products
from invset.core.ranges import ActivationRange
from invset.core.space import Region
from invset.errors import InvsetError

T = TypeVar("T")

#: Codes, with shape (B, code_dim), to activations, with shape (B, p), and encodings, with shape
#: (B, d).
Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Layer:
    """All units of one neuron's layer, for samplers that compare it with the others (PPGN's
    softmax).

    Attributes:
        evaluate: codes, with shape (B, code_dim), to activations of all units (channels at the
            neuron's position), with shape (B, units), and encodings, with shape (B, d),
            differentiable.
        unit: index from 0 of the neuron.
    """

    evaluate: Evaluate
    unit: int


@dataclass(frozen=True)
class Inputs:
    """The inputs G(c) themselves, for distances between them (paper, eq. 5).

    Attributes:
        evaluate: codes, with shape (B, code_dim), to activations, with shape (B, p), and inputs and
            encodings side by side, with shape (B, values + d), differentiable.
        values: numbers of one input.
    """

    evaluate: Evaluate
    values: int


@dataclass(frozen=True)
class Moving:
    """Robust neurons in views that move: an estimate of f that no code can please for long.

    Attributes:
        at: number of a look -> what evaluates codes in its views.
        passes: passes of the network that one code takes.
        ratio: a guess of how f in fixed views compares with f in moving ones, before it is
            measured.
    """

    at: Callable[[int], Evaluate]
    passes: int
    ratio: float = 1.0


@dataclass(frozen=True)
class Whole:
    """Steps that are recorded and replayed as wholes.

    Attributes:
        evaluate: as `Target.evaluate`, not recorded by itself.
        repeat: gives what a function of a target and of tensors gives, or replays it.
    """

    evaluate: Evaluate
    repeat: Callable[..., Any]


@dataclass
class Meter:
    """Passes so far, counted per code; those of robust neurons per view.

    A pass that the runtime repeats to save memory (``runtime.micro_batch``) is counted once.

    Attributes:
        forwards: forward passes of one code through generator and networks.
        backwards: backward passes of one code; p for the slopes of p neurons.
    """

    forwards: int = 0
    backwards: int = 0

    @property
    def code_steps(self) -> float:
        """Cost in forward-and-backward passes of one code: a forward is 1/3, a backward 2/3."""
        return (self.forwards + 2 * self.backwards) / 3

    def plus(self, other: Meter) -> Meter:
        """The passes of both."""
        return Meter(self.forwards + other.forwards, self.backwards + other.backwards)

    def copy(self) -> Meter:
        return Meter(self.forwards, self.backwards)

    def set(self, other: Meter) -> None:
        """Count on from where `other` is."""
        self.forwards = other.forwards
        self.backwards = other.backwards

    def as_dict(self) -> dict[str, float]:
        """For ``summary.json``."""
        counts = {"forwards": self.forwards, "backwards": self.backwards}
        return {**counts, "code_steps": round(self.code_steps, 2)}


@dataclass(frozen=True)
class Seen:
    """What one pass saw.

    Attributes:
        u: coordinates, with shape (B, dim).
        f: activations, with shape (B, p).
        e: encodings, with shape (B, d).
        units: activations of all units of the neuron's layer, with shape (B, units), if asked for.
        moving: whether f is an estimate in moving views.
        passes: passes of the network that each code took.
        inputs: what the generator made, with shape (B, values), if asked for.
    """

    u: Tensor
    f: Tensor
    e: Tensor
    units: Tensor | None = None
    moving: bool = False
    passes: int = 1
    inputs: Tensor | None = None

    def detached(self) -> Seen:
        """The same without a graph."""
        units = None if self.units is None else self.units.detach()
        inputs = None if self.inputs is None else self.inputs.detach()
        plain = (self.u.detach(), self.f.detach(), self.e.detach(), units)
        return Seen(*plain, self.moving, self.passes, inputs)


@dataclass(frozen=True)
class Target:
    """What a sampler samples, and the only way in which it may look at it.

    Attributes:
        evaluate: codes to activations and encodings, differentiable.
        range: the p ranges.
        space: coordinates u of the codes and the part of them that may be used.
        exact: whether a pass that will be differentiated gives the same numbers as one without a
            gradient. If it does not, only the latter decide what is a sample
            (`invset.core.kept.Kept.confirmed`).
        layer: the layer of the neuron, if there is one neuron and it is a unit.
        moving: the neurons in moving views, if they are robust.
        inputs: what the generator makes of codes; None: there are codes alone.
        passes: passes of the network that one code takes, of which robust neurons need several.
        products: how backward passes take products, as `invset.core.products` names it.
        whole: records steps, if the runtime says so.
        picture: (channels, H, W) where coordinates are the pixels of a picture; None elsewhere.
        real: coordinates of real inputs, with shape (N, dim), for samplers whose `needs_real` says
            that they need them; None where none were given.
        meter: counts every pass.
    """

    evaluate: Evaluate
    range: ActivationRange
    space: Region
    exact: bool = True
    layer: Layer | None = None
    moving: Moving | None = None
    inputs: Inputs | None = None
    passes: int = 1
    products: str = "float32"
    whole: Whole | None = None
    picture: tuple[int, int, int] | None = None
    real: Tensor | None = None
    meter: Meter = field(default_factory=Meter, compare=False)

    @property
    def p(self) -> int:
        """Number of neurons."""
        return len(self.range.z1)

    def at(self, range_: ActivationRange) -> Target:
        """The same neurons in other ranges; passes are counted by the same meter."""
        return replace(self, range=range_, whole=None)  # what is recorded has these ranges in it

    def repeated(self, function: Callable[..., T], *inputs: Any) -> T:
        """What ``function(target, *inputs)`` gives, by one launch if steps are recorded.

        Args:
            function: without a draw, and without waiting for the device.
            inputs: tensors, plain values, and dataclasses of them.
        """
        if self.whole is None or self.p > 1:  # a solver of several equations may wait
            return function(self, *inputs)
        plain = replace(self, evaluate=self.whole.evaluate, whole=None)
        found: T = self.whole.repeat(function, plain, *inputs)
        return found

    def look(
        self, u: Tensor, grad: bool = False, also: Sequence[str] = (), moving: bool = False
    ) -> Seen:
        """Activations and encodings of coordinates, one forward pass of each.

        Args:
            u: coordinates, with shape (B, dim).
            grad: whether gradients will be pulled.
            also: "units": the activations of all units of the neuron's layer, too; "inputs": what
                the generator makes; one of them.
            moving: look at robust neurons in views drawn anew; others have none.

        Raises:
            InvsetError: "units" of several neurons, or of a direction; "inputs" where there are no
                inputs but codes.
        """
        u = u.detach().requires_grad_(grad)
        with torch.set_grad_enabled(grad):
            seen = self._look(u, also, moving and self.moving is not None)
        self.meter.forwards += len(u) * seen.passes
        return seen

    def _look(self, u: Tensor, also: Sequence[str], moving: bool) -> Seen:
        codes = self.space.decode(u)
        if "units" in also:
            return self._look_at_units(u, codes)
        if "inputs" in also:
            return self._look_at_inputs(u, codes)
        if moving:
            assert self.moving is not None
            # what was counted so far tells looks apart, and a resumed run has it, too
            f, e = self.moving.at(self.meter.forwards)(codes)
            return Seen(u, f, e, moving=True, passes=self.moving.passes)
        return Seen(u, *self.evaluate(codes), passes=self.passes)

    def _look_at_units(self, u: Tensor, codes: Tensor) -> Seen:
        if self.layer is None:
            raise InvsetError(
                "this sampler takes one neuron that is a unit or a channel, no intersection and no"
                " direction; type sampler=stream"
            )
        units, e = self.layer.evaluate(codes)
        unit = self.layer.unit
        # a slice: an index from a list would be copied to the device in each pass
        return Seen(u, units[:, unit : unit + 1], e, units, passes=self.passes)

    def _look_at_inputs(self, u: Tensor, codes: Tensor) -> Seen:
        if self.inputs is None:
            raise InvsetError(
                "this target has codes and no inputs, so there are no distances between inputs;"
                " type sampler.objective=codes"
            )
        f, both = self.inputs.evaluate(codes)
        values = self.inputs.values
        return Seen(u, f, both[:, values:], passes=self.passes, inputs=both[:, :values])

    def pull(self, seen: Seen, scalar: Tensor, keep: bool = False) -> Tensor:
        """Gradient of a scalar in the coordinates, with shape (B, dim); one backward pass of each.

        Args:
            seen: what a look with ``grad=True`` gave.
            scalar: a function of `seen`.
            keep: whether another gradient will be pulled from the same look.

        Raises:
            InvsetError: there is no gradient.
        """
        with products(self.products):
            found = gradient(scalar, seen.u, keep)
        self.meter.backwards += len(seen.u) * seen.passes
        return found

    def slopes(self, seen: Seen) -> Tensor:
        """Rows df_j/du of each code by p backward passes, with shape (B, p, dim)."""
        last = self.p - 1
        rows = [self.pull(seen, seen.f[:, j].sum(), keep=j < last) for j in range(self.p)]
        return torch.stack(rows, dim=1)

    def inside(self, f: Tensor) -> Tensor:
        """Which rows of f, with shape (B, p), may be samples: see `ActivationRange.holds`."""
        return self.range.holds(f.detach())

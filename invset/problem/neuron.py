"""Where in a network a neuron is, and how its activation is read.

A layer is one of three kinds, told apart by its shape: units (B, units), tokens (B, T, channels) or
maps (B, channels, H, W). All but units have positions, of which one is read, the largest or the
mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.checks import check_position, check_range, plain
from invset.core.values import ByValue, as_pair, as_vector
from invset.errors import InvsetError
from invset.nets.labels import find_neuron
from invset.nets.network import Network

#: The range of a neuron that nothing is asked of yet, as in ``invset probe``: every activation lies
#: in it.
ANY = (-math.inf, math.inf)

#: A position as a person gives it.
Position = str | int | tuple[int, int]

#: A position in a layer of known shape: "max" and "mean" over all positions, or indices from 0 of
#: one: () in units, (token,) in tokens, (y, x) in maps.
At = str | tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Neuron(ByValue):
    """One neuron and the range its activation is to lie in.

    Attributes:
        layer: a layer's name, as in `Network.layers`.
        number: from 1, as in the paper (981 is output index 980); a channel in a layer of maps or
            tokens. Or the unit's label. None with `direction`.
        range: (z1, z2) in raw activation units, a pair of any kind; without one, a neuron can be
            looked at, but has no inverse set to sample.
        position: where a channel is read. In maps: "center", "max", "mean" or (y, x) from 0. In
            tokens: "cls", "register1", …, a token's number from 0, a patch (y, x), "center" (the
            patch in the middle), "max" or "mean" (over all tokens). Units have none.
        direction: a vector over the layer's units or channels, a list, array or tensor; the
            activation is its inner product with them. A concept vector or a sparse autoencoder's
            feature is a neuron too. With shape (units,).
        name: what reports call it; None: its label or number.

    Raises:
        InvsetError: a value of a type that can't be taken, no range, no position, or a number
            beside a direction.
    """

    layer: str
    number: int | str | None
    range: tuple[float, float] = ANY
    position: Position = "center"
    direction: Tensor | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        range_ = as_pair("range", self.range, "Neuron(…, range=(3, 4))")
        if range_ != ANY:
            check_range(*range_)
        object.__setattr__(self, "range", range_)
        object.__setattr__(self, "number", self._number())
        object.__setattr__(self, "position", check_position(self.position))
        if self.direction is not None:
            object.__setattr__(self, "direction", as_vector("direction", self.direction))

    def _number(self) -> int | str | None:
        """The number as Python's own."""
        number = plain(self.number)
        if not isinstance(self.layer, str):
            raise InvsetError(
                f"a layer is the name of one, not {self.layer!r}; for example Neuron('fc8', 981)"
            )
        if number is not None and (isinstance(number, bool) or not isinstance(number, (int, str))):
            raise InvsetError(
                f"a neuron's number is a whole number from 1 or a label, not {self.number!r}"
            )
        if number is not None and self.direction is not None:
            raise InvsetError(
                f"neuron {number!r} of {self.layer} has a direction, too; give a number or a"
                " direction, not both"
            )
        return number

    def called(self, network: Network, index: int | None) -> str:
        """What reports call it: its own name, or for example ``fc8:8 horse``."""
        output = network.labels and index is not None and self.layer == network.output
        label = network.labels[index] if output else ""  # type: ignore[index]
        number = "direction" if index is None else index + 1
        return self.name or f"{self.layer}:{number} {label}".strip()


@dataclass(frozen=True)
class Place:
    """A neuron that was found in its layer.

    Attributes:
        index: of the unit or channel, from 0; None with `direction`.
        at: position.
        direction: with shape (units,), where the activations are; None with `index`.
    """

    index: int | None
    at: At
    direction: Tensor | None = None

    def read(self, activations: Tensor) -> Tensor:
        """Activation in each input: a layer's activations, of any kind, to (B,)."""
        return read(activations, self.at, self.index, self.direction)


def find(network: Network, neuron: Neuron, shape: Sequence[int] | None = None) -> Place:
    """Find a neuron in a network.

    Args:
        network: where it lives.
        neuron: what is sought.
        shape: of one input's activations in its layer; None: those of a blank input.

    Raises:
        InvsetError: a layer, unit, label or position that does not exist, or a direction of another
            length.
    """
    shape = shape or network.shape(neuron.layer)
    if len(shape) not in (1, 2, 3):
        raise InvsetError(
            f"layer {neuron.layer} gives activations of shape {tuple(shape)}; neurons live in"
            " layers of units, of tokens or of channels"
        )
    at = locate(neuron.position, shape, neuron.layer, network.prefix_tokens)
    units = network.channels(neuron.layer, shape)
    if neuron.direction is not None:
        if tuple(neuron.direction.shape) != (units,):
            raise InvsetError(
                f"a direction in layer {neuron.layer} has {units} numbers, not"
                f" {tuple(neuron.direction.shape)}"
            )
        # on the device already: in a step, a copy from the host would wait for it
        return Place(None, at, neuron.direction.to(network.device))
    if neuron.number is None:
        raise InvsetError(f"neuron in layer {neuron.layer}: give a number, a label or a direction")
    labels = network.labels if neuron.layer == network.output else None
    where = f"{neuron.layer} of {network.name}"
    return Place(find_neuron(neuron.number, units, labels, where), at)


def locate(position: Position, shape: Sequence[int], layer: str, prefix: int | None = None) -> At:
    """A position in a layer.

    Args:
        position: as in `Neuron`.
        shape: of one input's activations: (units,), (tokens, channels) or (channels, H, W).
        layer: what messages call it.
        prefix: tokens before the patches; None: those that a square of patches leaves over.

    Raises:
        InvsetError: the layer has no such position; says which it has.
    """
    if len(shape) == 1:
        if position != "center":
            raise InvsetError(
                f"layer {layer} has units, which have no positions; leave position={position} out"
            )
        return ()
    if position in ("max", "mean"):
        return str(position)
    if len(shape) == 2:
        return _token(position, shape[0], layer, prefix)
    height, width = shape[1:]
    if position == "center":
        return height // 2, width // 2
    if not isinstance(position, tuple):
        raise InvsetError(
            f"layer {layer} has maps, whose position is center, max, mean or [y, x], not {position}"
        )
    return _inside(position, (height, width), f"layer {layer}, whose maps are")


def _token(position: Position, count: int, layer: str, prefix: int | None) -> tuple[int]:
    """Index of one of `count` tokens."""
    before = count - math.isqrt(count) ** 2 if prefix is None else prefix
    side = math.isqrt(max(count - before, 0))
    square = side > 0 and side**2 == count - before
    if isinstance(position, int):
        token = position
    elif position == "cls":
        token = 0 if before else -1
    elif isinstance(position, str) and position.startswith("register"):
        token = int(position.removeprefix("register"))
        token = token if 0 < token < before else -1
    elif square:
        patch = (side // 2, side // 2) if position == "center" else position
        assert isinstance(patch, tuple)
        y, x = _inside(patch, (side, side), f"layer {layer}, whose patches are")
        token = before + y * side + x
    else:
        token = -1
    if 0 <= token < count:
        return (token,)
    named = [*["cls"][:before], *(f"register{i}" for i in range(1, before))]
    patches = [f"center, a patch [y, x] below [{side}, {side}]"] if square else []
    words = ", ".join([*named, *patches, f"a token's number from 0 to {count - 1}, max or mean"])
    typed = list(position) if isinstance(position, tuple) else position
    raise InvsetError(
        f"layer {layer} has {count} tokens, whose position is {words}, not {typed};"
        " network.prefix_tokens= says how many come before the patches"
    )


def _inside(position: tuple[int, int], sides: tuple[int, int], where: str) -> tuple[int, int]:
    if not all(0 <= p < side for p, side in zip(position, sides, strict=True)):
        raise InvsetError(
            f"position {list(position)} lies outside {where} {sides[0]}x{sides[1]}, counted from 0"
        )
    return position


def read(activations: Tensor, at: At, index: int | None, direction: Tensor | None) -> Tensor:
    """Activation of one neuron in each input: a layer's activations, of any kind, to (B,).

    Args:
        activations: of a layer.
        at: position, as `locate` gives it.
        index: of a unit or channel, from 0; None with `direction`.
        direction: with shape (units,); None with `index`.
    """
    values = _units_last(activations)
    if direction is None:
        assert index is not None
        return _pooled(values[..., index : index + 1], at)[:, 0]
    direction = direction.to(values)
    if at == "max":  # of the inner products, which is not the inner product of the largest
        return _pooled((values @ direction).unsqueeze(-1), at)[:, 0]
    return _pooled(values, at) @ direction


def read_all(activations: Tensor, at: At) -> Tensor:
    """What `read` gives for each unit by itself: a layer's activations, of any kind, to (B,
    units).
    """
    return _pooled(_units_last(activations), at)


def _units_last(activations: Tensor) -> Tensor:
    """A view with units or channels last."""
    return activations.movedim(1, -1) if activations.ndim == 4 else activations


def _pooled(values: Tensor, at: At) -> Tensor:
    """Values at a position: (B, …, units) to (B, units)."""
    if isinstance(at, tuple):
        for index in at:
            values = values[:, index]
        return values
    positions = tuple(range(1, values.ndim - 1))
    return torch.amax(values, positions) if at == "max" else values.mean(positions)

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

from invset.core.checks import check_position, check_range, is_number, plain
from invset.core.sparse_feature import SparseEncoder, SparseFeature
from invset.core.values import ByValue, as_pair, as_vector
from invset.errors import InvsetError
from invset.nets.labels import find_neuron
from invset.nets.network import Network
from invset.problem.position import At, Position, locate

#: The range of a neuron that nothing is asked of yet, as in ``invset probe``: every activation lies
#: in it.
ANY = (-math.inf, math.inf)


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
            activation is its inner product with them. A concept vector or a row of weights is a
            neuron too. With shape (units,).
        bias: added to that.
        feature: of a sparse autoencoder, in place of a number and a direction: see `SparseFeature`.
        name: what reports call it; None: its label or number.

    Raises:
        InvsetError: a value of a type that can't be taken, no range, no position, or more than one
            of number, direction and feature.
    """

    layer: str
    number: int | str | None
    range: tuple[float, float] = ANY
    position: Position = "center"
    direction: Tensor | None = None
    name: str | None = None
    bias: float = 0.0
    feature: SparseFeature | None = None

    def __post_init__(self) -> None:
        range_ = as_pair("range", self.range, "Neuron(…, range=(3, 4))")
        if range_ != ANY:
            check_range(*range_)
        object.__setattr__(self, "range", range_)
        number = self._number()
        object.__setattr__(self, "number", number)
        object.__setattr__(self, "position", check_position(self.position))
        if self.direction is not None:
            object.__setattr__(self, "direction", as_vector("direction", self.direction))
        object.__setattr__(self, "bias", self._bias())
        if self.feature is not None and not (number is None and self.direction is None):
            raise InvsetError(
                f"a neuron of {self.layer} is a number, a direction or a feature: give one of them"
            )

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

    def _bias(self) -> float:
        bias = plain(self.bias)
        if not is_number(bias) or not math.isfinite(bias):
            raise InvsetError(f"bias is a number, not {bias!r}")
        if bias and self.direction is None:
            raise InvsetError(f"bias={bias:g} belongs to a direction: give one, or leave it out")
        return float(bias)

    def called(self, network: Network, index: int | None) -> str:
        """What reports call it: its own name, or for example ``fc8:8 horse``."""
        output = network.labels and index is not None and self.layer == network.output
        label = network.labels[index] if output else ""  # type: ignore[index]
        number = "direction" if index is None else index + 1
        number = number if self.feature is None else f"feature {self.feature.number}"
        return self.name or f"{self.layer}:{number} {label}".strip()


@dataclass(frozen=True)
class Place:
    """A neuron that was found in its layer.

    Attributes:
        index: of the unit or channel, from 0; None with a direction or a feature.
        at: position.
        direction: with shape (units,), where the activations are; else None.
        bias: added to the inner product with it.
        feature: of a sparse autoencoder, where the activations are; else None.
    """

    index: int | None
    at: At
    direction: Tensor | None = None
    bias: float = 0.0
    feature: SparseFeature | None = None

    def read(self, activations: Tensor) -> Tensor:
        """Activation in each input: a layer's activations, of any kind, to (B,)."""
        if self.feature is not None:
            return _read_feature(activations, self.at, self.feature)
        return read(activations, self.at, self.index, self.direction) + self.bias

    def everywhere(self, activations: Tensor) -> Tensor:
        """Activation at each position, row by row: a layer's activations, of any kind but units, to
        (B, positions).
        """
        values = _units_last(activations).flatten(1, -2)
        if self.feature is not None:
            return self.feature.value(values)
        if self.direction is None:
            return values[..., self.index]
        return values @ self.direction.to(values) + self.bias


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
    at = locate(neuron.position, shape, neuron.layer, network.tokens)
    units = network.channels(neuron.layer, shape)
    if neuron.feature is not None:
        if neuron.feature.units != units:
            raise InvsetError(
                f"layer {neuron.layer} has {units} units, but the sparse autoencoder encodes"
                f" {neuron.feature.units}; layer= names the one that it was trained on"
            )
        return Place(None, at, feature=neuron.feature.on(network.device))
    if neuron.direction is not None:
        if tuple(neuron.direction.shape) != (units,):
            raise InvsetError(
                f"a direction in layer {neuron.layer} has {units} numbers, not"
                f" {tuple(neuron.direction.shape)}"
            )
        # on the device already: in a step, a copy from the host would wait for it
        return Place(None, at, neuron.direction.to(network.device), neuron.bias)
    if neuron.number is None:
        raise InvsetError(
            f"neuron in layer {neuron.layer}: give a number, a label, a direction or a feature"
        )
    labels = network.labels if neuron.layer == network.output else None
    where = f"{neuron.layer} of {network.name}"
    return Place(find_neuron(neuron.number, units, labels, where), at)


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


def _read_feature(activations: Tensor, at: At, feature: SparseFeature) -> Tensor:
    """The same of a feature."""
    values = _units_last(activations)
    if isinstance(at, tuple):
        return feature.value(_pooled(values, at))
    values = values.flatten(1, -2)
    return feature.value(values).amax(1) if at == "max" else feature.mean(values)


def read_features(activations: Tensor, at: At, encoder: SparseEncoder) -> Tensor:
    """f of each feature by itself: a layer's activations, of any kind, to (B, features)."""
    values = _units_last(activations)
    if isinstance(at, tuple):
        return encoder.values(_pooled(values, at))
    # an input at a time: all features at all positions of many inputs may not fit the memory
    pooled = [
        encoder.values(one).amax(0) if at == "max" else encoder.mean(one)
        for one in values.flatten(1, -2)
    ]
    return torch.stack(pooled)


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

"""A feature of a sparse autoencoder as an activation: moved by what enters its nonlinearity, and
judged by what leaves it.

With the layer's units x, the feature's weights w and bias b,

    pre  = m w · (n(x) − c) + b        n: its own normalisation; c: a centre; m = 1, but in some
    post = pre where the feature is on, else 0.

It is on where pre > θ (ReLU: θ = 0; JumpReLU), where pre is among the k largest of all features
(TopK), and where its gate is open (gated). f is post where it is on. Where it is off, post has no
slopes: f is then pre, at most 0, with the slopes of pre. So f in [z1, z2] with z1 > 0 means that
post is in [z1, z2].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invset.core.values import ByValue
from invset.errors import InvsetError

#: What an autoencoder does with its input before its weights.
NORMS = ("none", "layer_norm", "constant_norm_rescale")

#: Of the standard deviation in ``layer_norm``.
_EPSILON = 1e-5

#: Features that are compared at a time, so that many of them do not fill the memory.
_CHUNK = 4096


@dataclass(frozen=True, eq=False, repr=False)
class SparseEncoder(ByValue):
    """The encoder of a sparse autoencoder with n features over d units.

    Attributes:
        weight: with shape (d, n).
        bias: with shape (n,).
        center: subtracted from the normalised units, with shape (d,); None: nothing.
        norm: one of `NORMS`.
        threshold: θ of each feature, with shape (n,); None: 0.
        k: how many features are on; None: all above θ.
        signed: whether TopK leaves negative values as they are.
        scale: m, with shape (n,); None: 1.
        gate: bias of each feature's gate, with shape (n,); None: there are no gates.
        about: its format and nonlinearity in words.
    """

    weight: Tensor
    bias: Tensor
    center: Tensor | None = None
    norm: str = "none"
    threshold: Tensor | None = None
    k: int | None = None
    signed: bool = False
    scale: Tensor | None = None
    gate: Tensor | None = None
    about: str = "sparse autoencoder"

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"its normalisation {self.norm!r} is none of {', '.join(NORMS)}")
        units, features = self.weight.shape
        wanted = {
            "bias": features,
            "threshold": features,
            "scale": features,
            "gate": features,
            "center": units,
        }
        for name, length in wanted.items():
            held = getattr(self, name)
            if held is not None and tuple(held.shape) != (length,):
                raise ValueError(f"its {name} has shape {tuple(held.shape)}, not ({length},)")
        if self.k is not None and not 0 < self.k <= features:
            raise ValueError(f"its k is {self.k}, but it has {features} features")

    def __repr__(self) -> str:
        return f"SparseEncoder({self.features} features of {self.units} units, {self.about})"

    @property
    def units(self) -> int:
        """Units of the layer that it encodes."""
        return self.weight.shape[0]

    @property
    def features(self) -> int:
        """How many features it has."""
        return self.weight.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        held = {name: getattr(self, name) for name in _TENSORS}
        return {name: value for name, value in held.items() if value is not None}

    def prepared(self, x: Tensor) -> Tensor:
        """Units as the weights take them: normalised and centred; (…, d) to (…, d)."""
        if self.norm == "layer_norm":
            x = x - x.mean(-1, keepdim=True)
            x = x / (x.std(-1, keepdim=True) + _EPSILON)
        elif self.norm == "constant_norm_rescale":
            x = x * (self.units**0.5 / x.norm(dim=-1, keepdim=True))
        return x if self.center is None else x - self.center

    def on(self, device: torch.device, dtype: torch.dtype = torch.float32) -> SparseEncoder:
        """The same with its numbers on a device."""
        moved: dict[str, Any] = {name: x.to(device, dtype) for name, x in self.tensors().items()}
        return replace(self, **moved)

    def pre(self, inner: Tensor, part: Any = slice(None)) -> Tensor:
        """What enters the nonlinearities of some features, of their inner products."""
        return (inner if self.scale is None else inner * self.scale[part]) + self.bias[part]

    def entered(self, inner: Tensor, part: Any = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
        """The same, what is moved by where a feature is off, and whether it is on, but for TopK."""
        pre = self.pre(inner, part)
        is_on = pre > (0.0 if self.threshold is None else self.threshold[part].clamp(min=0))
        if self.gate is None or self.k is not None:
            return pre, pre, is_on
        gate = inner + self.gate[part]
        return pre, torch.minimum(pre, gate), (gate > 0) & is_on

    def pre_and_on(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`SparseFeature.pre_and_on` of all features: (…, d) to (…, n) each."""
        pre, moved, is_on = self.entered(self.prepared(x.to(self.weight.dtype)) @ self.weight)
        if self.k is not None:
            largest = pre >= pre.topk(self.k, -1).values[..., -1:]
            is_on = largest if self.signed else largest & is_on
        return pre, moved, is_on

    def values(self, x: Tensor) -> Tensor:
        """f of all features, `SparseFeature.value` of each: (…, d) to (…, n)."""
        return _value(*self.pre_and_on(x))

    def mean(self, x: Tensor) -> Tensor:
        """`SparseFeature.mean` of each feature, of one input: (T, d) to (n,)."""
        return _mean(*self.pre_and_on(x), 0)

    def feature(self, number: int) -> SparseFeature:
        """One of the features, counted from 0.

        Raises:
            InvsetError: there is no such feature.
        """
        if not 0 <= number < self.features:
            raise InvsetError(
                f"feature={number} is out of range: features are counted from 0, and there are 0"
                f" to {self.features - 1}"
            )
        return SparseFeature(self, number)


@dataclass(frozen=True, eq=False)
class SparseFeature(ByValue):
    """One feature.

    Attributes:
        encoder: of the autoencoder.
        number: of the feature, from 0.
    """

    encoder: SparseEncoder
    number: int

    @property
    def units(self) -> int:
        """Units of the layer that it is read in."""
        return self.encoder.units

    def on(self, device: torch.device, dtype: torch.dtype = torch.float32) -> SparseFeature:
        """The same with its numbers on a device; of TopK all of the weights, else one column."""
        held = self.encoder
        number = self.number
        if held.k is None and held.features > 1:
            held = replace(held, weight=held.weight[:, [number]], **_of(held, number))
            number = 0
        return SparseFeature(held.on(device, dtype), number)

    def pre_and_on(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What enters the nonlinearity, what is moved by where the feature is off, and whether it
        is on: (…, d) to (…) each.
        """
        held, i = self.encoder, self.number
        x = held.prepared(x)
        pre, moved, is_on = held.entered(x @ held.weight[:, i], i)
        if held.k is not None:
            largest = self._among_largest(x, pre)
            is_on = largest if held.signed else largest & is_on
        return pre, moved, is_on

    @torch.no_grad()
    def _among_largest(self, x: Tensor, pre: Tensor) -> Tensor:
        """Whether fewer than k other features have a larger pre."""
        held = self.encoder
        assert held.k is not None
        larger = torch.zeros_like(pre, dtype=torch.long)
        for start in range(0, held.features, _CHUNK):
            part = slice(start, start + _CHUNK)
            others = held.pre(x @ held.weight[:, part], part)
            more = others > pre.unsqueeze(-1)
            if start <= self.number < start + _CHUNK:  # the same sum may round to another number
                more[..., self.number - start] = False
            larger += more.sum(-1)
        return larger < held.k

    def post(self, x: Tensor) -> Tensor:
        """What the autoencoder gives: (…, d) to (…)."""
        pre, _, is_on = self.pre_and_on(self._same_type(x))
        return torch.where(is_on, pre, torch.zeros_like(pre))

    def value(self, x: Tensor) -> Tensor:
        """f of each position: (…, d) to (…)."""
        return _value(*self.pre_and_on(self._same_type(x)))

    def mean(self, x: Tensor) -> Tensor:
        """Mean of post over positions, (B, T, d) to (B,); where all of them are off, of f."""
        return _mean(*self.pre_and_on(self._same_type(x)), 1)

    def _same_type(self, x: Tensor) -> Tensor:
        return x.to(self.encoder.weight.dtype)


def _value(pre: Tensor, moved: Tensor, is_on: Tensor) -> Tensor:
    """f, of `SparseFeature.pre_and_on`."""
    return torch.where(is_on, pre, _off(moved))


def _mean(pre: Tensor, moved: Tensor, is_on: Tensor, positions: int) -> Tensor:
    """Mean of post over an axis of positions; where all of them are off, of f."""
    post = torch.where(is_on, pre, torch.zeros_like(pre)).mean(positions)
    return torch.where(is_on.any(positions), post, _off(moved).mean(positions))


def _off(moved: Tensor) -> Tensor:
    """At most 0, with the slopes of what is moved by."""
    return moved + (moved.clamp(max=0) - moved).detach()


#: Fields with a number a feature, and all fields that hold tensors.
_EACH = ("bias", "threshold", "scale", "gate")
_TENSORS = ("weight", "center", *_EACH)


def _of(held: SparseEncoder, number: int) -> Mapping[str, Any]:
    """The fields of one feature."""
    fields = {name: getattr(held, name) for name in _EACH}
    return {name: value[[number]] for name, value in fields.items() if value is not None}

"""The inverse set of neurons: {x = G(c) : z1 <= f_j(x) <= z2 for j = 1 … p} (paper, eq. 1, 6 and
12), as pure tensors.

Anything differentiable serves: `InverseSet` knows one callable from codes to activations and
encodings, the ranges, and the region of code space that may be used. `invset.problem.problem`
builds it from networks and generators.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.checks import check_range
from invset.core.space import Region

#: Codes, with shape (B, code_dim), to activations, with shape (B, p), and encodings, with shape (B,
#: d).
Evaluate = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class ActivationRange:
    """The p ranges [z1, z2] in raw activation units.

    Attributes:
        z1, z2: lower and upper ends, each with shape (p,).

    Raises:
        InvsetError: an end is not finite, or z1 >= z2.
    """

    z1: Tensor
    z2: Tensor

    @classmethod
    def of(
        cls, ranges: Sequence[tuple[float, float]], like: Tensor | None = None
    ) -> ActivationRange:
        """Build from pairs (z1, z2), on the device and with the type of `like`."""
        for z1, z2 in ranges:
            check_range(z1, z2)
        ends = torch.tensor([list(r) for r in ranges], dtype=torch.float64)
        ends = ends.to(like) if like is not None else ends.float()
        return cls(ends[:, 0], ends[:, 1])

    @property
    def width(self) -> Tensor:
        """epsilon = z2 - z1 of eq. (8), with shape (p,)."""
        return self.z2 - self.z1

    @property
    def middle(self) -> Tensor:
        return (self.z1 + self.z2) / 2

    def contains(self, f: Tensor, margin: float = 0.0, one_sided: bool = False) -> Tensor:
        """Which rows of f, with shape (B, p), lie in all p ranges; a boolean with shape (B,).

        Args:
            f: activations.
            margin: how far inside they must be, as a share of each width.
            one_sided: test f >= z1 only, as the published acceptance test z2 - f <= epsilon does.
        """
        inside = f >= self.z1 + margin * self.width
        if not one_sided:
            inside = inside & (f <= self.z2 - margin * self.width)
        return inside.all(1)

    def violation(self, f: Tensor) -> Tensor:
        """How far outside its range each activation lies: zero inside, raw units, with shape (B,
        p).
        """
        return torch.maximum(self.z1 - f, f - self.z2).clamp_min(0)

    def coverage(self, f: Tensor, parts: int = 10) -> float:
        """Share of equal parts of the range that hold at least one activation, the mean over the p
        ranges, in [0, 1].
        """
        part = ((f - self.z1) / self.width * parts).floor().long()
        part = torch.where(f == self.z2, parts - 1, part)
        counts = [len(set(column.tolist()) & set(range(parts))) for column in part.T]
        return sum(counts) / (parts * len(counts))


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
class InverseSet:
    """What a sampler samples.

    Attributes:
        evaluate: codes to activations and encodings, differentiable.
        range: the p ranges.
        region: coordinates u of the codes and the part of them that may be used.
        exact: whether a pass that will be differentiated gives the same numbers as one without a
            gradient. If it does not, only the latter decide what is a sample
            (`invset.core.kept.Kept.confirmed`).
        layer: the layer of the neuron, if there is one neuron and it is a unit.
    """

    evaluate: Evaluate
    range: ActivationRange
    region: Region
    exact: bool = True
    layer: Layer | None = None

    @property
    def p(self) -> int:
        """Number of neurons."""
        return len(self.range.z1)

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Activations, with shape (B, p), and encodings, with shape (B, d), of coordinates u, with
        shape (B, dim).
        """
        return self.evaluate(self.region.decode(u))

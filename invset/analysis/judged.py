"""What another network, the judge, sees in inputs: samples of a set, or real ones of a reference.

It is data: networks are run elsewhere (`invset.config.judging`), so that analyses stay pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invset.errors import InvsetError


@dataclass(frozen=True)
class Judged:
    """n inputs as a judge sees them.

    Attributes:
        name: of the judge.
        weights: their checksum.
        layer: the layer of the network that is asked whose units have classes: its output.
        features: what enters the judge's classifier, with shape (n, d).
        ranks: of each unit's class among the judge's, 1 is first, with shape (n, units); 0 where
            the judge knows no such class.
        classes: how many of the judge's classes each unit means, with shape (units,).
        values: what a judge of one real output tells, with shape (n,); None of one with classes.
        named: the class that the judge puts first, n of them; none, if its classes have no names,
            or of a reference, which doesn't hold them.
    """

    name: str
    weights: str
    layer: str
    features: Tensor
    ranks: Tensor
    classes: Tensor
    values: Tensor | None = None
    named: Sequence[str] = ()

    @classmethod
    def of_values(cls, about: Mapping[str, str], features: Tensor, values: Tensor) -> Judged:
        """What a regression sees.

        Args:
            about: name, weights and layer.
            features: with shape (n, d).
            values: what it tells, with shape (n,).
        """
        return replace(cls.of(about, features, values.unsqueeze(1), []), values=values)

    @classmethod
    def of(
        cls,
        about: Mapping[str, str],
        features: Tensor,
        logits: Tensor,
        classes: Sequence[Sequence[int]],
    ) -> Judged:
        """Rank what each unit means.

        Args:
            about: name, weights and layer.
            features: with shape (n, d).
            logits: of the judge, with shape (n, its classes).
            classes: of each unit, counted from 0; none, or one or several that mean the same.
        """
        columns = [ranks(logits, one) for one in classes]
        held = (
            torch.stack(columns, 1) if columns else torch.zeros(len(logits), 0, dtype=torch.int32)
        )
        counts = torch.tensor([len(one) for one in classes], dtype=torch.int32)
        return cls(about["name"], about["weights"], about["layer"], features, held, counts)

    def __getitem__(self, rows: Tensor) -> Judged:
        """Some of the inputs, by their numbers from 0."""
        values = None if self.values is None else self.values[rows]
        named = [self.named[i] for i in rows.tolist()] if self.named else ()
        features, ranked = self.features[rows], self.ranks[rows]
        return replace(self, features=features, ranks=ranked, values=values, named=named)

    def is_output(self, units: Sequence[tuple[str, int] | None]) -> bool:
        """Whether what was asked is one unit of the network's output."""
        return len(units) == 1 and units[0] is not None and units[0][0] == self.layer

    def rank(self, units: Sequence[tuple[str, int] | None]) -> Tensor | None:
        """Ranks of the class of what was asked, with shape (n,); None unless it is one unit with a
        class.

        Args:
            units: layer and index from 0 of each neuron.
        """
        if not self.count(units):
            return None
        [(_, index)] = [unit for unit in units if unit is not None]
        return self.ranks[:, index]

    def rank_of(self, meant: Tensor, layer: str) -> Tensor | None:
        """Ranks of the class that each input is for, with shape (n,); None without classes.

        A rank is 0 where the judge knows no such class.

        Args:
            meant: number from 0 of a unit of the layer, with shape (n,).
            layer: their layer.
        """
        if layer != self.layer or not self.ranks.shape[1]:
            return None
        return self.ranks.gather(1, meant.unsqueeze(1)).squeeze(1)

    def count(self, units: Sequence[tuple[str, int] | None]) -> int | None:
        """How many of the judge's classes what was asked means; None unless it is one unit of the
        output.
        """
        if not self.is_output(units):
            return None
        [(_, index)] = [unit for unit in units if unit is not None]
        return int(self.classes[index]) if index < len(self.classes) else None

    def is_by(self, other: Judged) -> bool:
        """Whether both are what one judge saw, for one network's units."""
        return (self.weights, self.layer) == (other.weights, other.layer)

    def packed(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors for a file, and what they are of. Features take 8 bits each, between the least
        and the largest of their column: an error below 0.2 % of that.
        """
        low = self.features.amin(0)
        step = ((self.features.amax(0) - low) / 255).clamp_min(1e-12)
        tensors = {
            "features": ((self.features - low) / step).round().to(torch.uint8),
            "low": low,
            "step": step,
            "ranks": self.ranks.to(torch.int16),
            "classes": self.classes.to(torch.int16),
            **({} if self.values is None else {"values": self.values.float()}),
        }
        return tensors, {"name": self.name, "weights": self.weights, "layer": self.layer}

    @classmethod
    def unpacked(cls, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Judged:
        """The inverse of `packed`.

        Raises:
            InvsetError: something is missing.
        """
        try:
            name, weights, layer = (str(about[key]) for key in ("name", "weights", "layer"))
            features, low, step, held, classes = (
                tensors[key] for key in ("features", "low", "step", "ranks", "classes")
            )
        except KeyError as error:
            raise InvsetError(
                f"a reference lacks {error} of what the judge saw; make it anew with: invset fit"
                " reference"
            ) from error
        seen = (features * step + low, held.int(), classes.int(), tensors.get("values"))
        return cls(name, weights, layer, *seen)


def ranks(logits: Tensor, classes: Sequence[int]) -> Tensor:
    """Rank of the best of some classes among all others, 1 is first, with shape (n,); 0 without
    any.

    Args:
        logits: with shape (n, classes).
        classes: counted from 0.
    """
    if not len(classes):
        return torch.zeros(len(logits), dtype=torch.int32)
    best = logits[:, list(classes)].amax(1, keepdim=True)
    # none of the classes themselves is above their best
    return ((logits > best).sum(1) + 1).int()

"""Robust neurons, read: f̄ over the views of a picture, and f of the whole picture beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from invset.core.ranges import ActivationRange
from invset.core.values import ByValue
from invset.errors import InvsetError
from invset.nets.resize import as_given
from invset.nets.trace import told
from invset.problem.neuron import find
from invset.problem.readout import Readout
from invset.problem.robust import Robust


@dataclass(frozen=True, eq=False)
class Scales(ByValue):
    """Activations of the same neurons on two scales, raw units: a level on one is no level on the
    other.

    Attributes:
        views: f̄, the mean over the fixed views, with shape (B, p).
        whole: f of the whole picture, with shape (B, p).
    """

    views: Tensor
    whole: Tensor

    def rows(self, chosen: Tensor) -> Scales:
        """Those of some inputs, by their row numbers."""
        return Scales(self.views[chosen], self.whole[chosen])


@dataclass(frozen=True)
class InViews:
    """A readout of robust neurons.

    Attributes:
        whole: the readout of whole pictures.
        moving: the readout of moving views, which may be smaller.
        robust: the views.
        range: the p ranges.
        size: (height, width) in pixels of fixed views.
        moving_size: of moving views.
    """

    whole: Readout
    moving: Readout
    robust: Robust
    range: ActivationRange
    size: tuple[int, int]
    moving_size: tuple[int, int]

    @classmethod
    def of(cls, whole: Readout, robust: Robust, range_: ActivationRange, x: Tensor) -> InViews:
        """A readout, after one pass of a moving view.

        Args:
            whole: the readout of whole pictures.
            robust: the views.
            range_: the p ranges.
            x: a picture that the generator made, with shape (1, channels, H, W).

        Raises:
            InvsetError: the network takes no views of ``robust.size`` pixels.
        """
        own = whole.network.medium.shape or tuple(x.shape[1:])
        size = (own[1], own[2])
        fixed_place = any(not isinstance(neuron.position, str) for neuron in whole.neurons)
        side = robust.size or (None if fixed_place else whole.network.view_size)
        if side is None or (side, side) == size:
            return cls(whole, whole, robust, range_, size, size)
        moving = _smaller(whole, robust, x, side)
        return cls(whole, moving, robust, range_, size, (side, side))

    @property
    def passes(self) -> int:
        """Passes of the network that one picture takes: its views and itself."""
        return self.robust.count + 1

    @property
    def moving_passes(self) -> int:
        """The same of moving views."""
        return self.robust.moving + (self.robust.range != "views")

    @property
    def ratio(self) -> float:
        """A guess of how f̄ in fixed views compares with f̄ in moving ones: as their areas do."""
        return (self.moving_size[0] * self.moving_size[1]) / (self.size[0] * self.size[1])

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What has to lie in the ranges, with shape (B, p), and encodings, with shape (B, d)."""
        return self.measure(x)[:2]

    def measure(self, x: Tensor) -> tuple[Tensor, Tensor, Scales]:
        """The same, and the activations on both scales."""
        whole, e = self.whole.look(x)
        views = self.mean_of(x, self.whole.activations)
        return self.robust.decided(views, whole, self.range), e, Scales(views, whole)

    def units(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """All units of the neuron's layer, the mean over the fixed views, and encodings."""
        e = self.whole.look(x)[1]
        return self.mean_of(x, lambda view: self.whole.units(view)[0]), e

    def mean_of(self, x: Tensor, read: Callable[[Tensor], Tensor]) -> Tensor:
        """Mean over the fixed views of what is read in each."""
        return _mean(read(view) for view in self.robust.views(x, self.size))

    def estimate(self, x: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Activations, and encodings of the views, which take no further pass.

        Args:
            x: pictures, with shape (B, channels, H, W).
            number: of the look; each has its own views.
        """
        looks = []
        with as_given():
            for view in self.robust.views(x, self.moving_size, number):
                looks.append(self.moving.look(view))
        f = _mean(f for f, _ in looks)
        e = _mean(e for _, e in looks)
        if self.robust.range == "views":
            return f, e
        with torch.no_grad():
            whole = self.whole.activations(x)
        return self.robust.decided(f, whole, self.range), e


def _smaller(whole: Readout, robust: Robust, x: Tensor, side: int) -> Readout:
    """The readout of views of another size than the network's own."""
    sentence = f"network {whole.network.name} takes no views of {side} pixels"
    if any(not isinstance(neuron.position, str) for neuron in whole.neurons):
        raise InvsetError(
            f"{sentence} for a neuron at a position of the network's own size; leave robust.size="
            " out, or type position=center, max or mean"
        )
    layers = {neuron.layer for neuron in whole.neurons}
    view = next(robust.views(x, (side, side)))
    try:
        with torch.no_grad(), as_given():
            taps = whole.network.taps(view, layers)
    except Exception as error:  # whatever a user's module raises
        raise InvsetError(f"{sentence}: {told(error)}; leave robust.size= out") from error
    places = [find(whole.network, n, tuple(taps[n.layer].shape[1:])) for n in whole.neurons]
    return replace(whole, places=places)


def _mean(parts: Iterable[Tensor]) -> Tensor:
    """Mean over views, which are not kept all at once."""
    total: Tensor | None = None
    count = 0
    for part in parts:
        total = part if total is None else total + part
        count += 1
    assert total is not None
    return total / count

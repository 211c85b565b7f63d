"""Robust neurons: an activation that holds up in many views of a picture.

Without a trained generator a picture can excite a network and show nothing: noise that only this
network sees. A robust neuron is f̄, the mean of f over M views of the picture: square crops, resized
to the network's input, with a little noise. What decides whether a picture is a sample are M
*fixed* views, drawn once from a seed, so that f̄ is a function of the picture like any other neuron.
While codes move, samplers may take *moving* views, drawn anew at every step and shared by the
batch: their gradient knows no view to please. Averages over views go back to the jitter of
Mordvintsev et al. 2015 and the crops of Fel et al. 2023 (MACO).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from invset.core.options import check_options, option
from invset.core.ranges import ActivationRange
from invset.errors import InvsetError

#: Views where the generator was not trained to make natural inputs.
UNLEARNT = 8

#: Top, left and side of a square view, as shares of what is free and of the picture's shorter side.
Box = tuple[float, float, float]


@dataclass(frozen=True)
class Robust:
    """How neurons are made robust.

    Attributes:
        M: views of a picture; 0: neurons are read in the whole picture, as they are. None: 8 for
            pictures of a generator that was not trained to make natural ones, else 0.
        range: what has to lie in the ranges: "views": f̄, the mean over the fixed views; "whole": f
            of the whole picture; "both". The slopes are those of f̄.
        smallest: side of the smallest view, a share of the picture's shorter side.
        largest: side of the largest view.
        moving: views of a step, drawn anew; many steps on few views find more than few on many.
        size: side of moving views in pixels, for networks that take any size; None: what the
            network says (`Network.view_size`), else its own. Small views are quick, but their
            activations are on a scale of their own.
        noise: standard deviation of the noise in a view, of pixels in [0, 1].
        jitter: how far contrast changes in a moving view, a share of it, of all colours together
            and again of each. Brightness changes half as far, of pixels in [0, 1].
        seed: of the views.

    Raises:
        InvsetError: a bad option.
    """

    M: int | None = option(None, at_least=0)
    range: str = option("views", words=("views", "whole", "both"))
    smallest: float = option(0.25, above=0, at_most=1)
    largest: float = option(1.0, above=0, at_most=1)
    moving: int = option(4, at_least=1)
    size: int | None = option(None, at_least=8)
    noise: float = option(0.05, at_least=0)
    jitter: float = option(0.2, at_least=0, below=1)
    seed: int = option(0, at_least=0)

    def __post_init__(self) -> None:
        check_options(self, "robust")
        if self.smallest > self.largest:
            raise InvsetError(
                f"robust.smallest={self.smallest:g} is above robust.largest={self.largest:g};"
                " type a smallest view that is not larger than the largest"
            )

    def resolved(self, learnt: bool, pictures: bool) -> Robust | None:
        """With a number of views; None where there are none.

        Args:
            learnt: whether the generator was trained to make natural inputs.
            pictures: whether its inputs are pictures.

        Raises:
            InvsetError: views of what are no pictures.
        """
        chosen = 0 if learnt or not pictures else UNLEARNT
        count = chosen if self.M is None else self.M
        if not count:
            return None
        if not pictures:
            raise InvsetError("views are parts of pictures, and a table has none; type robust=0")
        return replace(self, M=count)

    @property
    def count(self) -> int:
        """M as a number."""
        assert self.M is not None
        return self.M

    def about(self) -> dict[str, float]:
        """What f̄ depends on: how the fixed views were drawn."""
        return {
            "M": self.count,
            "smallest": self.smallest,
            "largest": self.largest,
            "noise": self.noise,
            "seed": self.seed,
        }

    def views(
        self, x: Tensor, size: tuple[int, int], number: int | None = None
    ) -> Iterator[Tensor]:
        """The fixed views of pictures, or those of step `number`, one after the other.

        Args:
            x: float pictures, with shape (B, channels, H, W).
            size: (height, width) of the views in pixels.
            number: of a step.
        """
        count = self._count(number)
        rng = self._rng(number)
        boxes = self._boxes(count, rng)
        if number is None:
            noise = _fixed_noise(self, (count, x.shape[1], *size)).to(x)
            yield from (crop(x, box, size) + one for box, one in zip(boxes, noise, strict=True))
            return
        contrast, brightness = self._jitter(count, x.shape[1], rng)
        noise = self.noise * torch.randn(count, x.shape[1], *size, generator=rng)
        shift = (brightness + noise).to(x)
        for box, factor, other in zip(boxes, contrast.to(x), shift, strict=True):
            yield (crop(x, box, size) - 0.5) * factor + 0.5 + other

    def _boxes(self, count: int, rng: torch.Generator) -> list[Box]:
        part, top, left = torch.rand(3, count, generator=rng)
        share = (torch.arange(count) + part) / count
        side = self.smallest + (self.largest - self.smallest) * share
        return list(zip(top.tolist(), left.tolist(), side.tolist(), strict=True))

    def _jitter(self, count: int, channels: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Factors and shifts of the colours, with shape (count, channels, 1, 1)."""
        both, each, shift = 2 * torch.rand(3, count, channels, generator=rng) - 1
        contrast = 1 + self.jitter * (both[:, :1] + each)
        return contrast[..., None, None], (self.jitter / 2 * shift)[..., None, None]

    def _count(self, number: int | None) -> int:
        return self.count if number is None else self.moving

    def _rng(self, number: int | None) -> torch.Generator:
        step = 0 if number is None else number + 1
        return torch.Generator().manual_seed((self.seed * 1_000_003 + step) % 2**63)

    def decided(self, mean: Tensor, whole: Tensor, range_: ActivationRange) -> Tensor:
        """What has to lie in the ranges, with shape (B, p); its gradient is always that of f̄.

        Args:
            mean: f̄, with shape (B, p).
            whole: f of the whole pictures, with shape (B, p).
            range_: the p ranges.
        """
        if self.range == "views":
            return mean
        value = whole.detach()
        if self.range == "both":  # the one that is farther from the middle decides
            far = [(f - range_.middle.to(f)).abs() for f in (mean.detach(), value)]
            value = torch.where(far[0] > far[1], mean.detach(), value)
        return value + (mean - mean.detach())


@lru_cache(maxsize=2)
def _fixed_noise(robust: Robust, shape: tuple[int, ...]) -> Tensor:
    rng = robust._rng(None)
    torch.rand(3, robust.count, generator=rng)  # the boxes'
    return robust.noise * torch.randn(shape, generator=rng)


def crop(x: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """A square part of pictures, resized without aliasing."""
    height, width = x.shape[-2:]
    top, left, share = box
    side = max(1, round(share * min(height, width)))
    y = round(top * (height - side))
    z = round(left * (width - side))
    part = x[..., y : y + side, z : z + side]
    if part.shape[-2:] == size:
        return part
    return F.interpolate(part, size, mode="bilinear", antialias=True)

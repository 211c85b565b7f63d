"""A generator G: codes to inputs of a network, whatever is inside."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from invset.core.checks import plain
from invset.core.context import own_context
from invset.core.options import Bounds, check_option
from invset.core.space import Region
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.files.medium import Medium
from invset.nets.precision import in_float32
from invset.nets.twin import frozen, twin

#: ``start(count, rng) -> codes``, with shape (count, code_dim).
Start = Callable[[int, torch.Generator], Tensor]


def normal_start(code_dim: int, device: str | torch.device, sd: float = 1.0) -> Start:
    """Independent normal codes to begin at.

    Args:
        code_dim: numbers in a code.
        device: where they go; they are drawn where the random numbers are.
        sd: standard deviation of each number.
    """

    def start(count: int, rng: torch.Generator) -> Tensor:
        return sd * torch.randn(count, code_dim, generator=rng, device=rng.device).to(device)

    return start


def check_pixels(pixel_range: Sequence[float]) -> tuple[float, float]:
    """Black and white as two numbers.

    Raises:
        InvsetError: they are none, or the same.
    """
    try:
        black, white = map(float, pixel_range)
    except (TypeError, ValueError):
        black = white = math.nan
    if not (math.isfinite(black) and math.isfinite(white) and black != white):
        raise InvsetError(
            f"pixel_range is two numbers, black and white, not {pixel_range}; for example"
            " 'generator.pixel_range=[-1,1]' behind a tanh"
        )
    return black, white


class Generator:
    """A frozen map from codes, with shape (N, code_dim), to inputs of a network, such as float RGB
    images in [0, 1] with shape (N, 3, H, W).

    Args:
        module: the map itself; what leaves it is clamped to the bounds of `medium`, as eq. (1) asks
            of a valid input.
        code_dim: numbers in one code.
        name: what reports call it.
        prior: the natural region of its codes, or None if it has none.
        clip: lowest and highest value of a code's numbers that its makers kept to, or None.
        start: ``start(count, rng) -> codes``, random codes to begin at without a prior; None if
            codes are encodings of images, which then begin as the encodings of random images
            (paper, section 3.4).
        picture: what kind of picture is written to disk, as ``summary.json`` tells; None where
            there is no choice.
        display: codes to pictures in [0, 1] that are written in place of the images, which the
            network goes on to see; None: no such thing, what is written is what the network sees.
        medium: what it makes; only its bounds are asked for.
        learnt: whether it was trained to make natural inputs. One that was not can make noise that
            excites a network and shows nothing, so neurons are robust by default there
            (`invset.problem.views`).
        pixel_range: the values that are black and white in its images, (-1, 1) behind a tanh.
        inverts: name of the network whose encodings its codes are; None: of no network that is
            known.
        device: where the weights go.
        in_place: work with the module itself, as in `Network`: where `display` is of it, too.

    Raises:
        InvsetError: a range of pixels that is none, or a module that can't be made float32, or
            copied.
    """

    @own_context()
    def __init__(
        self,
        module: Callable[[Tensor], Tensor],
        code_dim: int,
        *,
        name: str = "generator",
        prior: Region | None = None,
        clip: tuple[float, float] | None = None,
        start: Start | None = None,
        picture: str | None = None,
        display: Callable[[Tensor], Tensor] | None = None,
        medium: Medium | None = None,
        learnt: bool = True,
        pixel_range: Sequence[float] = (0.0, 1.0),
        inverts: str | None = None,
        device: str | torch.device = "cpu",
        in_place: bool = False,
    ) -> None:
        check_option("code_dim", plain(code_dim), "int", Bounds(at_least=1))
        if isinstance(module, nn.Module):
            codes = torch.ones(2, plain(code_dim))
            if not in_place:
                module = twin(module, f"generator {name}")
            module = in_float32(module, f"generator {name}", codes)
            module.to(device)
            frozen(module)
        self.module = module
        self.code_dim = plain(code_dim)
        self.pixel_range = check_pixels(pixel_range)
        self.name = name
        self.prior = prior.to(device) if prior is not None else None
        self.clip = clip
        self.start = start
        self.picture = picture
        self.display = display
        self.medium: Medium = medium or Image8Bit()
        self.learnt = learnt
        self.inverts = inverts
        self.device = torch.device(device)

    def __repr__(self) -> str:
        return f"Generator({self.name!r}, code_dim={self.code_dim})"

    def unclamped(self, codes: Tensor) -> Tensor:
        """What the module makes, on the scale of inputs."""
        x = self.module(codes.clone()).to(codes)  # a module may work on them in place
        black, white = self.pixel_range
        return x if self.pixel_range == (0, 1) else (x - black) / (white - black)

    def __call__(self, codes: Tensor) -> Tensor:
        return self.medium.clamp(self.unclamped(codes))

    def picture_of(self, region: Region) -> tuple[int, int, int] | None:
        """(channels, H, W) where coordinates of a region are the pixels of a picture in [0, 1]:
        where codes are only given a shape, as by ``generator=pixels``.
        """
        size: tuple[int, ...] = getattr(self.module, "unflattened_size", ())
        if len(size) != 3 or not region.plain or self.pixel_range != (0.0, 1.0):
            return None
        channels, height, width = size
        return channels, height, width

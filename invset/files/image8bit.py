"""Pictures as inputs of a network: floats in [0, 1], saved with 8 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from invset.core.checks import plain
from invset.core.rounding import Round8Bit
from invset.errors import InvsetError
from invset.files.images import image_parts, load_images, to_float, to_uint8
from invset.files.medium import File, Medium
from invset.files.picture import opened
from invset.files.reading import reading
from invset.progress import Progress, quiet

#: How far outside [0, 1] a pixel may lie before it is held for one of another range: generators
#: overshoot at edges.
_SLACK = 0.05

#: What is cut off of a pixel before one sees it, and the share of pixels that may lose more.
_VISIBLE = 0.01
_FEW = 0.05


@dataclass(frozen=True)
class Image8Bit:
    """Pictures: floats in [0, 1] with shape (N, channels, height, width), stored as uint8.

    Attributes:
        channels: 1 is grey, 3 RGB. Of any other number, a file shows the channels side by side in
            grey.
        size: (height, width) in pixels that the network wants; None: it takes any.

    Raises:
        InvsetError: a number below 1.
    """

    channels: int = 3
    size: tuple[int, int] | None = None
    noun: ClassVar[str] = "image"
    saved: ClassVar[str] = "8-bit file"
    hint: ClassVar[str] = "network.image_size= and network.channels= say which pictures it takes"
    rounding: ClassVar[str] = "8 bits"
    legend: ClassVar[str] = ""
    cell: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", plain(self.channels))
        if self.size is not None:
            object.__setattr__(self, "size", tuple(map(plain, self.size)))
        for value in (self.channels, *(self.size or ())):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvsetError(
                    "channels, height and width of pictures are whole numbers of at least 1, not"
                    f" {value}; for example network.channels=1 network.image_size=28"
                )

    def sized(self, size: int | Sequence[int]) -> Image8Bit:
        """The same with another size: a side in pixels, or (height, width)."""
        size = plain(size)
        height, *rest = size if isinstance(size, Sequence) else (size, size)
        if len(rest) != 1 or isinstance(size, str):
            raise InvsetError(
                f"image_size is a side in pixels or [height, width], not {size}; for example"
                " network.image_size=[28,32]"
            )
        return replace(self, size=(height, rest[0]))

    @property
    def shape(self) -> tuple[int, ...] | None:
        return (self.channels, *self.size) if self.size else None

    def about(self) -> dict[str, Any]:
        return {
            "kind": "image",
            "noun": self.noun,
            "saved": self.saved,
            "rounding": self.rounding,
            "legend": self.legend,
            "channels": self.channels,
        }

    def blank(self) -> Tensor:
        return torch.zeros(1, *(self.shape or (self.channels, 64, 64)))

    def random(self, count: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return torch.rand(count, *shape, generator=rng, device=rng.device)

    def fit(self, x: Tensor, interpolation: str = "bilinear") -> Tensor:
        """Resize to `size`, free of aliasing; what bicubic overshoots is cut off."""
        if self.size is None or x.shape[-2:] == self.size:
            return x
        found = F.interpolate(x, self.size, mode=interpolation, antialias=True)
        return found.clamp(0, 1) if interpolation == "bicubic" else found

    def misfit(self, x: Tensor) -> str | None:
        if x.ndim != 4 or x.shape[1] != self.channels:
            return (
                f"gives values of shape {tuple(x.shape)} for {len(x)} codes, but the network takes"
                f" pictures with {self.channels} channels, (N, {self.channels}, height, width);"
                " network.channels= says how many"
            )
        low = x.min().item()
        high = x.max().item()
        outside = ((x < -_SLACK) | (x > 1 + _SLACK)).float().mean().item()
        # a tanh ends at -1 and 1, and whatever it shows, about half of it lies below 0
        tanh = outside > 0.2 and -1 <= low < -0.5 and high <= 1
        if outside > 0.5 or tanh:
            bytes_ = 50 < high <= 255 and low >= 0
            ends = "[-1,1]" if tanh else "[0,255]" if bytes_ else f"[{low:.3g},{high:.3g}]"
            return (
                f"gives pixels from {low:.3g} to {high:.3g}, of which {outside:.0%} lie outside"
                f" [0, 1]; say which values are black and white: 'generator.pixel_range={ends}'"
            )
        return None

    def remark(self, x: Tensor) -> str | None:
        """What is to be said of raw values that can be pictures, in words; None: nothing."""
        outside = ((x < -_VISIBLE) | (x > 1 + _VISIBLE)).float().mean().item()
        if outside <= _FEW:
            return None
        ends = f"from {x.min().item():.3g} to {x.max().item():.3g}"
        return (
            f"gives pixels {ends}, of which {outside:.0%} lie outside [0, 1] and are cut off; if"
            " other values are black and white, type generator.pixel_range="
        )

    def clamp(self, x: Tensor) -> Tensor:
        return x.clamp(0, 1)

    def round(self, x: Tensor) -> Tensor:
        return Round8Bit.apply(x)

    def store(self, x: Tensor) -> Tensor:
        return to_uint8(x)

    def restore(self, stored: Tensor) -> Tensor:
        return to_float(stored)

    def files(self, stored: Tensor) -> Iterator[File]:
        for number, picture in enumerate(stored, start=1):
            image = Image.fromarray(_panels(picture.numpy()))
            yield f"samples/{number:05d}.png", partial(_save, image)

    def read(self, folder: Path) -> Tensor:
        pictures = []
        for file in sorted((folder / "samples").glob("*.png")):
            with reading(file, "a picture", "run it again"):
                pixels = np.array(opened(file))
            whole = pixels[:, :, None] if pixels.ndim == 2 else pixels
            side_by_side = self.channels not in (1, 3)
            parts = np.split(whole, self.channels, axis=1) if side_by_side else [whole]
            pictures.append(torch.from_numpy(np.concatenate(parts, axis=2)).permute(2, 0, 1))
        return torch.stack(pictures) if pictures else torch.zeros(0, self.channels, 1, 1).byte()

    def load(
        self, path: str | Path, limit: int | None = None, progress: Progress = quiet
    ) -> Tensor:
        """Pictures from a folder, zip or tar, resized to `size`, in grey for one channel."""
        self._check_readable(path)
        return load_images(path, self.size, limit, progress, self.channels).images

    def parts(
        self, path: str | Path, limit: int | None = None, progress: Progress = quiet
    ) -> Iterator[tuple[int, Tensor]]:
        """The same, some at a time, each with how many there are in all: for more pictures than
        memory holds.
        """
        self._check_readable(path)
        for part in image_parts(path, self.size, limit, progress, self.channels):
            yield part.total, part.images

    def _check_readable(self, path: str | Path) -> None:
        if self.channels not in (1, 3):
            raise InvsetError(
                f"pictures in {path} have 3 channels, but the network takes {self.channels}"
            )

    def pictures(self, stored: Tensor) -> Tensor:
        if self.channels == 3:
            return stored
        return torch.cat(list(stored.split(1, dim=1)), dim=3).expand(-1, 3, -1, -1)


def of_size(medium: Medium, size: int | Sequence[int] | None) -> Medium:
    """Pictures of a size that the network wants; None leaves any medium as it is.

    Raises:
        InvsetError: a size for what are no pictures.
    """
    if size is None:
        return medium
    if not isinstance(medium, Image8Bit):
        raise InvsetError(f"image_size= is for pictures; {medium.noun}s have none: leave it out")
    return medium.sized(size)


def _panels(picture: np.ndarray) -> np.ndarray:
    """8-bit channels, with shape (C, H, W), as PIL takes them: (H, W, 3), or in grey (H, C * W)."""
    if len(picture) == 3:
        return np.ascontiguousarray(picture.transpose(1, 2, 0))
    return np.concatenate(list(picture), axis=1)


def _save(image: Image.Image, path: Path) -> None:
    image.save(path)

"""Pictures inside a page: WebP in data URIs, as large as a budget of bytes allows; or links to
files beside it.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from invset.report.folder import open_picture

#: Bytes of base64 that all pictures of a page may take together.
BUDGET = 3_600_000
#: Pictures up to this side are embedded as they are, without loss.
SMALL = 64
#: Longest side and WebP's quality, from the best; the last is taken whatever it needs.
_LOSSY = (
    (512, 85),
    (320, 82),
    (227, 80),
    (192, 78),
    (160, 75),
    (128, 72),
    (112, 70),
    (96, 68),
    (80, 65),
    (64, 62),
    (48, 55),
    (32, 50),
)
#: Side of a picture's small copy, for maps.
ICON = 56


@dataclass(frozen=True)
class Thumbnails:
    """What ``src`` of an image in a page is, for pictures.

    Attributes:
        files: what they were made of.
        pictures: one each, or links.
        width, height: of a picture, in pixels of the file.
        pixelated: whether pictures are so small that they are enlarged pixel by pixel.
        shrunk: whether the pictures are smaller than their files.
    """

    files: Sequence[Path]
    pictures: list[str]
    width: int
    height: int
    pixelated: bool
    shrunk: bool

    def icon(self, place: int) -> str:
        """A small copy of a picture, or the picture itself if it is small."""
        return (
            self.pictures[place]
            if self.pixelated
            else webp(_shrunk(open_picture(self.files[place]), ICON), 70)
        )


def thumbnails(files: Sequence[Path], budget: int = BUDGET) -> Thumbnails:
    """Embed pictures, all of one size, in at most `budget` bytes."""
    images = [open_picture(file) for file in files]
    if not images:
        return Thumbnails([], [], 1, 1, False, False)
    width, height = images[0].size
    if max(width, height) <= SMALL:
        pictures = [webp(image) for image in images]
        if sum(map(len, pictures)) <= budget:
            return Thumbnails(files, pictures, width, height, True, False)
    some = images[:: max(1, len(images) // 16)]
    longest = max(width, height)
    smaller = [level for level in _LOSSY if level[0] < longest or level == _LOSSY[-1]]
    # as they are, if they are not much larger than they are shown: text in them stays sharp
    whole = [(longest, _LOSSY[0][1])] if longest <= _LOSSY[0][0] else []
    for side, quality in [*whole, *smaller]:
        # a few tell whether all would fit
        sample = sum(len(webp(_shrunk(image, side), quality)) for image in some) / len(some)
        if sample * len(images) <= budget or side == _LOSSY[-1][0]:
            pictures = [webp(_shrunk(image, side), quality) for image in images]
            if sum(map(len, pictures)) <= 1.1 * budget or side == _LOSSY[-1][0]:
                break
    return Thumbnails(files, pictures, width, height, False, side < longest)


def linked(files: Sequence[Path], folder: str) -> Thumbnails:
    """Leave pictures, all of one size, in their files.

    Args:
        files: theirs; the first tells the size.
        folder: of them all, from the page's.
    """
    if not files:
        return thumbnails([])
    width, height = open_picture(files[0]).size
    pictures = [quote(f"{folder}/{file.name}") for file in files]
    return Thumbnails(files, pictures, width, height, max(width, height) <= SMALL, False)


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    factor = side / max(image.size)
    if factor >= 1:
        return image
    return image.resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor))),
        Image.Resampling.LANCZOS,
    )


def webp(image: Image.Image, quality: int | None = None) -> str:
    """A data URI; without loss unless a quality is given."""
    buffer = io.BytesIO()
    if quality is None:
        image.save(buffer, "WEBP", lossless=True, quality=50, method=3)
    else:
        image.save(buffer, "WEBP", quality=quality, method=3)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

"""Pictures as a person sees them: upright, in sRGB with 8 bits, what is transparent over white.

orientation      as EXIF says
alpha, palette   over white; a palette's colours
colour profile   to sRGB; of grey, RGB and CMYK
16 bits          65535 is white; so in 32-bit integers, which go no further
floats           1 is white; they lie in [0, 1]
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps

#: What may be in a file, whatever it is called: of the others, some start programs to be read.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM")

#: Pixels of the largest picture, twice those of a phone with 32 million; read from the header,
#: before anything is decoded.
MOST_PIXELS = 1 << 26

_TRANSPARENT = ("LA", "La", "PA", "RGBA", "RGBa")

#: Pillow's modes -> the colour spaces of profiles that fit.
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}


def opened(file: Path | bytes) -> Image.Image:
    """A picture whose pixels are not decoded yet.

    Args:
        file: a path, or what a file holds.

    Raises:
        ValueError: it is too large.
        Exception: what Pillow raises for what is no picture.
    """
    data = file if isinstance(file, bytes) else file.read_bytes()
    _check_size(_size_of_webp(data[:30]))
    Image.init()
    # a Pillow may lack some
    image = Image.open(io.BytesIO(data), formats=[one for one in FORMATS if one in Image.OPEN])
    _check_size(image.size)
    return image


def seen(image: Image.Image, note: Callable[[str], Any] = str) -> Image.Image:
    """The picture in RGB, as a person sees it.

    Args:
        image: from `opened`.
        note: called with what could not be looked at, and was left out.

    Raises:
        ValueError: numbers of which nobody knows which is white.
    """
    profile = image.info.get("icc_profile")
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F" or image.mode.startswith("I"):
        return _eight_bit(image).convert("RGB")
    if image.mode not in _TRANSPARENT and "transparency" not in image.info:
        return _to_srgb(image, profile, note)
    whole = image.convert("RGBA")
    ground = Image.new("RGB", image.size, "white")
    ground.paste(_to_srgb(whole.convert("RGB"), profile, note), mask=whole.getchannel("A"))
    return ground


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        raise ValueError(f"it has {width} x {height} pixels, more than {MOST_PIXELS:,}")


def _size_of_webp(head: bytes) -> tuple[int, int]:
    """Width and height as a WebP's first 30 bytes say, of which memory is reserved when Pillow
    opens it; 0 of what is none.
    """
    kind = head[12:16]
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return 0, 0
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    sides = int.from_bytes(head[26:30], "little")
    return sides & 0x3FFF, sides >> 16 & 0x3FFF


def _eight_bit(image: Image.Image) -> Image.Image:
    """A grey picture of more bits."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    white = 1 if image.mode == "F" else 65535
    if not (low >= 0 and high <= white):  # or it holds NaN
        raise ValueError(
            f"its numbers go from {low:g} to {high:g}, where {white} would be white; save it with"
            " 8 or 16 bits"
        )
    return Image.fromarray((values * np.float32(255 / white) + np.float32(0.5)).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None, note: Callable[[str], Any]) -> Image.Image:
    """Colours by the picture's profile."""
    if image.mode == "LAB" and not profile:
        return _transformed(image, ImageCms.createProfile("LAB"))
    if image.mode not in _SPACES:
        image = image.convert("RGB")
    if not profile:
        return image.convert("RGB")
    try:
        held = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(held).startswith("sRGB"):
            return image.convert("RGB")
        if image.mode == "L" and held.profile.xcolor_space.strip() == "RGB":
            image = image.convert("RGB")
        if held.profile.xcolor_space.strip() == _SPACES[image.mode]:
            return _transformed(image, held)
    except (OSError, ImageCms.PyCMSError):  # what ImageCms raises; others show the picture anyway
        pass
    note("a colour profile that does not fit, and are taken as sRGB")
    return image.convert("RGB")


def _transformed(image: Image.Image, profile: Any) -> Image.Image:
    found = ImageCms.profileToProfile(
        image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert found is not None  # that is of pictures which are changed in place
    return found

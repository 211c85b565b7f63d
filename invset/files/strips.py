"""A row of a table as a picture: one bar a column, from its lowest to its highest value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw

from invset.files.font import font
from invset.terminal import one_line

#: Width of a picture in pixels.
WIDTH = 144
#: Height of a column's bar: with its name and value on it, and of one that is too small for them.
_TALL = 16
_THIN = 3
#: Most columns that are named.
_NAMED = 40
_GAP = 1
_BAR = (150, 190, 226)
_TRACK = (234, 237, 241)
_INK = (25, 25, 30)
_PAPER = (255, 255, 255)


@dataclass(frozen=True)
class Strips:
    """How rows with these columns are drawn.

    Attributes:
        columns: names; with more than 40 of them, bars are thin and have no text.
        units: name -> unit behind its values, of the columns that have one.
    """

    columns: Sequence[str]
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def named(self) -> bool:
        return len(self.columns) <= _NAMED

    @property
    def height(self) -> int:
        """Of a picture, in pixels."""
        return len(self.columns) * ((_TALL if self.named else _THIN) + _GAP)

    def draw(self, shares: np.ndarray, texts: Sequence[str]) -> np.ndarray:
        """Draw one row, uint8 RGB with shape (height, WIDTH, 3).

        Args:
            shares: where each value lies between its bounds, in [0, 1], with shape (columns,).
            texts: the values in words.
        """
        image = Image.new("RGB", (WIDTH, self.height), _PAPER)
        draw = ImageDraw.Draw(image)
        tall = _TALL if self.named else _THIN
        for i, (name, share, text) in enumerate(zip(self.columns, shares, texts, strict=True)):
            top = i * (tall + _GAP)
            draw.rectangle((0, top, WIDTH - 1, top + tall - 1), fill=_TRACK)
            # two pixels at least, so that the lowest value is seen to be one
            end = max(1, round(float(share) * (WIDTH - 1)))
            draw.rectangle((0, top, end, top + tall - 1), fill=_BAR)
            if self.named:
                self._write(draw, name, text, top)
        return np.asarray(image)

    def _write(self, draw: ImageDraw.ImageDraw, name: str, text: str, top: int) -> None:
        small = font(10)
        unit = self.units.get(name)
        value = _short(text) if unit is None else f"{_short(text)} {unit}"
        value = _cut(draw, one_line(value), WIDTH * 5 // 8)
        room = WIDTH - 10 - draw.textlength(value, font=small)
        middle = top + _TALL / 2
        draw.text((3, middle), _cut(draw, one_line(name), room), fill=_INK, font=small, anchor="lm")
        draw.text((WIDTH - 3, middle), value, fill=_INK, font=small, anchor="rm")


def _short(text: str) -> str:
    """A number with the digits that can be read; a category's name as it is."""
    try:
        return text if text.lstrip("-").isdigit() else f"{float(text):.4g}"
    except ValueError:
        return text


def _cut(draw: ImageDraw.ImageDraw, text: str, room: float) -> str:
    """Text that fits into `room` pixels, with an ellipsis where it was cut."""
    small = font(10)
    if draw.textlength(text, font=small) <= room:
        return text
    while text and draw.textlength(f"{text}…", font=small) > room:
        text = text[:-1]
    return f"{text}…"

"""Samples of one run as one small picture, and such pictures below each other with their names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from invset.files.font import font
from invset.report.grid import FAINT, INK, PAPER
from invset.terminal import one_line

#: Side in pixels that pictures are enlarged to, pixel by pixel, or shrunk to.
SIDE = 64

#: Width of a mosaic in pixels, at most; one picture is always there.
WIDE = 820

_GAP = 2
_MARGIN = 10


def mosaic(pictures: np.ndarray) -> Image.Image:
    """Pictures in rows, from left to right.

    Args:
        pictures: uint8 RGB, with shape (N, 3, H, W), N at least 1.
    """
    cells = [_cell(picture) for picture in pictures]
    width, height = cells[0].size
    columns = max(1, min(len(cells), (WIDE + _GAP) // (width + _GAP)))
    rows = -(-len(cells) // columns)
    size = (columns * (width + _GAP) - _GAP, rows * (height + _GAP) - _GAP)
    canvas = Image.new("RGB", size, PAPER)
    for i, cell in enumerate(cells):
        row, column = divmod(i, columns)
        canvas.paste(cell, (column * (width + _GAP), row * (height + _GAP)))
    return canvas


def _cell(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    longest = max(image.size)
    if longest > 2.5 * SIDE:
        share = 1.5 * SIDE / longest
        sides = [max(1, round(share * length)) for length in image.size]
        return image.resize((sides[0], sides[1]), Image.Resampling.LANCZOS)
    factor = max(1, round(SIDE / longest))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def stacked(named: Sequence[tuple[str, Image.Image | str]], title: str) -> Image.Image:
    """Mosaics below each other, each behind its name.

    Args:
        named: name and mosaic of each, one at least; words where there is none.
        title: above them.
    """
    normal, large = font(14), font(16)
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    names = [one_line(name, 40) for name, _ in named]
    title = one_line(title)
    left = 2 * _MARGIN + round(max(probe.textlength(name, font=normal) for name in names))
    heights = [24 if isinstance(one, str) else one.height for _, one in named]
    widths = [
        round(probe.textlength(one, font=normal)) if isinstance(one, str) else one.width
        for _, one in named
    ]
    width = left + max(widths) + _MARGIN
    width = max(width, round(probe.textlength(title, font=large)) + 2 * _MARGIN)
    canvas = Image.new("RGB", (width, 40 + sum(heights) + _MARGIN * len(named)), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, 10), title, fill=INK, font=large)
    y = 40
    for name, (_, image), height in zip(names, named, heights, strict=True):
        draw.text((_MARGIN, y + height / 2), name, fill=INK, font=normal, anchor="lm")
        if isinstance(image, str):
            draw.text((left, y + height / 2), image, fill=FAINT, font=normal, anchor="lm")
        else:
            canvas.paste(image, (left, y))
        y += height + _MARGIN
    return canvas

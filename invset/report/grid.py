"""Grids of samples with labels that can be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from invset.files.font import font
from invset.terminal import one_line

if TYPE_CHECKING:
    from torch import Tensor

    Images = Tensor | np.ndarray

# torch is not imported, because the report of a sweep is made without it

#: Side in pixels that small images are enlarged to, by a whole factor, without blurring.
SIDE = 96
_GAP = 4
_MARGIN = 10
INK = (25, 25, 30)
FAINT = (110, 110, 120)
PAPER = (255, 255, 255)


def enlarge(image: Images, side: int = SIDE) -> Image.Image:
    """8-bit RGB, with shape (3, H, W), as a picture of about `side` pixels: each pixel a square, or
    shrunk if it is larger.
    """
    picture = Image.fromarray(np.ascontiguousarray(np.asarray(image).transpose(1, 2, 0)))
    factor = max(1, round(side / max(picture.size)))
    if max(picture.size) > 2 * side:
        share = side / max(picture.size)
        sides = [max(1, round(share * length)) for length in picture.size]
        return picture.resize((sides[0], sides[1]), Image.Resampling.LANCZOS)
    return picture.resize(
        (picture.width * factor, picture.height * factor), Image.Resampling.NEAREST
    )


def label_grid(
    rows: Sequence[tuple[str, Images, Sequence[str]]],
    title: str,
    side: int = SIDE,
    footer: str = "",
) -> Image.Image:
    """Rows of samples.

    Args:
        rows: (label at the left, 8-bit images with shape (M, 3, H, W), H and W the same for all,
            caption of each image). A cell whose image is missing is left out by giving fewer
            images; an empty caption leaves the cell blank.
        title: above the grid.
        side: of a cell in pixels.
        footer: below the grid.
    """
    normal = font(14)
    small = font(11)
    large = font(17)
    title, footer = one_line(title), one_line(footer)
    columns = max(len(images) for _, images, _ in rows)
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    left = _MARGIN + max(
        round(max(probe.textlength(line, font=normal) for line in label.split("\n")))
        for label, _, _ in rows
    )
    left += _MARGIN if left > _MARGIN else 0
    cell, tall = enlarge(rows[0][1][0], side).size if len(rows[0][1]) else (side, side)
    caption = 16 if any(any(c) for _, _, c in rows) else 0
    top = 40
    width = max(
        left + columns * (cell + _GAP) + _MARGIN,
        round(probe.textlength(title, font=large)) + 2 * _MARGIN,
        round(probe.textlength(footer, font=small)) + 2 * _MARGIN,
    )
    height = top + len(rows) * (tall + caption + _GAP) + (26 if footer else 6)
    canvas = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN, 10), title, fill=INK, font=large)
    for r, (label, images, captions) in enumerate(rows):
        y = top + r * (tall + caption + _GAP)
        draw.multiline_text((_MARGIN, y + tall / 2), label, fill=INK, font=normal, anchor="lm")
        for c, image in enumerate(images):
            x = left + c * (cell + _GAP)
            text = captions[c] if captions else ""
            if captions and not text:
                continue
            canvas.paste(enlarge(image, side), (x, y))
            draw.text((x + cell / 2, y + tall + 2), text, fill=FAINT, font=small, anchor="ma")
    if footer:
        draw.text((_MARGIN, height - 22), footer, fill=FAINT, font=small)
    return canvas


def grid_shape(count: int, cell: int = SIDE) -> tuple[int, int]:
    """Rows and columns for `count` samples whose cells are `cell` pixels wide, on no more than 2000
    pixels.
    """
    columns = min(2000 // (cell + _GAP), count)
    return math.ceil(count / columns), columns

"""Labels in pictures and charts: their font, and letters that it lacks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from PIL import ImageFont


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font for labels."""
    # matplotlib ships DejaVu Sans, so that labels look alike on every machine
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


@contextmanager
def any_letters() -> Iterator[None]:
    """Let matplotlib draw text as it is: ``$`` begins no formula, and a letter that its font lacks
    is a box, in SVG the letter.
    """
    import matplotlib

    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s)Glyph .* missing from", UserWarning)
        yield

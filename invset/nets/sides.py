"""Sizes of the pictures that generators make, as a person gives them."""

from __future__ import annotations

from collections.abc import Sequence

from invset.core.checks import is_whole, plain
from invset.errors import InvsetError


def sides(size: int | Sequence[int], least: int = 1, unit: int = 1) -> tuple[int, int]:
    """Height and width in pixels of what a generator makes.

    Args:
        size: side, or (height, width), as ``generator.size=`` gives it.
        least: the smallest side.
        unit: sides are multiples of it.

    Raises:
        InvsetError: it is no such thing.
    """
    found = plain(size)
    listed = isinstance(found, Sequence) and not isinstance(found, str)
    pair = tuple(found) if listed else (found, found)
    fits = all(is_whole(side, least) and side % unit == 0 for side in pair)
    if len(pair) != 2 or not fits:
        many = "pixel" if least == 1 else "pixels"
        parts = f", in multiples of {unit}" if unit > 1 else ""
        raise InvsetError(
            f"generator.size must be at least {least} {many}{parts}, or [height, width], not {size}"
        )
    return pair[0], pair[1]

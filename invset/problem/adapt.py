"""Generators as a network's medium wants them: adapted where it is certain how."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.files.medium import Medium
from invset.nets.generator import Generator

#: Parts of red, green and blue in grey, as real pictures are read (ITU-R 601).
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Form:
    """How a module differs from codes (N, code_dim) to one float32 tensor of inputs.

    Attributes:
        square: it takes codes with shape (N, code_dim, 1, 1), as DCGAN does.
        part: place of the inputs among several tensors that it gives; None: it gives one.
        channels: of pictures, where the network wants another number of them; else None.
    """

    square: bool = False
    part: Any = None
    channels: int | None = None


class Adapted(nn.Module):
    """A generator's module behind a `Form`."""

    def __init__(self, module: Callable[[Tensor], Any], form: Form) -> None:
        super().__init__()
        self.module = module
        self.form = form

    def forward(self, codes: Tensor) -> Tensor:
        x = self.module(codes[:, :, None, None] if self.form.square else codes)
        x = (x if self.form.part is None else x[self.form.part]).to(codes)
        if self.form.channels == 3:
            return x.expand(-1, 3, -1, -1)
        if self.form.channels == 1:
            return (x * x.new_tensor(GREY).view(3, 1, 1)).sum(1, keepdim=True)
        return x


def adapted(generator: Generator, form: Form) -> Generator:
    """The generator behind a form; itself where there is nothing to adapt."""
    if form == Form():
        return generator
    found = copy.copy(generator)
    found.module = Adapted(generator.module, form)
    return found


def called(generator: Generator, codes: Tensor) -> tuple[bool, Any]:
    """Whether a module takes square codes, and what it gives.

    Raises:
        Exception: whatever it raises for codes as they are.
    """
    try:
        return False, generator.module(codes)
    except Exception:
        try:
            return True, generator.module(codes[:, :, None, None])
        except Exception:  # the first error is told
            pass
        raise


def form_of(name: str, square: bool, given: Any, medium: Medium, count: int) -> Form:
    """The form of a module.

    Args:
        name: of the generator.
        square, given: from `called`.
        medium: of the network.
        count: of codes.

    Raises:
        InvsetError: no tensor of inputs among what it gives, or several; or whole numbers.
    """
    part = None if isinstance(given, Tensor) else _part(name, given, medium, count)
    raw: Tensor = given if part is None else given[part]
    if not raw.is_floating_point():
        raise InvsetError(
            f"generator {name} gives {str(raw.dtype).removeprefix('torch.')} values, which have no"
            " slopes to follow; return floats before they are rounded, with"
            " 'generator.pixel_range=[0,255]' if 255 is white"
        )
    return Form(square, part, _channels(raw, medium))


def _part(name: str, given: Any, medium: Medium, count: int) -> Any:
    """Place of the inputs in a tuple, list or dictionary."""
    noun = medium.noun
    if not isinstance(given, (tuple, list, Mapping)):
        raise InvsetError(f"generator {name} gives {type(given).__name__}, not one tensor")
    places: Iterable[tuple[Any, Any]] = (
        given.items() if isinstance(given, Mapping) else enumerate(given)
    )
    axes = medium.blank().ndim
    found = {
        place: x
        for place, x in places
        if isinstance(x, Tensor) and x.ndim == axes and len(x) == count
    }
    fits = [place for place, x in found.items() if medium.misfit(x) is None]
    chosen = fits if len(found) > 1 else list(found)
    if len(chosen) != 1:
        some = f"{len(chosen) or 'none'} that may be {noun}s"
        raise InvsetError(
            f"generator {name} gives {type(given).__name__} of {len(given)} values, {some}; let its"
            f" module return the tensor of {noun}s alone"
        )
    return chosen[0]


def _channels(raw: Tensor, medium: Medium) -> int | None:
    """Channels that pictures are brought to: grey ones to RGB, and RGB to grey."""
    if not isinstance(medium, Image8Bit) or raw.ndim != 4:
        return None
    pair = {raw.shape[1], medium.channels}
    return medium.channels if pair == {1, 3} else None

"""What an input of a network is: how it is rounded, stored, written and shown.

`invset.files.image8bit.Image8Bit` is a picture, `invset.files.tabular.Table` a row of a table.
Everything above knows this protocol only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from invset.core.checks import is_whole
from invset.errors import InvsetError
from invset.progress import Progress, quiet

#: Name of a file in a run's folder, and what writes it to a path.
File = tuple[str, Callable[[Path], None]]


def evenly(count: int, limit: int | None) -> Sequence[int]:
    """Numbers from 0 of at most `limit` of `count` inputs, evenly spread.

    Raises:
        InvsetError: a limit below 1.
    """
    if limit is None or (is_whole(limit, 1) and limit >= count):
        return range(count)
    if not is_whole(limit, 1):
        raise InvsetError(f"limit= is a whole number of at least 1, or null for all, not {limit}")
    return np.linspace(0, count - 1, limit).round().astype(int).tolist()


class Medium(Protocol):
    """What the inputs of a network are.

    Inputs x are float tensors with shape (N, …) between generator and network; stored they are what
    a file holds. A class of your own that names this as its base has what is given here.
    """

    @property
    def noun(self) -> str:
        """What messages call one input."""
        ...

    @property
    def saved(self) -> str:
        """What messages call one as it is saved."""
        return f"{self.noun} file"

    @property
    def hint(self) -> str:
        """What to look at where a network can't take one."""
        return "network.medium= says what it takes"

    @property
    def rounding(self) -> str:
        """What rounding brings a number to, for example "8 bits"."""
        ...

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the input that the network wants; None: it takes several."""
        ...

    @property
    def cell(self) -> int | None:
        """Side of one picture in a grid of samples, in pixels; None: no matter."""
        return None

    @property
    def legend(self) -> str:
        """What pictures of samples show, in words; empty where they are the samples themselves."""
        return ""

    def about(self) -> dict[str, Any]:
        """What ``summary.json`` says of it: its kind, what it is called, what it is rounded to, its
        legend, and what belongs to the kind.
        """
        return {
            "kind": type(self).__name__.lower(),
            "noun": self.noun,
            "saved": self.saved,
            "rounding": self.rounding,
            "legend": self.legend,
        }

    def blank(self) -> Tensor:
        """One input without content, on the CPU."""
        ...

    def random(self, count: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        """Inputs of one shape, uniformly random between the bounds."""
        ...

    def misfit(self, x: Tensor) -> str | None:
        """Why raw values that a generator made can't be inputs, in words; None if they can."""
        ...

    def clamp(self, x: Tensor) -> Tensor:
        """Values between the bounds, as eq. (1) asks of a valid input."""
        ...

    def round(self, x: Tensor) -> Tensor:
        """What the stored form holds, as floats, with the gradient of the identity: the network
        sees what is saved.
        """
        ...

    def store(self, x: Tensor) -> Tensor:
        """Inputs in stored form."""
        ...

    def restore(self, stored: Tensor) -> Tensor:
        """Stored form to inputs; gives just what `round` gave."""
        ...

    def files(self, stored: Tensor) -> Iterator[File]:
        """The files of samples in a run's folder. One ``samples/00001.png`` a sample is among
        them.
        """
        ...

    def read(self, folder: Path) -> Tensor:
        """Stored form of the samples in a run's folder."""
        ...

    def load(
        self, path: str | Path, limit: int | None = None, progress: Progress = quiet
    ) -> Tensor:
        """Stored form of real inputs from files of a person's own.

        Args:
            path: what they lie in.
            limit: take at most this many, evenly spread; None takes all.
            progress: told how many are read, and how many there are.
        """
        ...

    def pictures(self, stored: Tensor) -> Tensor:
        """Samples as pictures, uint8 RGB with shape (N, 3, height, width)."""
        ...

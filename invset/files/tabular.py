"""Rows of a table as inputs of a network: numbers in named columns, saved as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from invset.core.rounding import Snap
from invset.errors import InvsetError
from invset.files.columns import check_columns, check_known
from invset.files.medium import File, evenly
from invset.files.reading import read_rows
from invset.files.strips import WIDTH, Strips
from invset.progress import Progress, quiet

#: Name of the file of samples.
SAMPLES = "samples.csv"


@dataclass(frozen=True)
class Table:
    """Rows of a table: floats with shape (N, columns), each between its bounds; stored as float32.

    A categorical column holds the number of the category, from 0.

    Attributes:
        columns: names, in the order in which the network takes them.
        bounds: name -> (lowest, highest value) of every column that is not categorical; None: all
            are.
        integers: names of the columns that hold whole numbers; None: none does.
        categories: name -> names of its categories, of the columns that are categorical; None: none
            is.
        units: name -> unit that is shown behind a column's numbers; None: none is.

    Raises:
        InvsetError: a column without bounds, bounds of no column, or bounds that are none.
    """

    columns: Sequence[str]
    bounds: Mapping[str, Sequence[float]] | None = None
    integers: Sequence[str] | None = None
    categories: Mapping[str, Sequence[str]] | None = None
    units: Mapping[str, str] | None = None
    noun: ClassVar[str] = "row"
    saved: ClassVar[str] = "row"
    hint: ClassVar[str] = "network.medium.columns= says which columns it takes"
    rounding: ClassVar[str] = "rounding"

    def __post_init__(self) -> None:
        check_columns(self.names, self.ends, self.counted, self.words)
        check_known("units", self.measured, self.names)

    # plain types, whatever a configuration's were

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(map(str, self.columns))

    @cached_property
    def ends(self) -> dict[str, tuple[float, ...]]:
        """Bounds of the columns that are not categorical."""
        return {str(name): tuple(pair) for name, pair in (self.bounds or {}).items()}

    @cached_property
    def words(self) -> dict[str, tuple[str, ...]]:
        """Categories of the categorical columns."""
        given = (self.categories or {}).items()
        return {str(name): tuple(map(str, words)) for name, words in given}

    @cached_property
    def counted(self) -> frozenset[str]:
        """Names of the columns that hold whole numbers."""
        return frozenset(map(str, self.integers or ()))

    @cached_property
    def measured(self) -> dict[str, str]:
        """Units of the columns that have one."""
        return {str(name): str(unit) for name, unit in (self.units or {}).items()}

    @cached_property
    def low(self) -> Tensor:
        """Lowest value of each column, float32 with shape (columns,)."""
        return torch.tensor([float(self.ends[n][0] if n in self.ends else 0) for n in self.names])

    @cached_property
    def high(self) -> Tensor:
        """Highest value of each column, float32 with shape (columns,)."""
        return torch.tensor(
            [
                float(self.ends[n][1] if n in self.ends else len(self.words[n]) - 1)
                for n in self.names
            ]
        )

    @cached_property
    def whole(self) -> Tensor:
        """Which columns hold whole numbers, boolean with shape (columns,)."""
        return torch.tensor([n in self.counted or n in self.words for n in self.names])

    @cached_property
    def _copies(self) -> dict[torch.device, tuple[Tensor, Tensor, Tensor]]:
        return {}

    def _where(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """`low`, `high` and `whole` on a device, copied there once: a step would wait for it."""
        if device not in self._copies:
            low = self.low.to(device)
            high = self.high.to(device)
            self._copies[device] = (low, high, self.whole.to(device))
        return self._copies[device]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.names),)

    @property
    def cell(self) -> int:
        return max(WIDTH, self._strips.height)

    def about(self) -> dict[str, Any]:
        ends = zip(self.names, self.low.tolist(), self.high.tolist(), strict=True)
        columns = [
            {"name": name, "categories": list(self.words[name])}
            if name in self.words
            else {"name": name, "low": low, "high": high, "integer": name in self.counted}
            | ({"unit": self.measured[name]} if name in self.measured else {})
            for name, low, high in ends
        ]
        return {
            "kind": "table",
            "noun": self.noun,
            "saved": self.saved,
            "rounding": self.rounding,
            "legend": self.legend,
            "columns": columns,
        }

    @property
    def legend(self) -> str:
        units = {name: f" {unit}" for name, unit in self.measured.items()}
        numbers = [
            f"{n} {low:g} to {high:g}{units.get(n, '')}" for n, (low, high) in self.ends.items()
        ]
        words = [f"{name} {', '.join(words)}" for name, words in self.words.items()]
        return f"bars: {'; '.join([*numbers, *words])}"

    def blank(self) -> Tensor:
        return self.round(((self.low + self.high) / 2)[None])

    def random(self, count: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        share = torch.rand(count, *shape, generator=rng, device=rng.device)
        return self.low.to(share) + share * (self.high - self.low).to(share)

    def misfit(self, x: Tensor) -> str | None:
        if x.ndim == 2 and x.shape[1] == len(self.names):
            return None
        return (
            f"gives values of shape {tuple(x.shape)} for {len(x)} codes, but the network takes rows"
            f" of {len(self.names)} columns, (N, {len(self.names)}); generator=table makes them"
        )

    def clamp(self, x: Tensor) -> Tensor:
        low, high, _ = self._where(x.device)
        return x.clamp(low.to(x), high.to(x))

    def round(self, x: Tensor) -> Tensor:
        return Snap.apply(self.clamp(x), self._where(x.device)[2])

    def store(self, x: Tensor) -> Tensor:
        return self.round(x.detach().float())

    def restore(self, stored: Tensor) -> Tensor:
        return stored

    def texts(self, stored: Tensor) -> list[list[str]]:
        """Cells of each row as they are saved: names of categories, and the fewest digits that
        float32 is read back from.
        """
        return [
            [self._text(name, value) for name, value in zip(self.names, row, strict=True)]
            for row in stored.numpy().astype(np.float32)
        ]

    def _text(self, name: str, value: np.float32) -> str:
        if name in self.words:
            return self.words[name][int(value)]
        return str(int(value)) if name in self.counted else str(value)

    def files(self, stored: Tensor) -> Iterator[File]:
        yield SAMPLES, partial(self._write, stored)
        for number, picture in enumerate(self.pictures(stored), start=1):
            image = Image.fromarray(picture.permute(1, 2, 0).numpy())
            yield f"samples/{number:05d}.png", image.save

    def _write(self, stored: Tensor, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.names)
            writer.writerows(self.texts(stored))

    def read(self, folder: Path) -> Tensor:
        return self.load(folder / SAMPLES)

    def load(
        self, path: str | Path, limit: int | None = None, progress: Progress = quiet
    ) -> Tensor:
        """Rows of a CSV file with these columns, among others and in any order.

        Raises:
            InvsetError: no such file, a column that is missing, or a cell that is no value of its
                column.
        """
        hint = "give a CSV file whose first line names columns"
        header, cells = read_rows(path, "table", hint)
        odd = [n for n in self.names if header.count(n) != 1]
        if odd:
            raise InvsetError(
                f"{path} has {header.count(odd[0]) or 'no'} column {odd[0]!r}; its first line must"
                f" name {', '.join(self.names)}, each once"
            )
        places = [(name, header.index(name)) for name in self.names]
        rows = [
            [self._value(name, row[i], f"{path}, row {number}") for name, i in places]
            for number, row in enumerate(cells, start=1)
        ]
        rows = [rows[i] for i in evenly(len(rows), limit)]
        return torch.tensor(rows, dtype=torch.float32).reshape(len(rows), len(self.names))

    def _value(self, name: str, text: str, where: str) -> float:
        words = self.words.get(name)
        try:
            value = float(words.index(text) if words else text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            wanted = f"one of {', '.join(words)}" if words else "a number"
            raise InvsetError(f"{where}: column {name} holds {text!r}, not {wanted}")
        return value

    def pictures(self, stored: Tensor) -> Tensor:
        shares = ((stored - self.low) / (self.high - self.low)).numpy()
        drawn = [
            self._strips.draw(share, text)
            for share, text in zip(shares, self.texts(stored), strict=True)
        ]
        if not drawn:
            return torch.zeros(0, 3, self._strips.height, WIDTH, dtype=torch.uint8)
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).contiguous()

    @cached_property
    def _strips(self) -> Strips:
        return Strips(self.names, self.measured)

"""A run's folder, read back: what the report shows, without torch and without computing anything of
the run anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from invset.analysis.record import Figure, figures_from_json, value_of
from invset.errors import InvsetError
from invset.files.picture import opened, seen
from invset.files.reading import read_json, read_options, read_rows, reading, regular_file
from invset.files.tensors import read_arrays

#: What to do where a file of a run can't be read.
ANEW = "run it again"


@dataclass(frozen=True)
class Sample:
    """A row of ``activations.csv``.

    Attributes:
        number: from 1; the picture is ``samples/NUMBER.png``.
        origin: a word for where it comes from, such as "seed".
        step: gradient step at which it was kept.
        parent: number of the seed, draw or chain that it came from, from 0.
        before, after: activation of each neuron before and after rounding to 8 bits.
        in_range: whether the saved file is in range.
    """

    number: int
    origin: str
    step: int
    parent: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    in_range: bool


@dataclass(frozen=True)
class Run:
    """What a run's folder holds.

    Attributes:
        path: the folder.
        summary: ``summary.json``.
        samples: rows of ``activations.csv``, in the order they were taken.
        tensors: ``samples.safetensors``, by name.
        curves: columns of ``optimization.csv``, each with shape (steps,).
        table: column -> cell of each sample, of samples that are rows of a table; else empty.
    """

    path: Path
    summary: dict[str, Any]
    samples: list[Sample]
    tensors: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]
    table: list[dict[str, str]]

    @cached_property
    def config(self) -> dict[str, Any]:
        """``.hydra/config.yaml``, empty if there is none. It takes longer to read than all else,
        and the page of a sweep does without.
        """
        file = self.path / ".hydra" / "config.yaml"
        return read_options(file, ANEW) if file.is_file() else {}

    @property
    def names(self) -> list[str]:
        """Names of the neurons."""
        return [n["name"] for n in self.summary["neurons"]]

    @property
    def ranges(self) -> list[list[tuple[float, float]]]:
        """Rows of the ranges (z1, z2) of the neurons; a plain run has one row."""
        rows = self.summary.get("ranges")
        if rows is None:  # a folder of an older version
            rows = [[(n["z1"], n["z2"]) for n in self.summary["neurons"]]]
        return [[(z1, z2) for z1, z2 in row] for row in rows]

    @property
    def bands(self) -> list[list[tuple[float, float]]]:
        """The ranges of each neuron."""
        return [list(column) for column in zip(*self.ranges, strict=True)]

    @property
    def questions(self) -> list[str]:
        """Each neuron with its range or ranges."""
        return [
            f"{name} in {', '.join(f'[{z1:g}, {z2:g}]' for z1, z2 in bands)}"
            for name, bands in zip(self.names, self.bands, strict=True)
        ]

    @property
    def cells(self) -> list[list[int]]:
        """Place in `samples` of each cell of a grid, -1 where there is none; empty if the samples
        form no grid.
        """
        return self.tensors["cells"].tolist() if "cells" in self.tensors else []

    @property
    def is_grid(self) -> bool:
        """Whether the samples are drawn as a grid, a row for each row of ranges."""
        return bool(self.cells) and len(self.ranges) > 1

    @cached_property
    def figures(self) -> list[Figure]:
        """The columns that the run's records fill; none in a folder of an older version."""
        return figures_from_json(self.summary.get("figures", []))

    @cached_property
    def values(self) -> dict[str, Any]:
        """Key of each figure -> its value, None where it has none."""
        return {one.key: value_of(self.summary, one.key) for one in self.figures}

    @property
    def columns(self) -> list[Figure]:
        """What the records say of each sample: `key` is the name of a tensor of shape (n,)."""
        known = figures_from_json(self.summary.get("columns", []))
        return [one for one in known if one.key in self.tensors and self.tensors[one.key].ndim == 1]

    @property
    def titles(self) -> dict[str, str]:
        """Title of each column of ``optimization.csv``; its name in a folder of an older
        version.
        """
        titles = {one["name"]: one["title"] for one in self.summary.get("log", [])}
        return {name: titles.get(name, name) for name in self.curves}

    @property
    def sampler(self) -> str:
        """The sampler's name, as in ``sampler=stream``; empty if the configuration isn't there."""
        with reading(self.path / ".hydra" / "config.yaml", "a configuration", ANEW):
            target = (self.config.get("sampler") or {}).get("_target_", "")
        return target.split(".")[-2] if target.startswith("invset.") else target

    @property
    def rounding(self) -> str:
        """What samples are rounded to, for example "rounding to 8 bits"."""
        to = self.medium.get("rounding", "8 bits")
        return to if to == "rounding" else f"rounding to {to}"

    @property
    def medium(self) -> dict[str, Any]:
        """What the samples are; folders of older versions hold pictures and don't say so."""
        return self.summary.get("medium", {})

    @property
    def drawn(self) -> bool:
        """Whether the folder has pictures: a run with ``keep=codes`` writes none."""
        return self.summary.get("keep") != "codes"

    def check_drawn(self) -> None:
        """Raise `InvsetError` where the folder has no pictures."""
        if not self.drawn:
            raise InvsetError(
                f"{self.path} has no pictures (keep=codes); make them with: invset draw {self.path}"
            )

    def picture(self, sample: Sample) -> Path:
        return self.path / "samples" / f"{sample.number:05d}.png"

    def pixels(self, samples: Sequence[Sample]) -> np.ndarray:
        """8-bit RGB pictures of samples, with shape (N, 3, H, W); N x 3 x 1 x 1 without any."""
        self.check_drawn()
        images = [np.asarray(open_picture(self.picture(s))) for s in samples]
        if len({image.shape for image in images}) > 1:
            raise InvsetError(f"the pictures in {self.path / 'samples'} differ in size; {ANEW}")
        return (
            np.stack(images).transpose(0, 3, 1, 2) if images else np.zeros((0, 3, 1, 1), np.uint8)
        )


def open_picture(file: Path) -> Image.Image:
    """An RGB picture, read whole.

    Raises:
        InvsetError: it can't be read, or is too large.
    """
    path = regular_file(file, "picture", ANEW)
    with reading(path, "a picture", ANEW):
        return seen(opened(path))


def read_run(path: Path) -> Run:
    """Read a run's folder.

    Raises:
        InvsetError: it holds no run that has ended or was interrupted, or a file of it is missing
            or damaged.
    """
    summary_file = path / "summary.json"
    if not summary_file.is_file():
        hint = (
            f"go on with: invset run --resume {path}"
            if (path / "state.pt").is_file()
            else "type invset report outputs/DATE/TIME"
        )
        raise InvsetError(f"{path} has no summary.json, so it holds no run that has ended; {hint}")
    summary = read_json(summary_file, "a run's summary", "run it again: invset run …")
    again = f"run it again: {summary.get('command', 'invset run …')}"
    for name in ("samples.safetensors", "activations.csv", "optimization.csv"):
        if not (path / name).is_file():
            raise InvsetError(f"{path} lacks {name}, which a run writes; {again}")
    run = Run(
        path,
        summary,
        _samples(path / "activations.csv", again),
        read_arrays(path / "samples.safetensors", "samples", again),
        _columns(path / "optimization.csv", again),
        _table(path / "samples.csv", again),
    )
    with reading(summary_file, "a run's summary", again):  # all that others take from it
        for name in ("questions", "bands", "cells", "values", "columns", "titles"):
            getattr(run, name)
    lost = [s for s in run.samples if not run.picture(s).is_file()] if run.drawn else []
    if lost:
        raise InvsetError(f"{run.picture(lost[0])} is missing; {again}")
    return run


def has_pictures(folder: Path) -> bool:
    """Whether a run that has ended wrote pictures of its samples: not with ``keep=codes``."""
    return read_json(folder / "summary.json", "a run's summary", ANEW).get("keep") != "codes"


def _samples(path: Path, again: str) -> list[Sample]:
    header, rows = read_rows(path, "a table of samples", again)
    with reading(path, "a table of samples", again):
        # sample, origin, step, parent; before and after of each neuron; in_range; what else is
        # known
        held = header.index("in_range")
        p = (held - 4) // 2
        return [
            Sample(
                int(r[0]),
                r[1],
                int(r[2]),
                int(r[3]),
                tuple(map(float, r[4 : 4 + p])),
                tuple(map(float, r[4 + p : held])),
                r[held] == "True",
            )
            for r in rows
        ]


def _table(path: Path, again: str) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    header, rows = read_rows(path, "a table of samples", again)
    return [dict(zip(header, row, strict=True)) for row in rows]


def _columns(path: Path, again: str) -> dict[str, np.ndarray]:
    header, rows = read_rows(path, "a log", again)
    with reading(path, "a log", again):
        values = np.array(rows, float).reshape(len(rows), len(header))
    return {name: values[:, i] for i, name in enumerate(header)}

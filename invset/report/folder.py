"""A run's folder, read back: what the report shows, without torch and without computing anything of
the run anew.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from invset.errors import InvsetError
from invset.files.tensors import read_arrays

#: What the number in the column `parent` counts, by stage; see `invset.samplers`.
PARENTS = {"stream": "draw", "chain": "chain", "seed": "seed", "sample": "seed"}


@dataclass(frozen=True)
class Sample:
    """A row of ``activations.csv``.

    Attributes:
        number: from 1; the picture is ``samples/NUMBER.png``.
        stage: "stream", "seed", "sample" or "chain".
        step: gradient step at which it was kept.
        parent: seed, draw or chain that it came from, from 0.
        before, after: activation of each neuron before and after rounding to 8 bits.
        in_range: whether the saved file is in range.
    """

    number: int
    stage: str
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
        config: ``.hydra/config.yaml``, empty if there is none.
        samples: rows of ``activations.csv``, in the order they were taken.
        encodings: with shape (n, d).
        curves: columns of ``optimization.csv``, each with shape (steps,).
        cells: place in `samples` of each cell of a ladder (rungs × codes), -1 where there is none;
            empty for other samplers.
        table: column -> cell of each sample, of samples that are rows of a table; else empty.
    """

    path: Path
    summary: dict[str, Any]
    config: dict[str, Any]
    samples: list[Sample]
    encodings: np.ndarray
    curves: dict[str, np.ndarray]
    cells: list[list[int]]
    table: list[dict[str, str]]

    @property
    def names(self) -> list[str]:
        """Names of the neurons."""
        return [n["name"] for n in self.summary["neurons"]]

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """(z1, z2) of each neuron, or of each rung of a ladder, from the lowest."""
        where = self.summary["quality"].get("rungs") or self.summary["neurons"]
        return [(r["z1"], r["z2"]) for r in where]

    @property
    def questions(self) -> list[str]:
        """Each neuron with its range; of a ladder, whose one neuron has many, see `ranges`."""
        return [f"{n['name']} in [{n['z1']:g}, {n['z2']:g}]" for n in self.summary["neurons"]]

    @property
    def is_ladder(self) -> bool:
        return "rungs" in self.summary["quality"]

    @property
    def sampler(self) -> str:
        """The sampler's name, as in ``sampler=stream``; empty if the configuration isn't there."""
        target = (self.config.get("sampler") or {}).get("_target_", "")
        return target.split(".")[-2] if target.startswith("invset.samplers.") else target

    @property
    def rounding(self) -> str:
        """What samples are rounded to, for example "rounding to 8 bits"."""
        to = self.medium.get("rounding", "8 bits")
        return to if to == "rounding" else f"rounding to {to}"

    @property
    def medium(self) -> dict[str, Any]:
        """What the samples are; folders of older versions hold pictures and don't say so."""
        return self.summary.get("medium", {})

    def codes(self) -> np.ndarray:
        """Codes of the samples, with shape (n, code_dim), read from the folder."""
        return read_arrays(self.path / "samples.safetensors", "samples", "run it again")["codes"]

    def picture(self, sample: Sample) -> Path:
        return self.path / "samples" / f"{sample.number:05d}.png"

    def pixels(self, samples: Sequence[Sample]) -> np.ndarray:
        """8-bit RGB pictures of samples, with shape (N, 3, H, W); N x 3 x 1 x 1 without any."""
        images = [np.asarray(open_picture(self.picture(s))) for s in samples]
        return (
            np.stack(images).transpose(0, 3, 1, 2) if images else np.zeros((0, 3, 1, 1), np.uint8)
        )


def open_picture(file: Path) -> Image.Image:
    """An RGB picture, read whole."""
    with Image.open(file) as image:
        return image.convert("RGB")


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
    config = path / ".hydra" / "config.yaml"
    for name in ("samples.safetensors", "activations.csv", "optimization.csv"):
        if not (path / name).is_file():
            raise InvsetError(
                f"{path} lacks {name}, which a run writes; run it again: {_command(summary_file)}"
            )
    again = f"run it again: {_command(summary_file)}"
    tensors = read_arrays(path / "samples.safetensors", "samples", again)
    try:
        run = Run(
            path,
            json.loads(summary_file.read_text(encoding="utf-8")),
            OmegaConf.to_container(OmegaConf.load(config)) if config.is_file() else {},  # type: ignore[arg-type]
            _samples(path / "activations.csv"),
            tensors["encodings"],
            _columns(path / "optimization.csv"),
            tensors["cells"].tolist() if "cells" in tensors else [],
            _table(path / "samples.csv"),
        )
    except (ValueError, KeyError, csv.Error) as error:
        raise InvsetError(f"a file of {path} is damaged ({error}); {again}") from error
    lost = [s for s in run.samples if not run.picture(s).is_file()]
    if lost:
        raise InvsetError(
            f"{run.picture(lost[0])} is missing; run it again: {_command(summary_file)}"
        )
    return run


def _command(summary: Path) -> str:
    """What was typed to make the run, as far as its summary can be read."""
    try:
        found = json.loads(summary.read_text(encoding="utf-8"))
    except ValueError:
        found = {}
    return str(found.get("command", "invset run …"))


def _samples(path: Path) -> list[Sample]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    p = (
        len(header) - 5
    ) // 2  # sample, stage, step, parent; before and after of each neuron; in_range
    return [
        Sample(
            int(r[0]),
            r[1],
            int(r[2]),
            int(r[3]),
            tuple(map(float, r[4 : 4 + p])),
            tuple(map(float, r[4 + p : -1])),
            r[-1] == "True",
        )
        for r in rows
    ]


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _columns(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    values = np.array(rows, float).reshape(len(rows), len(header))
    return {name: values[:, i] for i, name in enumerate(header)}

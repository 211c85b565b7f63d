"""What a study found: samples in coordinates, before they are made into inputs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from invset.core.target import Meter
from invset.samplers.base import Column, Status


@dataclass(frozen=True)
class Found:
    """Samples of a study, in coordinates.

    Attributes:
        asked: samples asked for.
        u: coordinates, with shape (n, dim).
        f: activations, raw units, with shape (n, p).
        e: encodings, with shape (n, d).
        step: gradient step at which each was taken, with shape (n,).
        parent: seed, draw or column that each came from, with shape (n,).
        origin: number from 0 in `origins` of each, with shape (n,).
        origins: what samples came from, in words.
        row: row of `ranges` that each was taken for, with shape (n,).
        ranges: rows of ranges (z1, z2), one for each neuron.
        cells: numbers from 0 of the samples that form a grid, -1 where there is none, with shape
            (rows, columns); None where samples form no grid.
        columns: of the log.
        status: why the study ended.
        best_f: activations that came closest to the ranges, with shape (p,).
        steps: gradient steps.
        meter: passes.
        seconds: time of sampling.
        held: whether all of them were in range when they were taken.
        goal: what was aimed at: "range", "max" or "min".
        niches: whether samples are each for one unit of the neuron's layer, whose number from 0 is
            `parent`.
    """

    asked: int
    u: Tensor
    f: Tensor
    e: Tensor
    step: Tensor
    parent: Tensor
    origin: Tensor
    origins: tuple[str, ...]
    row: Tensor
    ranges: list[list[tuple[float, float]]]
    cells: Tensor | None
    columns: tuple[Column, ...]
    status: Status
    best_f: Tensor
    steps: int
    meter: Meter
    seconds: float
    held: bool = True
    goal: str = "range"
    niches: bool = False

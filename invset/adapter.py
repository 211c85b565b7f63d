"""Today's results under the names of the contract; to be deleted when `Result` has them itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from invset.api import Result
from invset.problem.problem import Problem
from invset.samplers.base import Sampler, columns
from invset.studies.ladder import Ladder


@dataclass(frozen=True)
class Column:
    """A column of ``optimization.csv``; a title "what: line" puts lines into one chart."""

    name: str
    title: str


@dataclass(frozen=True)
class Meter:
    """Passes of one code."""

    forwards: float
    backwards: float

    @property
    def code_steps(self) -> float:
        return self.forwards / 3 + 2 * self.backwards / 3


@dataclass(frozen=True)
class Found(Result):
    """A result with what it will have."""

    asked: int
    origins: tuple[str, ...]
    origin: Tensor
    ranges: list[list[tuple[float, float]]]
    row: Tensor
    cells: Tensor | None
    columns: tuple[Column, ...]
    meter: Meter


_TITLES = {
    "lambda_mean": "multipliers: λ, mean",
    "mu": "multipliers: μ",
    "inside": "codes: in range",
    "kept": "codes: kept",
    "arrived": "codes: arrived",
    "residual": "mean residual, in widths of the range",
    "p_mean": "mean probability of the class",
    "rung": "row of ranges",
}


def adapt(result: Result, sampler: Sampler, problem: Problem) -> Found:
    """`Result` with the names of the contract."""
    own: dict[str, Any] = {one.name: getattr(result, one.name) for one in fields(Result)}
    cells = _cells(result)
    row = torch.zeros(len(result), dtype=torch.long)
    ranges = [[n.range for n in problem.neurons]] if cells is None else _rungs(sampler)
    for number, some in enumerate(cells if cells is not None else []):
        row[some[some >= 0]] = number
    seed_steps = result.state.extra.get("seed_steps")
    alone = "chain" if "seeds" in result.state.extra else "stream"
    origins = (alone,) if seed_steps is None else ("seed", "sample")
    origin = torch.zeros(len(result), dtype=torch.long)
    if seed_steps is not None:
        origin = (result.step.cpu() != seed_steps).long()
    named = columns(sampler, len(problem.neurons))
    return Found(
        **own,
        asked=sampler.n,
        origins=origins,
        origin=origin,
        ranges=ranges,
        row=row,
        cells=cells,
        columns=tuple(Column(name, _TITLES.get(name, name)) for name in named),
        meter=Meter(result.code_steps, result.code_steps),
    )


def _rungs(sampler: Sampler) -> list[list[tuple[float, float]]]:
    assert isinstance(sampler, Ladder)
    return [[(float(z1), float(z2))] for z1, z2 in sampler.ranges]


def _cells(result: Result) -> Tensor | None:
    """Sample number (from 0) in each cell, -1 where the code did not reach the range or rounding
    took it out.
    """
    cells = result.state.extra.get("cells")
    if cells is None:
        return None
    number = {kept: i for i, kept in enumerate(result.kept.tolist())}
    return torch.tensor([[number.get(cell, -1) for cell in row] for row in cells])

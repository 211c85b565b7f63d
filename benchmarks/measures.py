"""Figures of the paper's claims, from the rows of ``results.csv``, with their intervals.

An interval is that of the mean at 95 % (Student's t), over runs of three neurons and three seeds as
if they were independent.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

Row = Mapping[str, Any]

#: Fewest runs of which an interval is told.
RUNS = 3

PUBLISHED, OURS, PPGN = "as published", "ours", "PPGN"


@dataclass(frozen=True)
class Measure:
    """A figure and its interval.

    Attributes:
        sweep: whose runs it is over.
        method: their method.
        of: a run's value, or None where it has none.
        form: how Python formats it.
        unit: behind it.
    """

    sweep: str
    method: str
    of: Callable[[Row], float | None]
    form: str = ".2g"
    unit: str = ""

    def text(self, rows: Sequence[Row]) -> str:
        """The mean, with its interval where there are enough runs."""
        return _told(self._values(rows), self.form, self.unit)

    def _values(self, rows: Sequence[Row]) -> list[float]:
        runs = [r for r in rows if (r["sweep"], r["method"]) == (self.sweep, self.method)]
        return [value for value in map(self.of, runs) if value is not None]


@dataclass(frozen=True)
class Ratio:
    """A figure of one method over that of another, for each neuron and seed.

    Attributes:
        sweep: whose runs it is over.
        method, other: over which.
        key: of the rows.
    """

    sweep: str
    method: str
    other: str
    key: str

    def text(self, rows: Sequence[Row]) -> str:
        """The mean, with its interval."""
        of = {(r["method"], r["neurons"], r["seed"]): r for r in rows if r["sweep"] == self.sweep}
        pairs = [
            (row[self.key], of[self.other, neurons, seed][self.key])
            for (method, neurons, seed), row in of.items()
            if method == self.method and (self.other, neurons, seed) in of
        ]
        return _told([one / two for one, two in pairs if one is not None and two], ".2f", "")


def _told(values: Sequence[float], form: str, unit: str) -> str:
    """Mean and interval; a dash for nothing."""
    if not values:
        return "–"
    values = [100 * value for value in values] if unit == "%" else values
    mean = statistics.fmean(values)
    space = f" {unit}" if unit else ""
    if len(values) < RUNS:
        return f"{_shown(mean, form)}{space}"
    half = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    low, high = _shown(mean - half, form), _shown(mean + half, form)
    return f"{_shown(mean, form)}{space} [{low}, {high}]"


def _shown(value: float, form: str) -> str:
    """A number; what is rounded to zero has no sign."""
    text = format(value, form)
    return text.lstrip("-") if not text.strip("-0.") else text


def key(name: str, scale: float = 1.0) -> Callable[[Row], float | None]:
    """A column of the rows, times a factor."""
    return lambda row: None if row[name] is None else scale * row[name]


def over(name: str, real: str) -> Callable[[Row], float | None]:
    """A column as a share of another."""
    return lambda row: row[name] / row[real] if row[name] is not None and row[real] else None


def walked(row: Row) -> float | None:
    """Gradient steps of the sampling, without the seeds' own pass."""
    return None if row["to_seeds"] is None else row["steps"] - row["to_seeds"] - 1


def of_table(method: str, name: str, form: str = ".2g", unit: str = "") -> Measure:
    """Of Table 1's runs."""
    return Measure("table1", method, key(name), form, unit)

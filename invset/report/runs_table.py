"""``runs.csv`` of ``invset compare``: a row a run, with the whole question that the run answered.

A run is found again by its question. Runs of other questions stay in the table, and what is made of
it (`invset.report.compare_table`) tells them apart.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from invset.analysis.discover import figures
from invset.errors import InvsetError
from invset.files.reading import reading, regular_file

#: Which run it is, as it was typed; ``unit`` is the neuron by its layer's path and its number.
KEY = ("method", "layer", "neuron", "unit", "range", "goal", "seed")

#: What all runs of a command have alike.
SHARED = (
    "version",
    "device",
    "network",
    "generator",
    "encoder",
    "reference",
    "judge",
    "perturbed",
    "budget",
    "n",
)

#: What a method and a range stand for, by the column that names them.
NAMED = {"sampler": "method", "asked": "range"}

#: The question of a run. Layers and neurons have several names, so ``unit`` stands for both.
QUESTION = ("method", "unit", "range", "goal", "seed", *SHARED, *NAMED)

_HINT = "no run can be added to it. Repair it, move it elsewhere, or type out= and another folder"

_TEXTS = {*KEY, *SHARED, *NAMED, "status", "why"} - {"seed", "n"}


def columns() -> list[str]:
    """The header of the table."""
    return [*KEY, *SHARED, *NAMED, "z1", "z2", "status", "why", *(one.key for one in figures())]


def question(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a run is found again by."""
    return tuple(text(row[column]) for column in QUESTION)


def text(value: Any) -> str:
    """A cell."""
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def read_runs(table: Path) -> list[dict[str, str]]:
    """The runs that are there.

    Raises:
        InvsetError: the table is not as `columns` and `text` make it: it is of another version,
            another program has changed it, or it is damaged. It is left as it is.
    """
    if not table.exists():
        return []
    with reading(regular_file(table, "runs", _HINT), "runs of a comparison", _HINT):
        content = table.read_bytes().decode("utf-8")
        header, *rows = [*csv.reader(io.StringIO(content, newline=""), strict=True)] or [[]]
    known = columns()
    if header != known:
        raise _refused(
            table, f"has the columns of an older version, or of another program{_odd(header)}"
        )
    if not content.endswith("\n"):
        raise _refused(table, "is cut off in its last line")
    words = _TEXTS | {one.key for one in figures() if one.form == "s"}
    numbers = [i for i, column in enumerate(known) if column not in words]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(known):
            raise _refused(table, f"has {len(row)} cells in row {number}, not {len(known)}")
        for i in numbers:
            if row[i] and not _is_number(row[i]):
                raise _refused(table, f"has {row[i]!r} as {known[i]} in row {number}, no number")
    return [dict(zip(known, row, strict=True)) for row in rows]


def _refused(table: Path, why: str) -> InvsetError:
    return InvsetError(f"{table} {why}; {_HINT}")


def _odd(header: Sequence[str]) -> str:
    known = columns()
    more = [repr(name[:40]) for name in header if name not in known][:1]
    less = [name for name in known if name not in header][:1]
    told = [*(f"it has {name}" for name in more), *(f"it lacks {name}" for name in less)]
    return f" ({' and '.join(told) or 'in another order'})"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

"""Tables of figures over several runs; the columns are those of the records."""

from __future__ import annotations

import html
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from invset.analysis.record import Figure

#: Key of a figure -> its value: a number, a word, or None where there is none.
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        head: its first cells.
        runs: values of the runs that it is about; none, if it has only a head.
    """

    head: Sequence[str]
    runs: Sequence[Values]


def headlines(figures: Sequence[Figure], lines: Sequence[Line]) -> list[Figure]:
    """The columns of a short table; those that no run has a value for are left out, and so are
    brackets that would all be empty.
    """
    runs = [run for line in lines for run in line.runs]
    held = {key for run in runs for key, value in run.items() if value not in (None, "")}
    short = [one for one in figures if one.headline and one.key in held]
    return [one if one.beside in held else replace(one, beside="") for one in short]


def cells(line: Line, columns: Sequence[Figure]) -> list[str]:
    """A line as text: mean ± standard deviation over its runs; in brackets the mean of real
    images.
    """
    made = list(line.head)
    for one in columns:
        text = _cell(one, [run.get(one.key) for run in line.runs])
        if one.beside:
            real = [run.get(one.beside) for run in line.runs]
            text += f" ({_mean(one, real)})" if _known(real) else ""
        made.append(text)
    return made


def markdown(head: Sequence[str], lines: Sequence[Line], figures: Sequence[Figure]) -> list[str]:
    """Lines of a table in Markdown.

    Args:
        head: headings of the first cells.
        lines: its lines.
        figures: what there is; of these the headlines are shown.
    """
    columns = headlines(figures, lines)
    heading = [*head, *(one.heading for one in columns)]
    rows = [heading, ["---"] * len(heading), *(cells(line, columns) for line in lines)]
    rows = [[_plain(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in rows]


def _plain(cell: str) -> str:
    """A cell as text of a line: names may hold what Markdown and HTML have a use for."""
    return html.escape(" ".join(cell.split()), quote=False).replace("|", "\\|")


def _known(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value not in (None, "")]


def _cell(one: Figure, values: Sequence[Any]) -> str:
    known = _known(values)
    if len(known) < 2 or one.form == "s":
        return _mean(one, values)
    spread = statistics.stdev(float(value) for value in known)
    return f"{_mean(one, values)} ± {one.text(spread)}"


def _mean(one: Figure, values: Sequence[Any]) -> str:
    known = _known(values)
    if one.form == "s":
        return one.text(", ".join(dict.fromkeys(map(str, known))))
    return one.text(statistics.fmean(float(value) for value in known) if known else None)

"""A comparison on a terminal: figures in rows, samplers in columns."""

from __future__ import annotations

from collections.abc import Sequence

from invset.report.compare_table import Row, by_sampler, quality_first, refusals, table
from invset.report.table import cells, headlines

#: Characters of a line, from which on columns go to a block of their own.
_WIDTH = 100


def printed(rows: Sequence[Row]) -> list[str]:
    """Means of every sampler, and why some took no part; the page and ``summary.md`` have more.

    Args:
        rows: the runs.
    """
    head, lines = table(*by_sampler(rows))
    columns = headlines(quality_first(), lines)
    names = [*head, *(one.heading for one in columns)]
    held = [cells(line, columns) for line in lines]
    told = []
    for block in _blocks(names, held):
        widths = [max(map(len, column)) for column in block]
        for row in zip(*block, strict=True):
            first, *others = (f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True))
            told.append("  ".join([first, *others]).rstrip())
        told.append("")
    return [*told, *refusals(rows)]


def _blocks(names: Sequence[str], held: Sequence[Sequence[str]]) -> list[list[Sequence[str]]]:
    """Columns that fit beside each other, each block with the names as its first."""
    first = max(map(len, names))
    made: list[list[Sequence[str]]] = []
    used = _WIDTH
    for column in held:
        width = max(map(len, column)) + 2
        if used + width > _WIDTH:
            made.append([names])
            used = first
        made[-1].append(column)
        used += width
    return made

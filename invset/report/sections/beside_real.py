"""A table of the samples' diversity, beside that of real images."""

from __future__ import annotations

from typing import Any

from invset.analysis.record import Figure
from invset.report.page import interval
from invset.report.shown import Shown


def section(shown: Shown) -> dict[str, Any] | None:
    """None without samples, or in a folder of an older version."""
    run = shown.run
    columns = [one for one in run.figures if one.key.startswith("diversity.")]
    if not columns or not run.samples:
        return None
    if run.is_grid:
        rows = []
        for ranges, row in reversed(list(zip(run.ranges, run.summary["rows"], strict=True))):
            where = " ".join(interval(*one) for one in ranges)
            rows.append((f"samples in {where}", row["diversity"]))
            rows += _real(row["beside_real"])
    else:
        beside = run.summary["beside_real"]
        rows = [("samples", run.summary["diversity"])]
        if beside["real"] and beside["alike"]["samples"] != len(run.samples):
            rows.append(("the first of them, as many as real images", beside["alike"]))
        rows += _real(beside)
    return {
        "header": ["", *(one.heading for one in columns)],
        "rows": [[name, *_cells(columns, record)] for name, record in rows],
        "encoder": run.summary["encoder"],
    }


def _real(beside: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"real images {beside['kind']}", beside["real"])] if beside["real"] else []


def _cells(columns: list[Figure], record: dict[str, Any]) -> list[str]:
    return [one.text(record.get(one.key.rpartition(".")[2])) for one in columns]

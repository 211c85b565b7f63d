"""What another network sees in the samples, beside real images."""

from __future__ import annotations

from typing import Any

from invset.analysis.record import DASH, Figure, value_of
from invset.report.page import interval
from invset.report.shown import Shown


def section(shown: Shown) -> dict[str, Any] | None:
    """None where no other network looked."""
    run = shown.run
    record = run.summary.get("judge")
    if record is None:
        return None
    columns = [one for one in run.figures if one.key.startswith("judge.samples.")]
    columns += [one for one in run.figures if one.key == "judge.kid"]
    parts = [("samples", record)]
    if run.is_grid:
        parts = [
            (f"samples in {' '.join(interval(*one) for one in ranges)}", row["judge"])
            for ranges, row in reversed(list(zip(run.ranges, run.summary["rows"], strict=True)))
            if "judge" in row
        ]
    rows = []
    for name, part in parts:
        rows.append([name, *_cells(columns, {"judge": part})])
        if part["real"]:
            beside = {"judge": {"samples": part["real"], "kid": part.get("kid_real")}}
            rows.append([f"real images {part['kind']}", *_cells(columns, beside)])
    header = ["", *(one.title.removeprefix("judge: ") for one in columns)]
    # without ranks, and with too few samples for a KID, a column or a row says nothing
    said = [row for row in rows if any(cell != DASH for cell in row[1:])]
    full = [i for i in range(len(header)) if not i or any(row[i] != DASH for row in said)]
    header, said = [header[i] for i in full], [[row[i] for i in full] for row in said]
    return {**record, "header": header, "rows": said, "seen": len(run.samples)}


def _cells(columns: list[Figure], held: dict[str, Any]) -> list[str]:
    return [one.text(value_of(held, one.key)) for one in columns]

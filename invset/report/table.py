"""Tables of a figure's sweep: means and standard deviations over seeds, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

#: Heading of a column, and what it shows of a row of `figure.rows`.
COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "samples": ("samples", "{:.0f}".format),
    "in_range": ("in range", "{:.0%}".format),
    "seed_steps": ("steps to seeds", "{:.0f}".format),
    "gradient_steps": ("gradient steps", "{:.0f}".format),
    "code_steps": ("code-steps", "{:.0f}".format),
    "distance": ("mean distance", "{:.1f}".format),
    "distance_over_root_d": ("over √d", "{:.3f}".format),
    "nearest": ("nearest neighbour", "{:.1f}".format),
    "vendi": ("Vendi", "{:.1f}".format),
    "extreme_code": ("extreme code", "{:.1f}".format),
    "seconds": ("seconds", "{:.0f}".format),
}

#: Columns of real images in the same range, or nearest to it.
REAL = {
    "samples": "real_samples",
    "distance": "real_distance",
    "distance_over_root_d": "real_distance_over_root_d",
    "nearest": "real_nearest",
    "vendi": "real_vendi",
}


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a table: a row for each question and method, mean ± standard deviation over seeds,
    and one of real images.

    Args:
        rows: of `figure.rows`. The row of real images is that of the question's first run that was
            compared with some; a question without one has no such row.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["neurons"], row["method"]), []).append(row)
    lines = [
        "| neurons | method | seeds | " + " | ".join(head for head, _ in COLUMNS.values()) + " |",
        "|" + "---|" * (len(COLUMNS) + 3),
    ]
    for question in dict.fromkeys(
        row["neurons"] for row in rows
    ):  # in the order in which they come first
        same = {method: group for (neurons, method), group in groups.items() if neurons == question}
        for method, group in same.items():
            lines.append(
                _line(
                    question,
                    method,
                    str(len(group)),
                    {key: [row[key] for row in group] for key in COLUMNS},
                )
            )
        compared = [row for row in rows if row["neurons"] == question and row["real"]]
        if compared:
            values = {key: [compared[0][REAL[key]]] if key in REAL else [] for key in COLUMNS}
            lines.append(_line(question, f"real images {compared[0]['real']}", "", values))
    return lines


def _line(neurons: str, method: str, seeds: str, values: dict[str, list[Any]]) -> str:
    return (
        f"| {neurons} | {method} | {seeds} | "
        + " | ".join(_cell(values[key], form) for key, (_, form) in COLUMNS.items())
        + " |"
    )


def _cell(values: list[Any], form: Callable[[float], str]) -> str:
    known = [float(v) for v in values if v is not None]
    if not known:
        return ""
    spread = f" ± {form(statistics.stdev(known))}" if len(known) > 1 else ""
    return form(statistics.fmean(known)) + spread

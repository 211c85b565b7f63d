"""``report.html`` and ``compare.png`` of a comparison: tables, pairs, charts, samples."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from PIL import Image

from invset.analysis.discover import figures
from invset.analysis.record import Figure
from invset.files.reading import reading
from invset.files.rundir import RunDir
from invset.report.compare_folder import Comparison
from invset.report.compare_table import (
    Group,
    Row,
    by_cell,
    by_sampler,
    differences,
    quality_first,
    refusals,
    table,
    value,
)
from invset.report.folder import open_picture
from invset.report.mosaic import stacked
from invset.report.page import duration, render
from invset.report.pareto import Point, pareto
from invset.report.runs_table import QUESTION, SHARED
from invset.report.table import cells, headlines
from invset.report.thumbnails import webp

#: Pairs of figures that charts show, where at least two samplers have both.
_CHARTS = (
    ("meter.code_steps", "counts.in_range"),
    ("meter.code_steps", "beside_real.distinct"),
    ("meter.seconds", "beside_real.distinct"),
    ("beside_real.distinct", "judge.samples.among_five"),
    ("beside_real.distinct", "agreement.samples.in_range"),
    ("beside_real.distinct", "judge.kid"),
    ("beside_real.distinct", "coverage.tenths"),
)

#: What a page says of columns that all runs share, in words.
_SAID = {
    "network": "Network",
    "generator": "Generator",
    "encoder": "Diversity measured in",
    "judge": "Judge",
    "budget": "Budget of a run",
    "n": "Samples asked for",
    "perturbed": "Perturbed",
    "device": "Device",
    "version": "Version",
}

#: Columns that end with a sum of what they name, which a person does not read.
_SUMMED = ("network", "generator", "judge")

_ANEW = "type the command of the comparison again"


def write_page(out: RunDir, held: Comparison) -> Path:
    """Write the page, and the joined picture where there are samples; return the page's path."""
    with reading(held.path, "a comparison's folder", _ANEW):
        cell, shown = _shown(held)
        if any(not isinstance(image, str) for _, image in shown):
            out.write("compare.png", stacked(shown, cell).save)
        page = render("compare.html.jinja", **_context(held, cell, shown))
    return out.write("report.html", lambda path: path.write_text(page, encoding="utf-8"))


def _context(
    held: Comparison, cell: str, shown: Sequence[tuple[str, Image.Image | str]]
) -> dict[str, Any]:
    rows = held.rows
    pairs = differences(rows, held.baseline)
    methods = list(dict.fromkeys(row["method"] for row in rows))
    units = list(dict.fromkeys(map(_neuron, rows)))
    seconds = sum(value(row, "meter.seconds") or 0 for row in rows)
    return {
        "title": f"{_count(methods, 'sampler')} on {_count(units, 'neuron')}",
        "lead": " ".join(filter(None, [_lead(rows), held.note])),
        "facts": [
            *_facts(rows),
            ("Neurons", ", ".join(units)),
            ("Ranges and goals", ", ".join(dict.fromkeys(_range(row, rows) for row in rows))),
            ("Seeds", ", ".join(dict.fromkeys(row["seed"] for row in rows))),
            ("Time of sampling", duration(seconds)),
        ],
        "tables": [_table(*one) for one in _tables(rows)],
        "baseline": pairs.base,
        "pairs": pairs.cells() if pairs.rows else None,
        "tested": any(one and one.p is not None for _, found in pairs.rows for one in found),
        "charts": _charts(rows),
        "cell": cell,
        "samples": [(name, one if isinstance(one, str) else webp(one)) for name, one in shown],
        "refusals": refusals(rows),
        "line": held.command,
        "directory": held.directory,
        "files": sorted(p.name for p in held.path.iterdir() if p.suffix in (".csv", ".md", ".png")),
    }


def _lead(rows: Sequence[Row]) -> str:
    budgets = {row["budget"] for row in rows}
    if budgets == {""}:
        return (
            f"{len(rows)} runs, each within the limits of its sampler. Means are over the runs that"
            " reached n samples."
        )
    return (
        f"{len(rows)} runs, each with the budget {' or '.join(sorted(budgets - {''}))}. A run ends"
        " with n samples, with its budget, or by itself. Means are over all that ran."
    )


def _neuron(row: Row) -> str:
    """A neuron as in a run: layer, number, name, and where it is read."""
    number, _, at = row["unit"].rpartition(":")[2].partition(" ")
    name = "" if row["neuron"].isdigit() else row["neuron"]
    return " ".join(filter(None, [f"{row['layer']}:{number}", name, at]))


def _range(row: Row, rows: Sequence[Row]) -> str:
    """A range's name, with its ends where they are the same for all neurons."""
    ends = {(one["z1"], one["z2"]) for one in rows if one["range"] == row["range"]}
    if len(ends) > 1 or not row["z1"]:
        return row["range"]
    return f"{row['range']} [{float(row['z1']):.4g}, {float(row['z2']):.4g}]"


def _tables(rows: Sequence[Row]) -> list[tuple[list[str], list[Group]]]:
    """By sampler, and by layer and range where that is more."""
    whole, cells = by_sampler(rows), by_cell(rows)
    return [whole, cells] if len(cells[1]) > len(whole[1]) else [whole]


def _count(some: Sequence[str], noun: str) -> str:
    return f"{len(some)} {noun}{'' if len(some) == 1 else 's'}"


def _facts(rows: Sequence[Row]) -> list[tuple[str, str]]:
    made = []
    for column in (one for one in _SAID if one in SHARED):
        words = dict.fromkeys(row[column] for row in rows if row[column])
        said = [word.rpartition(" ")[0] if column in _SUMMED else word for word in words]
        if said:
            made.append((_SAID[column], ", ".join(dict.fromkeys(said))))
    return made


def _table(head: Sequence[str], groups: Sequence[Group]) -> tuple[list[str], list[list[str]]]:
    """Header and rows."""
    names, lines = table(head, groups)
    columns = headlines(quality_first(), lines)
    return [*names, *(one.heading for one in columns)], [cells(line, columns) for line in lines]


def _charts(rows: Sequence[Row]) -> list[Markup]:
    known = {one.key: one for one in figures()}
    _, groups = by_sampler([row for row in rows if row["goal"] == "range"])
    charts = []
    for x, y in (pair for pair in _CHARTS if known.keys() >= {*pair}):
        points = [point for group in groups if (point := _point(group, known[x], known[y]))]
        if len({one.x for one in points}) > 1 and len({one.y for one in points}) > 1:
            charts.append(Markup(pareto(points, known[x], known[y])))
    return charts


def _point(group: Group, x: Figure, y: Figure) -> Point | None:
    """A sampler's means; None without a run that has both figures."""
    pairs = [(value(row, x.key), value(row, y.key)) for row in group.ended]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not known:
        return None
    a, b = ([pair[i] for pair in known] for i in (0, 1))
    spread = [statistics.stdev(some) if len(some) > 1 else 0.0 for some in (a, b)]
    return Point(" ".join(group.head), statistics.fmean(a), statistics.fmean(b), *spread)


def _shown(held: Comparison) -> tuple[str, list[tuple[str, Image.Image | str]]]:
    """The cell whose samples are shown, in words, and each sampler's: of the first seed the first
    neuron and range, or goal where there is none, for which most samplers have a picture.
    """
    cells_: dict[tuple[str, ...], list[Row]] = {}
    ranged = [row for row in held.rows if row["goal"] == "range"] or held.rows
    for row in (row for row in ranged if row["seed"] == ranged[0]["seed"]):
        key = tuple(row[column] for column in ("unit", "range", "goal", "asked", "seed"))
        cells_.setdefault(key, []).append(row)
    best = max(cells_.values(), key=lambda rows: sum(held.picture(row) is not None for row in rows))
    first = best[0]
    z = f" [{float(first['z1']):.4g}, {float(first['z2']):.4g}]" if first["z1"] else ""
    names = [row["method"] for row in best]
    shown = []
    for row in best:
        file = held.picture(row)
        again = names.count(row["method"]) > 1
        name = f"{row['method']} {row['sampler'].rpartition(' ')[0]}" if again else row["method"]
        image = _without(row, ranged) if file is None else open_picture(file)
        shown.append((name.strip(), image))
    cell = f"{_neuron(first)}, {first['range']}{z}, seed {first['seed']}"
    return cell, shown


def _without(row: Row, rows: Sequence[Row]) -> str:
    """What stands in place of a run's samples, with what its other seeds have."""
    same = [column for column in QUESTION if column != "seed"]
    others = [
        int(found)
        for one in rows
        if one["seed"] != row["seed"] and all(one[key] == row[key] for key in same)
        if (found := value(one, "counts.saved"))
    ]
    if not others:
        return "no samples"
    return f"seed {row['seed']}: none; {sum(others)} in others"

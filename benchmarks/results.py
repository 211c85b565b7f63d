"""The figures of docs/results.md: one row a run of the sweeps behind the paper's figures.

    python benchmarks/results.py outputs/figures/mini [--docs docs]

Reads every sweep in the folder, and writes there ``results.csv``, a row a run, and ``claims.md``,
the paper's claims beside what was measured (benchmarks/claims.py). With ``--docs`` it puts both,
and the tables of ``results.md``, into the documents. ``make figures`` calls it at its end.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import claims

from invset.analysis.record import value_of
from invset.report.paper_figure import Composition
from invset.report.sweep_folder import Job, read_jobs

#: Columns of ``results.csv`` -> the figure's key in ``summary.json``.
KEYS = {
    "seed": "seed",
    "saved": "counts.saved",
    "in_range": "counts.share_in_range",
    "steps": "meter.gradient_steps",
    "to_seeds": "counts.steps_to_seeds",
    "code_steps": "meter.code_steps",
    "seconds": "meter.seconds",
    "real": "beside_real.in_range",
    "kind": "beside_real.kind",
    "nearest": "beside_real.alike.nearest_neighbour",
    "nearest_real": "beside_real.real.nearest_neighbour",
    "vendi": "beside_real.alike.vendi",
    "vendi_real": "beside_real.real.vendi",
    "distance": "diversity.mean_pairwise_distance",
    "distance_real": "beside_real.real.mean_pairwise_distance",
    "over_root_d": "diversity.distance_over_root_d",
    "distinct": "beside_real.distinct",
    "tenths": "coverage.tenths",
    "lowest": "codes.lowest",
    "highest": "codes.highest",
    "judge_first": "judge.samples.first",
    "judge_first_real": "judge.real.first",
    "kid": "judge.kid",
}
WORDS = ("sweep", "method", "neurons", "kind")
HEAD = ("sweep", "method", "neurons")

Row = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A column of a table in the documents.

    Attributes:
        title: above it.
        key: of the rows.
        form: how Python formats it.
        beside: key of what stands behind it in brackets.
    """

    title: str
    key: str
    form: str
    beside: str = ""


CELLS = (
    Cell("in range", "in_range", ".0%"),
    Cell("gradient steps (to seed codes)", "steps", ".0f", "to_seeds"),
    Cell("nearest neighbour", "nearest", ".1f", "nearest_real"),
    Cell("Vendi", "vendi", ".1f", "vendi_real"),
    Cell("mean distance", "distance", ".1f", "distance_real"),
    Cell("distinct", "distinct", ".0f"),
    Cell("bins covered", "tenths", ".0%"),
    Cell("lowest code", "lowest", ".1f"),
    Cell("highest code", "highest", ".1f"),
    Cell("judge: class first", "judge_first", ".0%", "judge_first_real"),
    Cell("KID x 1000", "kid", ".0f"),
)


def read(folder: Path) -> list[Row]:
    """A row for each run of each sweep in a folder that has ended."""
    rows = []
    for sweep in sorted(path.parent for path in folder.glob("*/sweep.csv")):
        jobs = read_jobs(sweep)
        figure = Composition.of(jobs, sweep)
        rows += [_row(sweep.name, figure, job) for job in jobs if job.run]
    return rows


def _row(sweep: str, figure: Composition, job: Job) -> Row:
    assert job.run is not None
    words = [word.removeprefix("sampler=") for word in job.words if word.startswith("sampler=")]
    method = figure.labels.get(words[-1], words[-1]) if words else ""
    told = {key: value_of(job.run.summary, path) for key, path in KEYS.items()}
    neurons = "; ".join(job.run.questions)
    return {"sweep": sweep, "method": method.replace("\n", " "), "neurons": neurons, **told}


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write ``results.csv``; numbers have six digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*HEAD, *KEYS])
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def load(path: Path) -> list[Row]:
    """Read what `write` wrote; what is not there is None."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{k: _value(k, v) for k, v in row.items()} for row in csv.DictReader(file)]


def _value(key: str, text: str) -> str | float | None:
    if key in WORDS:
        return text
    return float(text) if text not in ("", "nan") else None


def table(rows: Sequence[Row]) -> list[str]:
    """Lines in Markdown: a line for each method and question, mean ± standard deviation over
    seeds.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["neurons"], row["method"]), []).append(row)
    shown = [one for one in CELLS if any(row[one.key] is not None for row in rows)]
    lines = [["neurons", "method", *(one.title for one in shown)]]
    lines.append(["---"] * len(lines[0]))
    for (neurons, method), some in groups.items():
        lines.append([neurons, method, *(_text(one, some) for one in shown)])
    return [f"| {' | '.join(line)} |" for line in lines]


def _text(cell: Cell, rows: Sequence[Row]) -> str:
    values = [row[cell.key] for row in rows if row[cell.key] is not None]
    if not values:
        return "–"
    text = format(statistics.fmean(values), cell.form)
    if len(values) > 1:
        text += f" ± {format(statistics.stdev(values), cell.form)}"
    beside = [row[cell.beside] for row in rows if cell.beside and row[cell.beside] is not None]
    if beside:
        text += f" ({format(statistics.fmean(beside), cell.form)})"
    return text


def with_tables(text: str, rows: Sequence[Row], made: Callable[..., list[str]] = table) -> str:
    """A document whose tables, between ``<!-- NAME -->`` and ``<!-- end -->``, are those of the
    sweeps of these names.
    """

    def filled(match: re.Match[str]) -> str:
        lines = made([row for row in rows if row["sweep"] == match[1]])
        return "\n".join([f"<!-- {match[1]} -->", *lines, "<!-- end -->"])

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", filled, text, flags=re.DOTALL)


def main() -> None:
    """Do what is typed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--docs", type=Path)
    chosen = arguments.parse_args()
    rows = read(chosen.folder)
    write(chosen.folder / "results.csv", rows)
    page = claims.page(rows)
    (chosen.folder / "claims.md").write_text(page, encoding="utf-8")
    if chosen.docs:
        write(chosen.docs / "figures" / "results.csv", rows)
        # of the file: its numbers are rounded
        rows = load(chosen.docs / "figures" / "results.csv")
        book = chosen.docs / "results.md"
        book.write_text(with_tables(book.read_text(encoding="utf-8"), rows), encoding="utf-8")
        (chosen.docs / "claims.md").write_text(claims.page(rows), encoding="utf-8")
    print(chosen.folder / "results.csv", chosen.folder / "claims.md")


if __name__ == "__main__":
    main()

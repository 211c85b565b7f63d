"""The tables of ``invset compare``: means by sampler, differences in pairs, means by neuron and
range. They are made of ``runs.csv`` alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from invset.analysis.discover import figures
from invset.analysis.record import DASH, Figure
from invset.report.runs_table import NAMED, SHARED
from invset.report.table import Line, headlines, markdown
from invset.studies.pairs import Difference, difference

Row = Mapping[str, str]

#: How runs ended -> what the table says.
_ENDS = {"reached": "all n", "refused": "can't", "not finite": "not finite"}

#: What a budget counts -> the figure of a run that says what it spent.
_SPENT = {kind: f"meter.{kind}" for kind in ("code_steps", "forwards", "seconds")}


@dataclass(frozen=True)
class Group:
    """Runs of one sampler, of which a table has a line.

    Attributes:
        head: the cells that tell them from others, the sampler first.
        runs: all of them.
    """

    head: tuple[str, ...]
    runs: Sequence[Row]

    @property
    def ended(self) -> list[Row]:
        """Those that means are over: without a budget, the runs that reached n; with one, all that
        ran.
        """
        return [row for row in self.runs if row["status"] == "reached" or _counts(row)]

    @property
    def ends(self) -> str:
        """How they ended, and how often."""
        words = [_end(row) for row in self.runs]
        return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))

    @property
    def spent(self) -> str:
        """Mean share of the budget that was spent; a dash without one."""
        shares = [share for share in map(_share, self.ended) if share is not None]
        return f"{statistics.fmean(shares):.0%}" if shares else DASH


def _counts(row: Row) -> bool:
    return bool(row["budget"]) and row["status"] in ("budget", "unreachable")


def _share(row: Row) -> float | None:
    """Share of its budget that a run spent."""
    kind, _, limit = row["budget"].partition(":")
    spent = value(row, _SPENT[kind]) if kind in _SPENT else None
    return None if spent is None else spent / float(limit)


def _end(row: Row) -> str:
    """How a run ended, in words."""
    if row["status"] in _ENDS:
        return _ENDS[row["status"]]
    share = _share(row)
    if share is not None and share >= 1:
        return "budget"
    return "by itself"


def value(row: Row, key: str) -> float | None:
    """A figure of a run; None where it has none."""
    cell = row.get(key, "")
    number = float(cell) if cell not in ("", None) else math.nan
    return number if math.isfinite(number) else None


def differing(rows: Sequence[Row]) -> list[str]:
    """Columns in which questions differ; what a method or range stands for may differ by name."""
    shared = [column for column in SHARED if len({row[column] for row in rows}) > 1]
    named = [
        column
        for column, name in NAMED.items()
        if len({(row[name], row[column]) for row in rows}) > len({row[name] for row in rows})
    ]
    return shared + named


def grouped(rows: Sequence[Row], head: Sequence[str]) -> list[Group]:
    """Runs by the columns `head`, in the order of their first ones."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in head), []).append(row)
    return [Group(key, runs) for key, runs in groups.items()]


def quality_first() -> list[Figure]:
    """All figures; what samples cost comes behind what they are."""
    return sorted(figures(), key=lambda one: one.key.startswith("meter."))


def by_sampler(rows: Sequence[Row]) -> tuple[list[str], list[Group]]:
    """Headings and groups: a sampler's runs over all neurons, ranges and seeds. Goals are told
    apart from ranges, and so are runs whose questions differ otherwise.
    """
    goal = ["goal"] if any(row["goal"] != "range" for row in rows) else []
    head = ["method", *goal, *(one for one in differing(rows) if one != "asked")]
    return head, grouped(rows, head)


def by_cell(rows: Sequence[Row]) -> tuple[list[str], list[Group]]:
    """Headings and groups: a sampler's runs on one layer's neurons and one range."""
    head = ["method", "layer", "range", *differing(rows)]
    return head, grouped(rows, head)


def table(head: Sequence[str], groups: Sequence[Group]) -> tuple[list[str], list[Line]]:
    """Headings, and lines of means ± standard deviations over the runs of each group."""
    spent = any(group.spent != DASH for group in groups)
    names = [*head, "ended", *(["of the budget"] if spent else [])]
    lines = [
        Line([*group.head, group.ends, *([group.spent] if spent else [])], group.ended)
        for group in groups
    ]
    return names, lines


@dataclass(frozen=True)
class Differences:
    """Samplers beside the baseline.

    Attributes:
        head: headings of the cells that tell groups apart.
        columns: the figures.
        rows: these cells and, for each figure, the difference; None without a pair.
        base: the baseline, with what tells its version from others.
    """

    head: Sequence[str]
    columns: Sequence[Figure]
    rows: Sequence[tuple[tuple[str, ...], Sequence[Difference | None]]]
    base: str

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Header and rows as text; pairs are counted in a cell where they are fewer than the
        most.
        """
        header = [*self.head, "pairs", *(_title(one) for one in self.columns)]
        made = []
        for head, found in self.rows:
            most = max(one.pairs for one in found if one is not None)
            shown = zip(self.columns, found, strict=True)
            made.append([*head, str(most), *(_difference(one, held, most) for one, held in shown)])
        return header, made


def _title(one: Figure) -> str:
    return f"{one.title} ({one.unit})" if one.unit else one.title


def _difference(one: Figure, found: Difference | None, most: int) -> str:
    if found is None:
        return DASH
    sign = "−" if found.mean < 0 else "+" if found.mean else ""
    told = f"{sign}{one.text(abs(found.mean))}"
    if found.deviation is not None:
        told += f" ± {one.text(found.deviation)}"
    notes = [] if found.p is None else ["p < 0.001" if found.p < 0.001 else f"p {found.p:.2g}"]
    if found.pairs != most:
        notes.append(f"{found.pairs} pairs" if found.pairs > 1 else "1 pair")
    return f"{told} ({', '.join(notes)})" if notes else told


def differences(rows: Sequence[Row], baseline: str) -> Differences:
    """Every sampler less the baseline, run by run of the same question."""
    head, groups = by_sampler(rows)
    # of several versions of the baseline, the one that was added last
    at = [place for place, name in enumerate(head) if name not in ("method", "goal")]
    versions = [[group.head[i] for i in at] for group in groups if group.head[0] == baseline]
    wanted = [baseline, *(versions[-1] if versions else [])]
    own = [group for group in groups if [group.head[0], *(group.head[i] for i in at)] == wanted]
    others = [group for group in groups if group not in own]
    lines = [Line(group.head, group.ended) for group in groups]
    columns = [one for one in headlines(quality_first(), lines) if one.form != "s"]
    base = [row for group in own for row in group.ended]
    made = [(group.head, [_pair(one, group.ended, base) for one in columns]) for group in others]
    held = [(names, found) for names, found in made if any(found)]
    return Differences(head, columns, held, " ".join(wanted))


def _pair(one: Figure, rows: Sequence[Row], base: Sequence[Row]) -> Difference | None:
    return difference(_values(one, rows), _values(one, base))


def _values(one: Figure, rows: Sequence[Row]) -> dict[Hashable, float]:
    """Question, without the sampler -> figure."""
    held = ((_question(row), value(row, one.key)) for row in rows)
    return {key: number for key, number in held if number is not None}


def _question(row: Row) -> tuple[str, ...]:
    return tuple(row[column] for column in ("unit", "range", "goal", "seed", "asked", *SHARED))


def refusals(rows: Sequence[Row]) -> list[str]:
    """Why samplers took no part, a sentence for each reason."""
    told = {(row["method"], row["why"]) for row in rows if row["status"] == "refused"}
    return [f"{method}: {why}" for method, why in sorted(told)]


def summarize(rows: Sequence[Row], baseline: str = "") -> list[str]:
    """The tables in Markdown."""
    lines = ["## By sampler", ""]
    lines += markdown(*table(*by_sampler(rows)), quality_first())
    found = differences(rows, baseline)
    if found.rows:
        lines += ["", f"## Differences to {found.base}, in pairs", ""]
        lines += _plain_table(*found.cells())
    lines += ["", "## By layer and range", ""]
    lines += markdown(*table(*by_cell(rows)), quality_first())
    told = refusals(rows)
    return lines + (["", "## Took no part", "", *(f"- {one}" for one in told)] if told else [])


def _plain_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return markdown(header, [Line(row, []) for row in rows], [])


def as_rows(rows: Sequence[Row], baseline: str) -> list[dict[str, Any]]:
    """Rows of ``summary.csv``: of each sampler and figure the mean, standard deviation and number
    of runs, and the difference to the baseline with its pairs and p.
    """
    head, groups = by_sampler(rows)
    found = differences(rows, baseline)
    beside = {
        (key, one.key): pair
        for key, pairs in found.rows
        for one, pair in zip(found.columns, pairs, strict=True)
    }
    made = []
    for group in groups:
        for one in figures():
            values = [] if one.form == "s" else list(_values(one, group.ended).values())
            if values:
                made.append(
                    {
                        **dict(zip(head, group.head, strict=True)),
                        "figure": one.key,
                        "title": one.title,
                        "unit": one.unit,
                        "good": one.good or "",
                        **_statistics(values),
                        **_columns(beside.get((group.head, one.key))),
                    }
                )
    return made


def _statistics(values: Sequence[float]) -> dict[str, Any]:
    spread = statistics.stdev(values) if len(values) > 1 else None
    return {"runs": len(values), "mean": _short(statistics.fmean(values)), "sd": _short(spread)}


def _columns(found: Difference | None) -> dict[str, Any]:
    names: dict[str, Callable[[Difference], Any]] = {
        "difference": lambda one: _short(one.mean),
        "difference_sd": lambda one: _short(one.deviation),
        "pairs": lambda one: one.pairs,
        "higher": lambda one: one.higher,
        "lower": lambda one: one.lower,
        "p": lambda one: _short(one.p),
    }
    return {name: None if found is None else how(found) for name, how in names.items()}


def _short(number: float | None) -> str | None:
    return None if number is None else f"{number:.6g}"

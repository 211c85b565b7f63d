"""The tables, claims and numbers of docs/results.md are those of docs/figures/results.csv, which
``make figures`` writes.
"""

from __future__ import annotations

import re
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import claims  # noqa: E402
import measures  # noqa: E402
import results  # noqa: E402

BOOK = (ROOT / "docs/results.md").read_text(encoding="utf-8")
ROWS = results.load(ROOT / "docs/figures/results.csv")

#: What is no measurement: code, ranges, links, what is counted from, equations and sections.
NO_FIGURE = re.compile(
    r"`[^`]*`|\[[-\d., ]+\]|\]\([^)]*\)|<!--.*?-->|Figures? \d(?:(?:,| and) \d)*|Table \d"
    r"|eq\. \(\d+\)|[sS]ections? \d(?:\.\d)?|[Kknd] = [\d,]+|mini64|fc\d|conv\d|[cC]hannel \d+"
)


def section_of(name: str) -> str:
    """The prose of a section: without its table and code."""
    text = BOOK.split(f"<!-- {name} -->")[0].split("\n## ")[-1]
    after = BOOK.split(f"<!-- {name} -->")[1].split("<!-- end -->")[1].split("\n## ")[0]
    return NO_FIGURE.sub(" ", f"{text}\n{after}".split("\n", 1)[1])


def figures_of(name: str) -> list[float]:
    """Each number of a sweep, its mean over the seeds of a method and question, and shares in
    per cent.
    """
    rows = [row for row in ROWS if row["sweep"] == name]
    numbers: list[float] = []
    for key in results.KEYS:
        values = [row[key] for row in rows if isinstance(row[key], float)]
        groups: dict[Any, list[float]] = {}
        for row in rows:
            if isinstance(row[key], float):
                groups.setdefault((row["method"], row["neurons"]), []).append(row[key])
        values += [statistics.fmean(some) for some in groups.values()]
        numbers += [*values, *(100 * value for value in values)]
    return numbers


SECTIONS = [name for name in re.findall(r"<!-- (\w+) -->", BOOK) if name != "end"]

#: Numbers of the paper, beside which ours are set.
PAPERS = {"table1": {"5.58", "4.82", "4,096", "1.16", "1.22"}}


def test_the_tables_are_those_of_the_rows() -> None:
    assert [*(f"fig{i}" for i in range(1, 10)), "table1"] == SECTIONS
    assert results.with_tables(BOOK, ROWS) == BOOK


def test_the_claims_are_those_of_the_rows() -> None:
    page = (ROOT / "docs/claims.md").read_text(encoding="utf-8")
    assert page == claims.page(ROWS)
    assert "nan" not in page


@pytest.mark.parametrize("name", SECTIONS)
def test_numbers_of_the_prose_are_those_of_the_rows(name: str) -> None:
    known = np.abs(figures_of(name))  # a word has no sign
    unknown = []
    words = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?", section_of(name))
    for word in set(words) - PAPERS.get(name, set()):
        digits = word.replace(",", "").rstrip(".")
        places = len(digits.partition(".")[2])
        if not np.any(np.abs(known - float(digits)) <= 0.5 * 10**-places + 1e-9):
            unknown.append(word)
    assert unknown == []


def test_every_claim_has_runs() -> None:
    """Three neurons and three seeds, but for Figure 9, whose eq. (16) takes too long."""
    for claim in claims.CLAIMS:
        for one in claim.figures.values():
            runs = [r for r in ROWS if (r["sweep"], r["method"]) == (one.sweep, one.method)]
            if one.sweep != "fig9":
                assert len({row["neurons"] for row in runs}) >= 3, (claim.claim, one)
                assert len({row["seed"] for row in runs}) >= 3, (claim.claim, one)
            assert runs, (claim.claim, one)


def test_an_interval_is_students() -> None:
    values = [1.0, 2.0, 4.0]
    rows = [
        {"sweep": "s", "method": "m", "neurons": "a", "seed": i, "x": v}
        for i, v in enumerate(values)
    ]
    told = measures.Measure("s", "m", measures.key("x"), ".3f").text(rows)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert told == f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"


def test_a_ratio_is_of_the_same_neuron_and_seed() -> None:
    rows = [
        {"sweep": "s", "method": method, "neurons": "a", "seed": seed, "x": value}
        for method, seed, value in (("m", 0, 2.0), ("o", 0, 1.0), ("o", 1, 8.0), ("m", 1, 4.0))
    ]
    assert measures.Ratio("s", "m", "o", "x").text(rows) == "1.25"  # of 2 and 0.5

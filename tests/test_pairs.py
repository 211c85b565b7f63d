"""Differences in pairs against SciPy and by hand; fronts, mosaics and words of a comparison."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wilcoxon

from invset.analysis.record import Figure
from invset.config.words import meant
from invset.report.compare_page import _without
from invset.report.compare_table import by_sampler, differences, refusals
from invset.report.mosaic import SIDE, mosaic, stacked
from invset.report.pareto import Point, front, pareto
from invset.report.runs_table import NAMED, QUESTION, SHARED
from invset.studies.pairs import FEWEST, difference


def test_a_difference_is_that_of_pairs() -> None:
    rng = np.random.default_rng(0)
    own = {str(i): float(x) for i, x in enumerate(rng.normal(1, 1, 12))}
    base = {str(i): float(x) for i, x in enumerate(rng.normal(0, 1, 12))}
    found = difference({**own, "alone": 5.0}, base)
    assert found is not None
    each = np.array([own[key] - base[key] for key in own])
    assert (found.pairs, found.mean) == (12, pytest.approx(each.mean()))
    assert found.deviation == pytest.approx(each.std(ddof=1))
    assert found.p == pytest.approx(wilcoxon(each).pvalue)
    assert (found.higher, found.lower) == ((each > 0).sum(), (each < 0).sum())


def test_the_smallest_p_of_six_pairs() -> None:
    # all six higher: of 2^6 signs two are as far out, so p = 2 / 64
    found = difference({i: 1.0 + i for i in range(6)}, dict.fromkeys(range(6), 0.0))
    assert found is not None
    assert found.p == pytest.approx(2 / 64)
    fewer = difference({i: 1.0 + i for i in range(FEWEST - 1)}, dict.fromkeys(range(9), 0.0))
    assert fewer is not None
    assert fewer.p is None


def test_no_pairs_one_pair_and_no_difference() -> None:
    assert difference({"a": 1.0}, {"b": 1.0}) is None
    one = difference({"a": 3.0}, {"a": 1.0})
    assert one is not None
    assert (one.mean, one.deviation, one.p) == (2.0, None, None)
    same = difference(dict.fromkeys("abcdef", 1.0), dict.fromkeys("abcdef", 1.0))
    assert same is not None
    assert (same.mean, same.p, same.higher, same.lower) == (0.0, 1.0, 0, 0)


def row(method: str, seed: int, **other: str) -> dict[str, str]:
    """A run that found 10 samples."""
    base = {"method": method, "layer": "fc8", "neuron": "1", "unit": "fc8:1", "range": "low"}
    base |= {"goal": "range", "seed": str(seed), "status": "budget", "why": ""}
    base |= dict.fromkeys((*SHARED, *NAMED), "same") | {"budget": "code_steps:9"}
    return {**base, "counts.saved": "10", "meter.code_steps": "9", **other}


def test_rows_of_other_questions_make_no_pair() -> None:
    rows = [row("a", 0), row("a", 1), row("b", 0), row("b", 2)]
    rows += [row("c", 0, budget="code_steps:5"), row("d", 0, status="refused", why="it can't")]
    found = differences(rows, "a")
    pairs = {head[0]: each for head, each in found.rows}
    assert {*pairs} == {"b"}  # c has another budget, d no figure
    saved = [one.key for one in found.columns].index("counts.saved")
    held = pairs["b"][saved]
    assert held is not None
    assert held.pairs == 1
    assert refusals(rows) == ["d: it can't"]
    head, groups = by_sampler(rows)
    assert head == ["method", "budget"]
    assert [(group.head[0], group.ends, group.spent) for group in groups] == [
        ("a", "2 budget", "100%"),
        ("b", "2 budget", "100%"),
        ("c", "1 budget", "180%"),
        ("d", "1 can't", "–"),
    ]
    early = by_sampler([row("a", 0, **{"meter.code_steps": "3"})])[1][0]
    assert (early.ends, early.spent) == ("1 by itself", "33%")


COST = Figure("cost", "cost", good="low")
GAIN = Figure("gain", "gain", good="high")


def points(*pairs: tuple[float, float]) -> list[Point]:
    return [Point(f"sampler {i}", x, y, 0.1, 0.1) for i, (x, y) in enumerate(pairs)]


def test_the_front_by_hand() -> None:
    # 1 is beaten by 0 (as good, cheaper); 3 is beaten by all; 2 costs most and gains most
    some = points((1, 5), (2, 5), (3, 9), (4, 1))
    assert front(some, COST, GAIN) == [0, 2]
    assert front(some, GAIN, COST) == [3]  # much of x is good, little of y
    twins = points((1, 5), (1, 5))
    assert front(twins, COST, GAIN) == [0, 1]  # neither beats the other


def test_a_chart_names_all_and_tells_the_front() -> None:
    some = points((1, 5), (1, 5), (100, 0))
    svg = pareto(some, COST, GAIN)
    assert all(svg.count(f">sampler {i}<") == 1 for i in range(3))
    assert "None beats sampler 0, sampler 1 in both" in svg
    assert svg == pareto(some, COST, GAIN)  # the same bytes


def test_a_mosaic_has_every_picture() -> None:
    pictures = np.stack([np.full((3, 32, 32), 10 * i, np.uint8) for i in range(14)])
    image = np.asarray(mosaic(pictures))
    cell = SIDE + 2
    assert image.shape == (2 * cell - 2, 12 * cell - 2, 3)
    for i in range(14):
        line, column = divmod(i, 12)
        y, x = line * cell, column * cell
        assert (image[y : y + SIDE, x : x + SIDE] == 10 * i).all()
    both = stacked([("one", mosaic(pictures)), ("none", "no samples")], "a title")
    assert both.width > image.shape[1]


def test_a_seed_without_samples_says_what_others_have() -> None:
    row = dict.fromkeys(QUESTION, "same") | {"seed": "0", "counts.saved": ""}
    others = [row | {"seed": "1", "counts.saved": "3"}, row | {"seed": "2", "counts.saved": "1"}]
    other = row | {"method": "another", "seed": "1", "counts.saved": "7"}
    assert _without(row, [row, *others, other]) == "seed 0: none; 4 in others"
    assert _without(row, [row, other]) == "no samples"


def test_whole_fractions_replace_those_that_are_there() -> None:
    plain = ["use=[stream]", "fractions.low=[0.1,0.2]", "~fractions.top"]
    assert meant("compare", plain) == plain
    assert meant("compare", ["fractions={}"]) == ["fractions=null", "fractions={}"]
    assert meant("compare", ["goals=[max]"]) == ["goals=[max]", "fractions=null"]
    typed = ["goals=[max]", "fractions={a: [0.1, 0.2]}"]
    assert meant("compare", typed) == [typed[0], "fractions=null", typed[1]]
    assert meant("run", ["perturbed=200", "robust=8"]) == ["perturbed.count=200", "robust.M=8"]

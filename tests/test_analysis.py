"""Analyses of a set of samples, by hand; and one that is added from outside."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
from report_folders import write_run
from sample_sets import sample_set

import invset.analysis
from invset.analysis.beside_real import beside_real
from invset.analysis.codes import codes
from invset.analysis.counts import counts
from invset.analysis.coverage import coverage
from invset.analysis.discover import analyses, figures, measure
from invset.analysis.distances import distances
from invset.analysis.diversity import Diversity
from invset.analysis.meter import meter
from invset.analysis.reached import Reached, reached
from invset.analysis.record import figures_as_json
from invset.analysis.reference import LEVELS, Reference
from invset.analysis.region import region
from invset.analysis.sample_set import Effort
from invset.commands.sweep import join
from invset.core.space import CodePrior
from invset.report import page
from invset.report.run_page import write_report

EFFORT = Effort(
    asked=5, gradient_steps=7, forwards=30, backwards=15, code_steps=20, seconds=1.23456
)
LINE = torch.arange(4.0).unsqueeze(1)


def line(count: int = 100) -> Reference:
    """Image i has activation i, and lies at i on a line."""
    i = torch.arange(float(count)).unsqueeze(1)
    return Reference(i, {"fc8": i}, {"fc8": i.quantile(LEVELS, dim=0)}, {})


def test_counts_and_cost() -> None:
    f = torch.tensor([[0.5], [1.5], [0.0], [1.0]])
    steps = torch.tensor([3, 9, 4, 12])
    origin = torch.tensor([0, 1, 0, 1])
    some = sample_set(
        LINE, activations=f, effort=EFFORT, origins=("seed", "sample"), origin=origin, step=steps
    )
    made = counts(some, None)
    assert (made.asked, made.saved, made.in_range, made.share_in_range) == (5, 4, 3, 0.75)
    assert made.steps_to_seeds == 4
    cost = meter(some, None)
    assert cost is not None
    assert (cost.code_steps_per_sample, cost.gradient_steps, cost.seconds) == (5, 7, 1.235)
    assert meter(sample_set(LINE), None) is None
    assert counts(sample_set(LINE), None).steps_to_seeds is None
    assert math.isnan(counts(sample_set(LINE[:0]), None).share_in_range)


def test_samples_of_several_ranges_are_measured_row_by_row() -> None:
    ranges = [[(0.0, 1.0)], [(2.0, 3.0)]]
    f = torch.tensor([[0.5], [2.5], [2.5], [3.5]])
    some = sample_set(LINE, activations=f, ranges=ranges, row=torch.tensor([0, 0, 1, 1]))
    assert some.inside.tolist() == [True, False, True, False]  # each in its own range
    summary = measure(some, line()).summary
    assert "coverage" not in summary
    assert summary["beside_real"]["real"] is None
    rows = summary["rows"]
    assert [row["ranges"] for row in rows] == [[[0.0, 1.0]], [[2.0, 3.0]]]
    assert [row["counts"]["in_range"] for row in rows] == [1, 1]
    assert [row["diversity"]["mean_pairwise_distance"] for row in rows] == [1, 1]
    assert [row["beside_real"]["in_range"] for row in rows] == [2, 2]
    assert "rows" not in measure(sample_set(LINE), line()).summary


def test_samples_beside_real_images() -> None:
    e = torch.tensor([[0.0], [40.0], [41.0], [80.0], [200.0]])
    f = torch.tensor([[10.0], [20.0], [30.0], [40.0], [999.0]])
    some = sample_set(e, activations=f, ranges=[[(10.0, 70.0)]], effort=EFFORT)
    made = beside_real(some, line())
    assert (made.kind, made.images, made.in_range) == ("in range", 100, 61)
    # 10, 25, 40, 55 and 70 of the line
    assert made.real == Diversity.of(torch.tensor([[10.0], [25.0], [40.0], [55.0], [70.0]]))
    assert made.threshold == 7.5
    assert made.distinct == 3  # 41 is near 40, and 200 is out of range
    assert made.code_steps_per_distinct == pytest.approx(20 / 3)
    assert made.alike == Diversity.of(e)
    # few real images: as many samples
    few = beside_real(some, line(3))
    assert few.alike == Diversity.of(e[:3])
    for alone in (sample_set(e), sample_set(e, units=[None]), sample_set(e, units=[("fc7", 0)])):
        made = beside_real(alone, line() if alone.units != [("fc8", 0)] else None)
        assert (made.kind, made.real, made.distinct) == (None, None, None)
        assert made.alike == Diversity.of(e)


def test_coverage_codes_and_what_was_reached() -> None:
    half = sample_set(LINE, activations=torch.tensor([[0.05], [0.15], [0.16], [0.45]]))
    covered = coverage(half, None)
    assert covered is not None
    assert covered.tenths == pytest.approx(0.3)
    some = sample_set(LINE, codes=torch.tensor([[1.0, -5.0], [2.0, 0.0], [-3.0, 1.0], [9.0, 0.0]]))
    assert codes(some, None).extreme == 4  # between 3 and 5
    assert math.isnan(codes(sample_set(LINE[:0]), None).extreme)
    known = reached(some, line(101))
    assert known is not None
    assert known.real == [pytest.approx([90, 99, 100])]
    assert (known.closest, known.real_images, known.ends) == ([0], 101, [[0, 100]])
    # each neuron by itself: another layer and a direction have no real images
    units = [("fc8", 0), ("fc7", 0), None]
    part = reached(sample_set(LINE, units=units), line(101))
    assert part is not None
    assert (part.real_images, part.real, part.ends) == (101, None, [[0, 100], None, None])
    assert reached(some, None) == Reached([0], 0, None, [None])
    assert reached(sample_set(LINE, closest=None), line()) is None


def test_distances_by_hand() -> None:
    e = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    made = distances(sample_set(e), None)
    assert made is not None
    assert made.nearest.tolist() == pytest.approx([5, 1, 1])
    assert made.mean.tolist() == pytest.approx((e - torch.tensor([2.0, 3.0])).norm(dim=1).tolist())
    assert distances(sample_set(e[:1]), None) is None


def test_the_share_of_codes_in_the_natural_region() -> None:
    ball = CodePrior(torch.zeros(2), torch.eye(2), torch.ones(2), torch.tensor(2.0))
    some = sample_set(LINE, codes=torch.tensor([[2.0, 0], [2.1, 0], [0, 0], [1, 1]]), region=ball)
    made = region(some, None)
    assert made is not None
    assert made.inside == 0.75
    assert region(sample_set(LINE), None) is None


def test_figures_say_what_they_are() -> None:
    known = {one.key: one for one in figures()}
    assert next(iter(known)) == "counts.asked"
    vendi = known["beside_real.alike.vendi"]
    assert vendi.heading == "Vendi score (real images)"
    assert (vendi.beside, vendi.headline) == ("beside_real.real.vendi", True)
    assert known["beside_real.real.vendi"].title == "Vendi score of real images"
    assert (vendi.good, vendi.range, known["counts.share_in_range"].range) == (
        "high",
        (1, None),
        (0, 1),
    )
    assert known["counts.share_in_range"].text(0.756) == "76%"
    assert (known["meter.seconds"].text(1234.5), known["meter.seconds"].text(None)) == (
        "1,234",
        "–",
    )
    assert len(known) == len(figures())


TOY = '''"""A toy."""

from dataclasses import dataclass

from torch import Tensor

from invset.analysis.record import figure, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Toy:
    sum: float = figure("toy sum", "toys", good="high", headline=True)
    share: Tensor = per_sample("share of the toys")


def toy(samples: SampleSet, reference: Reference | None) -> Toy:
    f = samples.activations[:, 0]
    return Toy(f.sum().item(), f / f.sum())
'''


def test_an_analysis_is_a_file_and_a_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(invset.analysis, "__path__", [*invset.analysis.__path__, str(tmp_path)])
    assert "toy" in analyses()
    made = measure(sample_set(LINE), None)
    assert made.summary["toy"] == {"sum": pytest.approx(2)}  # 0, 1/3, 2/3 and 1
    assert made.tensors["toy.share"].tolist() == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2])

    # a run's folder has it, for every sample, on its page and in the table of a sweep
    folder = write_run(tmp_path / "0", 4)
    block = tmp_path / "templates" / "sections" / "toy.html.jinja"
    block.parent.mkdir(parents=True)
    block.write_text("<h2>Toys</h2>\n<p>There are {{ data.sum }}.</p>\n")
    monkeypatch.setattr(page, "FOLDERS", (*page.FOLDERS, tmp_path / "templates"))
    text = write_report(folder).read_text()
    assert "<h2>Toys</h2>" in text
    assert "<dt>Toy sum (toys)</dt>" in text
    assert '<option value="toy-share">share of the toys</option>' in text
    join(tmp_path, report=True)
    (row,) = csv.DictReader((tmp_path / "sweep.csv").read_text().splitlines())
    assert f"There are {row['toy.sum']}." in text
    assert '<th scope="col">toy sum (toys)</th>' in (tmp_path / "report.html").read_text()
    assert figures_as_json(figures())[-1]["key"] == "toy.sum"

"""Confidence by hand, and what a run with niches saves of it."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sample_sets import sample_set
from typed import typed

from invset.analysis.confidence import confidence
from invset.analysis.judge import judge
from invset.analysis.judged import Judged

#: Two units: probabilities 1/4, 1/2, 3/4 of the second.
LOGITS = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [0.0, math.log(3)]])


def test_confidence_by_hand() -> None:
    some = sample_set(torch.zeros(3, 2), logits=LOGITS, labels=["cat", "dog"])
    made = confidence(replace(some, units=[("fc8", 1)]), None)
    assert made is not None
    assert made.probability.tolist() == pytest.approx([0.25, 0.5, 0.75])
    assert (made.median, made.lowest, made.highest) == pytest.approx((0.5, 0.25, 0.75))
    assert made.names == ["dog"] * 3
    assert made.unit.tolist() == [2, 2, 2]
    assert made.seen_as[[0, 2]].tolist() == [1, 2]


def test_confidence_of_niches_by_hand() -> None:
    meant = torch.tensor([0, 1, 0])
    made = confidence(sample_set(torch.zeros(3, 2), logits=LOGITS, meant=meant), None)
    assert made is not None
    assert made.probability.tolist() == pytest.approx([0.75, 0.5, 0.25])
    assert made.names == ["1", "2", "1"]
    assert made.first == pytest.approx(2 / 3 if made.seen_as[1] == 2 else 1 / 3)


def test_where_there_is_no_confidence() -> None:
    some = sample_set(torch.zeros(3, 2))
    assert confidence(some, None) is None
    assert confidence(replace(some, logits=LOGITS), None) is None  # nothing says that it classifies
    assert confidence(replace(some, logits=LOGITS[:, :1], labels=["y"]), None) is None
    none = sample_set(torch.zeros(0, 2), logits=LOGITS[:0], labels=["a", "b"])
    assert confidence(none, None) is None


def test_a_judge_ranks_the_class_of_each_niche() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0]])
    about = {"name": "judge", "weights": "abc", "layer": "fc8"}
    seen = Judged.of(about, torch.zeros(2, 4), logits, [[0], [1], []])
    some = sample_set(torch.zeros(2, 2), judged=seen, meant=torch.tensor([1, 2]))
    made = judge(some, None)
    assert made is not None
    assert made.rank is not None
    assert made.rank.tolist() == [2, 0]  # it knows no class of the third unit


@pytest.mark.parametrize("sampler", ["map_elites", "map_elites_cppn"])
def test_a_run_tells_class_and_confidence_of_every_elite(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["network=mini", "generator=pixels", "robust=0", "neuron=horse", "goal=max"]
    more = ["sampler.generations=6", "sampler.batch=8", "progress=false", "animation=false"]
    folder = f"hydra.run.dir={tmp_path}/run"
    assert typed(monkeypatch, "run", f"sampler={sampler}", *words, *more, folder) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["confidence"]["names"][7:] == ["horse", "ship", "truck"]
    with (tmp_path / "run" / "activations.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["confidence.unit"]) for row in rows] == list(range(1, 11))
    shares = [float(row["confidence.probability"]) for row in rows]
    ordered = sorted(shares)
    assert summary["confidence"]["median"] == pytest.approx((ordered[4] + ordered[5]) / 2, rel=1e-5)
    with (tmp_path / "run" / "optimization.csv").open() as file:
        last = list(csv.DictReader(file))[-1]
    # what the archive holds is what was saved
    assert float(last["fitness_min"]) == pytest.approx(min(shares), rel=1e-3)
    assert float(last["fitness_max"]) == pytest.approx(max(shares), rel=1e-3)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert f"truck {shares[-1]:.2%}" in page
    assert "10 of 10 samples" in summary["sentences"][0]

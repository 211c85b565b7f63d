"""``invset compare``: a row a run, figures beside those of real images, and a table of means."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typed import typed

from invset.commands.compare import summarize

NEURONS = "neurons=[{layer: fc8, neuron: [horse, 9]}, {layer: conv5, neuron: 80}]"


def compare(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> list[dict[str, str]]:
    few = ["use=[stream]", "~fractions.low", "~fractions.top", "n=4", f"out={out}"]
    assert typed(monkeypatch, "compare", *few, *words) == 0
    return list(csv.DictReader((out / "runs.csv").read_text().splitlines()))


def test_the_neurons_that_are_typed_and_no_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = compare(monkeypatch, tmp_path, NEURONS)
    assert [(row["layer"], row["neuron"], row["range"]) for row in rows] == [
        ("fc8", "horse", "middle"),
        ("fc8", "9", "middle"),
        ("conv5", "80", "middle"),
    ]
    for row in rows:
        assert float(row["z2"]) / float(row["z1"]) == pytest.approx(0.75 / 0.6, rel=1e-3)
        assert (row["status"], row["samples"], row["in_range"], row["distinct"]) == (
            "reached",
            "4",
            "1",
            "4",
        )
        assert float(row["code_steps_per_distinct"]) == pytest.approx(
            float(row["code_steps"]) / 4, rel=1e-4
        )
    assert (tmp_path / "summary.md").read_text().splitlines() == summarize(rows)

    # what is there is not computed again, what is new is added
    (tmp_path / "runs.csv").write_text(
        (tmp_path / "runs.csv").read_text().replace(",reached,", ",kept,")
    )
    again = compare(monkeypatch, tmp_path, NEURONS, "seeds=[0,1]")
    assert [row["status"] for row in again] == ["kept"] * 3 + ["reached"] * 3
    assert [row["seed"] for row in again] == ["0"] * 3 + ["1"] * 3


def test_means_are_over_the_runs_that_reached_n() -> None:
    figures = dict.fromkeys(
        (
            "gradient_steps",
            "code_steps_per_distinct",
            "in_range",
            "coverage",
            "mean_distance",
            "nearest",
            "vendi",
        ),
        "1",
    )
    figures |= dict.fromkeys(("real_mean_distance", "real_nearest", "real_vendi", "seconds"), "2")
    base = {"method": "stream", "layer": "fc8", "range": "low", "status": "reached", **figures}
    rows = [
        {**base, "nearest": "4"},
        {**base, "nearest": "6"},
        {**base, "nearest": "100", "status": "budget"},
    ]
    assert (
        summarize(rows)[-1]
        == "| stream | fc8 | low | 3 | 2 of 3 | 1 | 1.0 | 100.0% | 1.00 | 1.0 (2.0) | 5.0 (2.0) |"
        " 1.0 (2.0) | 2.0 |"
    )

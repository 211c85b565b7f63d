"""``invset compare``: a row a run, figures beside those of real images, and a table of means."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import EXAMPLES
from typed import typed

from invset.report.runs_table import NAMED, SHARED, summarize

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
        counted = ("status", "counts.saved", "counts.in_range", "beside_real.distinct")
        assert [row[key] for key in counted] == ["reached", "4", "4", "4"]
        assert float(row["beside_real.code_steps_per_distinct"]) == pytest.approx(
            float(row["meter.code_steps"]) / 4, rel=1e-4
        )
    assert (tmp_path / "summary.md").read_text().splitlines() == summarize(rows)

    # what is there is not computed again, what is new is added
    (tmp_path / "runs.csv").write_text(
        (tmp_path / "runs.csv").read_text().replace(",reached,", ",kept,")
    )
    again = compare(monkeypatch, tmp_path, NEURONS, "seeds=[0,1]")
    assert [row["status"] for row in again] == ["kept"] * 3 + ["reached"] * 3
    assert [row["seed"] for row in again] == ["0"] * 3 + ["1"] * 3


def test_a_sampler_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["--config-dir", str(EXAMPLES), "use=[metropolis]"]
    (row,) = compare(monkeypatch, tmp_path, "neurons=[{layer: fc8, neuron: 8}]", *words)
    assert (row["method"], row["status"], row["counts.in_range"]) == ("metropolis", "reached", "4")
    assert row["meter.backwards"] == "0"
    assert "metropolis" in (tmp_path / "summary.md").read_text()


def test_means_are_over_the_runs_that_reached_n() -> None:
    near = "beside_real.alike.nearest_neighbour"
    base = {"method": "stream", "layer": "fc8", "range": "low", "status": "reached"}
    base |= dict.fromkeys((*SHARED, *NAMED), "same")
    base |= {"counts.saved": "4", "beside_real.real.nearest_neighbour": "2"}
    rows = [
        {**base, near: "4"},
        {**base, near: "6"},
        {**base, near: "100", "status": "budget"},
    ]
    head, _, line = summarize(rows)
    assert head.endswith("| nearest neighbour (units of E) (real images) |")
    assert line == "| stream | fc8 | low | 2 of 3 | 4 ± 0 | 5.00 ± 1.41 (2.00) |"


def test_options_of_a_sampler_that_is_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = "neurons=[{layer: fc8, neuron: horse}]"
    [plain] = compare(monkeypatch, tmp_path / "a", one)
    [never] = compare(monkeypatch, tmp_path / "b", one, "options={stream: {diversity: 0}}")
    # without the diversity a step has one backward pass less
    forwards, backwards = (float(never[f"meter.{word}"]) for word in ("forwards", "backwards"))
    assert forwards == backwards
    assert float(plain["meter.backwards"]) == 2 * float(plain["meter.forwards"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("options={strem: {walk: 0.8}}", "names strem, which use= does not. Did you mean stream?"),
        ("options={stream: 0.8}", "options= holds those of samplers: 'options={stream: {walk: 0.8"),
        ("options=0.8", "options= holds those of samplers: 'options={stream: {walk: 0.8}}', not"),
        ("fractions=.", "fractions= holds ranges by name: 'fractions={low: [0.25"),
        ("fractions.low=[0.4]", "fractions.low must be two numbers, the lower first, not [0.4]"),
        ("options={stream: {wlak: 0.8}}", "no option sampler.wlak. Did you mean sampler.walk?"),
        ("options={stream: {walk: 8}}", "sampler.walk must be a number above 0 and at most 1"),
    ],
)
def test_options_that_no_sampler_has(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    word: str,
    message: str,
) -> None:
    assert typed(monkeypatch, "compare", "use=[stream]", f"out={tmp_path}/a", word) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1


ONE = "neurons=[{layer: fc8, neuron: [horse, 8]}]"  # one neuron by two names


def test_another_question_is_another_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = compare(monkeypatch, tmp_path, ONE, "seeds=[0,0]")
    assert len(rows) == 1
    for word in ("n=5", "fractions.middle=[0.55,0.75]", "options={stream: {walk: 0.8}}"):
        before = len(rows)
        rows = compare(monkeypatch, tmp_path, ONE, word)
        assert len(rows) == before + 1
    assert [row["n"] for row in rows] == ["4", "5", "4", "4"]
    monkeypatch.setattr("invset.commands.compare.__version__", "9.9")
    assert len(compare(monkeypatch, tmp_path, ONE)) == 5
    table = (tmp_path / "summary.md").read_text()
    assert len(table.splitlines()) == 2 + 5
    assert "| version |" in table.splitlines()[0]


DAMAGED = {
    "a line that was cut": lambda text: text[:-30],
    "a spreadsheet's commas": lambda text: text.replace(",", ";"),
    "a column of one's own": lambda text: text.replace("\n", ",mine\n"),
    "a mark at the beginning": lambda text: "\ufeff" + text,
    "a word for a number": lambda text: text.replace(",reached,4", ",reached,four"),
    "nothing": lambda text: "",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        out = tmp_path_factory.mktemp("runs")
        compare(patch, out, ONE)
        return (out / "runs.csv").read_text()


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_table_is_told_and_left(
    kind: str,
    runs: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = tmp_path / "runs.csv"
    table.write_text(DAMAGED[kind](runs), encoding="utf-8")
    before = table.read_bytes()
    words = ["use=[stream]", ONE, "~fractions.low", "~fractions.top", "n=4", f"out={tmp_path}"]
    assert typed(monkeypatch, "compare", *words) == 2
    assert "runs.csv" in capsys.readouterr().err
    assert table.read_bytes() == before


def test_runs_of_an_older_version_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.csv").write_text(
        "method,layer,neuron,range,seed,status,samples\na,b,c,d,0,x,1\n"
    )
    assert typed(monkeypatch, "compare", "use=[stream]", f"out={tmp_path}") == 2
    assert "has the columns of an older version" in capsys.readouterr().err

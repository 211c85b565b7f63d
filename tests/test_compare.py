"""``invset compare``: a row a run, figures beside those of real images, and a table of means."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import EXAMPLES
from PIL import Image
from typed import typed

from invset.problem.problem import Problem
from invset.report.compare_table import summarize
from invset.report.runs_table import NAMED, SHARED
from invset.samplers.random import Random
from invset.studies.study import Sampling

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
    assert (tmp_path / "summary.md").read_text().splitlines() == summarize(rows, "stream")

    # what is there is not computed again, what is new is added
    (tmp_path / "runs.csv").write_text(
        (tmp_path / "runs.csv").read_text().replace(",reached,", ",kept,")
    )
    again = compare(monkeypatch, tmp_path, NEURONS, "seeds=[0,1]")
    assert [row["status"] for row in again] == ["kept"] * 3 + ["reached"] * 3
    assert [row["seed"] for row in again] == ["0"] * 3 + ["1"] * 3


def test_a_channel_is_read_where_it_is_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = "neurons=[{layer: conv5, neuron: 80}, {layer: conv5, neuron: 80, position: max}]"
    words = ["ranges={some: [1, 5]}", places, "use=[stream,random]", "n=2", "budget=code_steps:60"]
    words += ["generator=spectrum", "generator.size=32", f"out={tmp_path}"]
    assert typed(monkeypatch, "compare", *words) == 0
    rows = csv.DictReader((tmp_path / "runs.csv").read_text().splitlines())
    assert {row["unit"] for row in rows} == {"conv5:80", "conv5:80 at max"}
    told = capsys.readouterr().out
    assert told.splitlines()[-1] == str(tmp_path / "report.html")
    # of robust neurons it is told what other samplers fit
    note = "and random optimised nothing else: such samples may fit these views alone."
    assert note in told
    text = (tmp_path / "report.html").read_text()
    assert note in text
    assert "<title>2 samplers on 2 neurons" in text
    assert "conv5:80 at max" in text
    bad = ["neurons=[{layer: conv5, neuron: 80, position: here}]", "use=[random]"]
    assert typed(monkeypatch, "compare", *bad, f"out={tmp_path}") == 2
    assert "position must be" in capsys.readouterr().err
    # shares of real images are known at the centre alone
    bad = ["neurons=[{layer: conv5, neuron: 80, position: max}]", "use=[random]"]
    assert typed(monkeypatch, "compare", *bad, f"out={tmp_path}") == 2
    assert "conv5 is read at max; type ranges= or quantiles=" in capsys.readouterr().err


def test_a_sampler_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["--config-dir", str(EXAMPLES), "use=[metropolis]"]
    (row,) = compare(monkeypatch, tmp_path, "neurons=[{layer: fc8, neuron: 8}]", *words)
    assert (row["method"], row["status"], row["counts.in_range"]) == ("metropolis", "reached", "4")
    assert row["meter.backwards"] == "0"
    command = json.loads((tmp_path / "compare.json").read_text())["command"]
    assert command.startswith("invset compare --config-dir ")
    assert Path(command.split()[3]).resolve() == EXAMPLES.resolve()
    assert "metropolis" in (tmp_path / "summary.md").read_text()


def test_an_edited_sampler_is_another_question(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    monkeypatch.syspath_prepend(own)
    (own / "sampler").mkdir(parents=True)
    (own / "sampler" / "mine.yaml").write_text("_target_: edited_sampler.Mine\n")
    mine = own / "edited_sampler.py"
    mine.write_text("from invset.samplers.random import Random as Mine\n")
    words = ["--config-dir", str(own), "use=[mine,random]", "ranges={any: [-90,90]}"]
    words += ["neurons=[{neuron: 8}]", f"out={tmp_path}/out", "n=2", "judge=null"]
    assert typed(monkeypatch, "compare", *words) == 0
    first = list(csv.DictReader((tmp_path / "out" / "runs.csv").read_text().splitlines()))
    assert "there already" not in capsys.readouterr().err

    mine.write_text(mine.read_text() + "# another temperature\n")
    assert typed(monkeypatch, "compare", *words) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "runs.csv").read_text().splitlines()))
    assert rows[:2] == first
    assert [row["method"] for row in rows] == ["mine", "random", "mine"]
    assert rows[2]["sampler"] != rows[0]["sampler"]
    assert "1 of 2 runs were there already in" in capsys.readouterr().err


def test_means_are_over_the_runs_that_reached_n() -> None:
    near = "beside_real.alike.nearest_neighbour"
    base = {"method": "stream", "layer": "fc8", "range": "low", "goal": "range"}
    base |= {"unit": "fc8:1", "seed": "0", "status": "reached"}
    base |= dict.fromkeys((*SHARED, *NAMED), "same") | {"budget": ""}
    base |= {"counts.saved": "4", "beside_real.real.nearest_neighbour": "2"}
    rows = [
        {**base, near: "4"},
        {**base, near: "6"},
        {**base, near: "100", "status": "budget"},
    ]
    lines = summarize(rows)
    head, _, line = lines[lines.index("## By layer and range") + 2 :]
    assert head.endswith("| nearest neighbour (units of E) (real images) |")
    ended = "2 all n, 1 by itself"
    assert line == f"| stream | fc8 | low | {ended} | 4 ± 0 | 5.00 ± 1.41 (2.00) |"
    assert lines[4] == f"| stream | {ended} | 4 ± 0 | 5.00 ± 1.41 (2.00) |"
    # under a budget all that ran count: 4, 6 and 100
    spent = [{**row, "budget": "code_steps:9", "meter.code_steps": "9"} for row in rows]
    last = summarize(spent)[-1]
    assert last.startswith("| stream | fc8 | low | 2 all n, 1 budget | 100% | 4 ± 0 |")
    assert last.endswith("| 36.7 ± 54.9 (2.00) | 9 ± 0 |"), "what samples cost stands last"


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
        ("fractions=.", "fractions= holds ranges by name: 'fractions={one: [0.25,0.4]}'"),
        ("fractions={}", "no range and no goal was given; type for example 'fractions={middle: "),
        ("ranges={low: [4,3]}", "ranges.low is no range: z1 must be below z2"),
        ("quantiles={up: [0.5,1.5]}", "quantiles.up must lie between 0 and 1, not [0.5, 1.5]"),
        ("goals=[mix]", "goals= is a list of max and min, not 'mix'. Did you mean"),
        (
            "budget=code_step:5",
            "as budget=code_steps:5000, not code_step:5. Did you mean",
        ),
        ("budget=seconds:0", "budget= is a kind and a number above 0"),
        ("baseline=two_stage", "baseline=two_stage is not in use=. It has stream"),
        ("options={stream: {n: 5}}", "but all samplers have the same; type n=5"),
        ("pictures=-1", "pictures must be a whole number of at least 0"),
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
    words = ("n=5", "fractions.middle=[0.55,0.75]", "options={stream: {walk: 0.8}}")
    for word in words:
        before = len(rows)
        rows = compare(monkeypatch, tmp_path, ONE, word)
        assert len(rows) == before + 1
    assert [row["n"] for row in rows] == ["4", "5", "4", "4"]
    monkeypatch.setattr("invset.commands.compare_parts.__version__", "9.9")
    assert len(compare(monkeypatch, tmp_path, ONE)) == 5
    table = (tmp_path / "summary.md").read_text()
    lines = table.split("## By layer and range\n\n")[1].splitlines()
    assert len(lines) == 2 + 5
    assert "| version |" in lines[0]


DAMAGED = {
    "a line that was cut": lambda text: text[:-30],
    "a spreadsheet's commas": lambda text: text.replace(",", ";"),
    "a column of one's own": lambda text: text.replace("\n", ",mine\n"),
    "a mark at the beginning": lambda text: "\ufeff" + text,
    "a word for a number": lambda text: text.replace(",reached,,4", ",reached,,four"),
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


HORSE = ["neurons=[{neuron: horse}]", "n=4"]


def test_goals_budgets_and_samplers_that_can_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One page of ranges and goals: who can't is told, who ends early too, and pairs are paired."""
    words = ["use=[random,stream]", "goals=[max]", "fractions={middle: [0.6, 0.75]}", *HORSE]
    words += ["budget=forwards:45", "baseline=random", "options={random: {K: 4}}", "seeds=[0,1]"]
    assert typed(monkeypatch, "compare", *words, f"out={tmp_path}") == 0
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert [(row["method"], row["range"], row["seed"]) for row in rows] == [
        (method, cell, seed)
        for cell in ("middle", "max")
        for seed in "01"
        for method in ("random", "stream")
    ]
    ran = [row for row in rows if row["status"] != "refused"]
    assert {(row["method"], row["goal"]) for row in rows} - {
        (row["method"], row["goal"]) for row in ran
    } == {("stream", "max")}
    for row in ran:
        assert row["z1"] == "" or row["goal"] == "range"
        # a batch of 4 draws, or of at most 4 codes and their neighbours
        spent = float(row["meter.forwards"])
        assert spent < 45 + 4 or row["method"] == "stream"
        assert spent >= 45 or row["status"] == "reached"
        assert (row["objective.best"] != "") == (row["goal"] == "max")
    table = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "- stream: it samples ranges, and has no goal=max" in table
    assert "## Differences to random, in pairs" in table
    assert "| stream | range | 2 |" in table
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('<svg role="img" aria-label="samplers by') >= 2
    assert "it samples ranges, and has no goal=max" in page
    assert page.count("data:image/webp") >= 1
    held = list(csv.DictReader((tmp_path / "summary.csv").read_text().splitlines()))
    [own] = [
        one
        for one in held
        if (one["method"], one["goal"]) == ("stream", "range") and one["figure"] == "counts.saved"
    ]
    saved = {
        (row["method"], row["seed"]): float(row["counts.saved"])
        for row in ran
        if row["goal"] == "range"
    }
    each = [saved["stream", seed] - saved["random", seed] for seed in "01"]
    assert (own["pairs"], own["p"]) == ("2", "")
    assert float(own["difference"]) == pytest.approx(sum(each) / 2)


def stripped(text: str) -> list[dict[str, str]]:
    """Rows without what a clock measured."""
    rows = list(csv.DictReader(text.splitlines()))
    return [{**row, "meter.seconds": ""} for row in rows]


def test_a_comparison_that_was_killed_goes_on_to_the_same_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["use=[stream,random]", "ranges={warm: [10,12]}", *HORSE, "budget=code_steps:40"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert typed(monkeypatch, "compare", *words, "seeds=[0,1]", f"out={whole}") == 0
    real = Sampling.run
    calls = []

    def killed(self: Any, *given: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Sampling, "run", killed)
        assert typed(patch, "compare", *words, "seeds=[0,1]", f"out={broken}") == 130
    assert len(stripped((broken / "runs.csv").read_text())) == 2
    assert typed(monkeypatch, "compare", *words, "seeds=[0,1]", f"out={broken}") == 0
    assert stripped((broken / "runs.csv").read_text()) == stripped((whole / "runs.csv").read_text())
    names = sorted(one.name for one in (whole / "pictures").iterdir())
    assert names == sorted(one.name for one in (broken / "pictures").iterdir())
    for name in names:
        assert (whole / "pictures" / name).read_bytes() == (broken / "pictures" / name).read_bytes()
    # an interrupt within a run keeps nothing of it
    with monkeypatch.context() as patch:
        patch.setattr(Random, "step", interrupted)
        assert typed(patch, "compare", *words, "seeds=[2]", f"out={broken}") == 130
    assert {row["status"] for row in stripped((broken / "runs.csv").read_text())} <= {
        "reached",
        "budget",
        "unreachable",
    }

    # the page and tables are made anew of the folder alone
    before = {name: (whole / name).read_bytes() for name in ("report.html", "summary.csv")}
    (whole / "report.html").unlink()
    assert typed(monkeypatch, "report", str(whole)) == 0
    assert before == {name: (whole / name).read_bytes() for name in before}


def interrupted(*given: Any) -> Any:
    raise KeyboardInterrupt


def test_a_table_is_compared_by_quantiles_of_natural_codes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "own_rows.py").write_text(ROWS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["network=table", "generator=table", "network.module._target_=own_rows.build"]
    words += ["network.medium.columns=[a,b,c]", "encoder='0'", "neurons=[{neuron: 1}]", "n=5"]
    words += ["network.medium.bounds={a: [0,1], b: [0,1], c: [0,1]}", "use=[stream,random]"]
    words += ["budget=code_steps:60", "out=out"]
    assert typed(monkeypatch, "compare", *words, "quantiles={upper: [0.7, 0.9]}") == 0
    rows = list(csv.DictReader((tmp_path / "out/runs.csv").read_text().splitlines()))
    # a + b + c of uniform numbers: quantiles of the Irwin-Hall distribution, by 1000 draws
    for row in rows:
        assert float(row["z1"]) == pytest.approx(1.77, abs=0.06)
        assert float(row["z2"]) == pytest.approx(2.16, abs=0.06)
        assert row["status"] == "reached"
        assert row["counts.in_range"] == "5"
    assert typed(monkeypatch, "compare", *words, "out=other") == 2
    assert typed(monkeypatch, "compare", *words, "out=other", "ranges={middle: [1, 2]}") == 0


ROWS = """
import torch
from torch import nn
def build():
    unit = nn.Linear(3, 1, bias=False)
    unit.weight.data = torch.ones(1, 3)
    return nn.Sequential(nn.Identity(), unit)
"""


def test_real_inputs_go_to_the_samplers_that_look_at_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "real").mkdir()
    for number in range(6):
        noise = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"real/{number}.png")
    options = "options={multifaceted: {steps: 4, facets: 2, K: 2}, gradient: {steps: 4, K: 2}}"
    words = ["use=[multifaceted,gradient]", "goals=[max]", "fractions={}", "judge=null", options]
    words += ["neurons=[{neuron: horse}]", "n=2", f"out={tmp_path}/out"]
    assert typed(monkeypatch, "compare", *words, f"images={tmp_path}/real") == 0
    rows = list(csv.DictReader((tmp_path / "out/runs.csv").read_text().splitlines()))
    assert {row["method"]: row["counts.saved"] for row in rows} == {
        "multifaceted": "2",
        "gradient": "2",
    }
    # without them one is refused, which is another question than the run that had them
    assert typed(monkeypatch, "compare", *words) == 0
    rows = list(csv.DictReader((tmp_path / "out/runs.csv").read_text().splitlines()))
    refused = [row["why"] for row in rows if row["status"] == "refused"]
    assert (len(rows), len(refused)) == (4, 1)
    assert "needs real inputs" in refused[0]
    bad = ["use=[gradient]", *words[1:4], *words[5:], f"images={tmp_path}/real"]
    assert typed(monkeypatch, "compare", *bad) == 2
    assert "looks at real inputs; leave images= out" in capsys.readouterr().err
    assert typed(monkeypatch, "compare", "use=[stream]", "limit=3", f"out={tmp_path}/x") == 2
    assert "limit= is of images=" in capsys.readouterr().err


def test_networks_see_what_a_samplers_file_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []
    made = Problem.__init__

    def noted(self: Problem, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        seen.append(options.get("eight_bit"))

    monkeypatch.setattr(Problem, "__init__", noted)
    words = [*HORSE, "judge=null", "ranges={low: [-9, 9]}", "fractions={}"]
    words += ["options={paper: {inner_steps: 1, K: 2}}", f"out={tmp_path}"]
    assert typed(monkeypatch, "compare", "use=[paper,stream]", *words) == 0
    assert seen[-2:] == [False, True]

"""Sweeps as tables, and the queries of docs/data.md: pandas and DuckDB give the same answers."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_folders import write_run
from safetensors.numpy import load_file
from test_report_sweep import write_job
from typed import typed

from invset.commands.collect import main
from invset.errors import InvsetError
from invset.files import datasets
from invset.files.ledger import HOME
from invset.report.collected import jobs_in, run_rows

DOCUMENT = Path(__file__).parents[1] / "docs" / "data.md"

NEURONS = ("fc8:8 horse", "fc8:9 ship")


def tell_nearest(path: Path) -> None:
    """Add what an analysis says of each sample: the second is farthest from the others."""
    head, *lines = path.read_text().splitlines()
    told = [f"{line},{(3.0, 7.5)[i == 1]}" for i, line in enumerate(lines)]
    path.write_text("\n".join([f"{head},distances.nearest", *told]) + "\n")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two neurons, two ranges and two samplers; one job failed, one did not find all."""
    folder = tmp_path_factory.mktemp("sweep") / "animals"
    number = 0
    for sampler in ("stream", "two_stage"):
        for name in NEURONS:
            for z1 in (2.0, 4.0):
                words = ["network=mini", f"sampler={sampler}", f"neuron={name.split()[1]}"]
                words.append(f"range=[{z1:g},{z1 + 2:g}]")
                run = {"names": (name,), "ranges": ((z1, z1 + 2),), "n": 3 + number}
                if number == 5:
                    write_job(folder / "5", words, "z1 must be below z2")
                else:
                    write_job(folder / str(number), words, **run)
                    tell_nearest(folder / str(number) / "activations.csv")
                number += 1
    short = folder / "6" / "summary.json"
    summary = json.loads(short.read_text())
    summary["counts"] |= {"asked": 50}
    summary["status"] = "budget"
    short.write_text(json.dumps(summary))
    return folder


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_sample_and_a_row_a_run(
    sweep: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = [str(sweep), f"out={tmp_path}/s.csv", f"runs={tmp_path}/r.csv"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert caplog.messages == ["1 of 8 runs have no result"]
    samples, runs = read(tmp_path / "s.csv"), read(tmp_path / "r.csv")
    assert told.out == f"{tmp_path}/s.csv: {len(samples)} samples\n{tmp_path}/r.csv: 8 runs\n"
    assert len(samples) == sum(range(3, 11)) - 8
    of_third = [row for row in samples if row["job"] == "3"]
    there = read(sweep / "3" / "activations.csv")
    assert [row["activation"] for row in of_third] == [row["fc8:9 ship"] for row in there]
    before = [row["fc8:9 ship before 8 bits"] for row in there]
    assert [row["activation_before"] for row in of_third] == before
    first = of_third[0]
    assert (first["neuron"], first["z1"], first["z2"]) == ("fc8:9 ship", "4.0", "6.0")
    assert (first["option.sampler"], first["option.range"]) == ("stream", "[4,6]")
    assert "option.network" not in first  # alike for all
    assert Path(first["picture"]).is_file()
    assert runs[5]["status"] == "failed"
    assert runs[5]["reason"] == "z1 must be below z2"
    assert (runs[6]["status"], runs[6]["counts.asked"]) == ("budget", "50")
    assert float(runs[3]["diversity.vendi"]) == 12.34


def test_codes_are_lists(sweep: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert main([str(sweep), f"out={tmp_path}/s.parquet", "codes=true"]) == 0
    table = parquet.read_table(tmp_path / "s.parquet")
    codes = [
        row["codes"] for row in table.select(["job", "codes"]).to_pylist() if row["job"] == "2"
    ]
    assert np.array_equal(
        np.array(codes, np.float32), load_file(sweep / "2" / "samples.safetensors")["codes"]
    )
    assert table.schema.field("in_range").type == "bool"
    assert table.schema.field("step").type == "int64"
    assert table.schema.field("activation").type == "double"
    # the same table as CSV, but for the codes
    assert main([str(sweep), f"out={tmp_path}/s.csv"]) == 0
    rows = read(tmp_path / "s.csv")
    told = table.drop_columns("codes").to_pylist()
    plain = [{k: "" if v is None else str(v) for k, v in row.items()} for row in told]
    assert plain == rows


def test_ladders_intersections_and_runs(tmp_path: Path) -> None:
    ranges = ((2.0, 4.0), (4.0, 6.0))
    write_run(tmp_path / "ladder", 4, ranges=ranges, cells=[[2, 0], [1, -1]])
    write_run(tmp_path / "both", 3, names=NEURONS, ranges=ranges)
    out = tmp_path / "s.csv"
    assert main([str(tmp_path / "ladder"), str(tmp_path / "both"), f"out={out}"]) == 0
    rows = read(out)
    # cells: the first rung has samples 3 and 1, the second has sample 2; 4 is in none
    assert [row["z1"] for row in rows[:4]] == ["2.0", "4.0", "2.0", ""]
    assert [row["job"] for row in rows] == [""] * 7
    last = rows[4]
    assert (last["neuron"], last["neuron_2"], last["z1_2"]) == (*NEURONS, "4.0")
    there = read(tmp_path / "both" / "activations.csv")
    assert last["activation_2"] == there[0]["fc8:9 ship"]


def test_jobs_that_have_not_begun_are_rows(tmp_path: Path) -> None:
    home = tmp_path / HOME
    home.mkdir()
    for name in ("files.jsonl", "jobs.jsonl"):
        (home / name).touch()
    head = {"plan": "a", "begun": 0, "command": ["run", "-m"]}
    jobs = [{"identity": str(i), "words": [f"neuron={i}"]} for i in range(2)]
    (home / "plan.jsonl").write_text("\n".join(map(json.dumps, [head, *jobs])))
    rows = run_rows(jobs_in(tmp_path))
    assert [(row["status"], row["option.neuron"]) for row in rows] == [
        ("not begun", 0),
        ("not begun", 1),
    ]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["{}"], "needs a folder, and out= or runs="),
        (["out=a.csv"], "needs a folder, and out= or runs="),
        (["{}", "out=a.txt"], "neither .parquet nor .csv"),
        (["{}", "out=a.csv", "codes=true"], "holds no lists of codes"),
        (["{}", "runs=a.csv", "codes=true"], "codes= is a column of the samples"),
        (["{}", "out=a.csv", "codes=yes"], "codes is true or false, not yes"),
        (["{}", "uot=a.csv"], "did you mean out"),
        (["{}", "--all", "out=a.csv"], "has no option --all"),
        (["{}/none", "out=a.csv"], "there is no folder"),
        (["{}/0/samples", "out=a.csv"], "holds no run and no sweep"),
        (["{}", "out={}"], "neither .parquet nor .csv"),
    ],
)
def test_what_cannot_be_collected(
    words: list[str],
    reason: str,
    sweep: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, "collect", *(word.format(sweep) for word in words)) == 2
    assert re.search(reason, capsys.readouterr().err, re.IGNORECASE)
    assert list(tmp_path.iterdir()) == []


def test_without_pyarrow(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(datasets.importlib, "import_module", missing)
    with pytest.raises(InvsetError, match=r"pip install 'invset\[data\]'"):
        main([str(sweep), f"out={tmp_path}/s.parquet"])
    assert main([str(sweep), f"out={tmp_path}/s.csv"]) == 0


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a", 3)
    (tmp_path / "a" / "activations.csv").write_text("sample,origin\n1,seed\n")
    with pytest.raises(InvsetError, match=r"activations\.csv"):
        main([str(tmp_path / "a"), f"out={tmp_path}/s.csv"])
    assert not list(tmp_path.glob("*.csv"))
    assert not list(tmp_path.glob(".part*"))


def test_straight_from_a_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["network=mini", "neuron=ship", "z1=2", "z2=5", "K=2", "n=2", "animation=false"]
    words += ["report=false", "judge=null", "progress=false", f"collect={tmp_path}/s.csv"]
    assert typed(monkeypatch, "run", "-m", *words, f"hydra.sweep.dir={tmp_path}/a") == 0
    assert [row["neuron"] for row in read(tmp_path / "s.csv")] == ["fc8:9 ship"] * 2


# the document

TEXT = DOCUMENT.read_text(encoding="utf-8")
QUERIES = re.findall(
    r"^### (\d+)\. (.+?)\n.*?^```python\n(.*?)^```\n\n^```sql\n(.*?)^```", TEXT, re.M | re.S
)


@pytest.fixture(scope="module")
def tables(sweep: Path) -> Path:
    for name in ("pyarrow", "pandas", "duckdb"):
        pytest.importorskip(name)
    folder = sweep.parent
    main([str(sweep), f"out={folder}/samples.parquet", f"runs={folder}/runs.parquet"])
    return folder


def test_there_are_ten_queries() -> None:
    assert [int(number) for number, *_ in QUERIES] == list(range(1, 11))


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[0])
def test_pandas_and_duckdb_agree(
    query: tuple[str, str, str, str], tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    monkeypatch.chdir(tables)
    [begin] = re.findall(r"^```python\n(import pandas\n.*?)^```", TEXT, re.M | re.S)
    names: dict[str, Any] = {}
    exec(begin + query[2], names)
    ours = names["answer"].reset_index(drop=True)
    theirs = duckdb.sql(query[3]).df()
    assert len(ours) > 0
    assert list(ours.columns) == list(theirs.columns)
    for name in ours.columns:
        a, b = ours[name].to_numpy(), theirs[name].to_numpy()
        if a.dtype.kind in "fiub":
            assert np.allclose(a.astype(float), b.astype(float), equal_nan=True), name
        else:
            assert list(a) == list(b), name


def test_answers_that_are_known(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    monkeypatch.chdir(tables)
    answers = {number: duckdb.sql(sql).fetchall() for number, _, _, sql in QUERIES}
    # job i has 3 + i samples; horse is 0, 1, 4 and 5, of which 5 failed
    assert answers["1"] == [("fc8:8 horse", 3 + 4 + 7), ("fc8:9 ship", 5 + 6 + 9 + 10)]
    assert answers["2"] == [("5", "failed", "z1 must be below z2")]
    second = [(str(i), f"{tables}/animals/{i}/samples/00002.png") for i in (0, 1, 2, 3, 4, 6, 7)]
    assert answers["7"] == second
    assert answers["9"] == [
        ("fc8:8 horse", 2.0, 3, 7),
        ("fc8:8 horse", 4.0, 4, None),
        ("fc8:9 ship", 2.0, 5, 9),
        ("fc8:9 ship", 4.0, 6, 10),
    ]
    assert answers["10"] == [("fc8:9 ship", 2.0, 4.0, 9)]

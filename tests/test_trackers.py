"""Trackers of experiments, each read back with its own reader; and what becomes of a run whose
tracker fails.
"""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typed import typed

from invset.commands import tracker, tracker_tensorboard

WORDS = ["network=mini", "z1=2", "z2=6", "K=2", "n=2", "judge=null", "animation=false"]
WORDS += ["progress=false"]

#: The packages that are here.
HERE = [name for name in ("mlflow", "wandb", "tensorboard") if find_spec(name)]


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """No network, and no words to a terminal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # what MLflow has without a database
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        yield


def sweep(patch: pytest.MonkeyPatch, home: Path) -> int:
    patch.chdir(home)
    words = [*WORDS, "neuron=ship,no_such", f"hydra/callbacks=[{','.join(HERE)}]"]
    own = {
        "mlflow": f"uri={(home / 'mlruns').as_uri()}",
        "wandb": "mode=offline",
        "tensorboard": "dir=events",
    }
    words += [f"hydra.callbacks.{name}.{own[name]}" for name in HERE]
    return typed(patch, "run", "-m", *words, f"hydra.sweep.dir={home / 'animals'}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a sweep of two jobs, one of which fails, typed twice."""
    if not HERE:
        pytest.skip("needs an extra: mlflow, wandb or tensorboard")
    home = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        assert sweep(patch, home) == 2
        assert sweep(patch, home) == 2
    return home


@pytest.fixture
def row(home: Path) -> dict[str, str]:
    """The row of the job that did not fail."""
    with (home / "animals" / "sweep.csv").open(encoding="utf-8") as file:
        return next(row for row in csv.DictReader(file) if row["status"] == "reached")


def needs(name: str) -> None:
    if name not in HERE:
        pytest.skip(f"needs the extra {name}")


def test_mlflow(home: Path, row: dict[str, str]) -> None:
    needs("mlflow")
    from mlflow import MlflowClient

    client = MlflowClient((home / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("invset")
    assert experiment is not None
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert runs.keys() == {"animals", "0", "1"}  # a job is logged once
    assert [runs[name].info.status for name in ("animals", "0", "1")] == [
        "FINISHED",
        "FINISHED",
        "FAILED",
    ]
    parent = runs["animals"].info.run_id
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in "01"} == {parent}
    assert runs["0"].data.params["sampler.K"] == "2"
    assert runs["0"].data.tags["neurons"] == row["neurons"]
    assert "no_such" in runs["1"].data.tags["reason"]
    figures = runs["0"].data.metrics
    assert figures == {key: float(row[key]) for key in figures}
    assert figures["meter.code_steps"] > 0
    kept = {one.path for one in client.list_artifacts(runs["0"].info.run_id)}
    assert kept == {"samples.png", "report.html", "summary.json"}
    kept = {one.path for one in client.list_artifacts(parent)}
    assert kept == {"sweep.csv", "sweep.png", "report.html"}


def records(file: Path) -> Iterator[Any]:
    """What a run of wandb wrote: LevelDB's log format, 7 bytes of its own before it."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 < len(data):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15  # the rest of a block is too short for a head
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # the whole of a record, or its last part
            yield Record.FromString(whole)
            whole = b""


def test_wandb(home: Path, row: dict[str, str]) -> None:
    needs("wandb")
    runs = {}
    for file in (home / "outputs" / "wandb").glob("offline-run-*/*.wandb"):
        found = [*records(file)]
        run = next(one.run for one in found if one.HasField("run"))
        assert run.display_name not in runs  # a job is logged once
        options = {one.key: json.loads(one.value_json) for one in run.config.update}
        updates = [u for one in found if one.HasField("summary") for u in one.summary.update]
        summary = {u.key or ".".join(u.nested_key): json.loads(u.value_json) for u in updates}
        codes = [one.exit.exit_code for one in found if one.HasField("exit")]
        files = {path.name for path in file.parent.joinpath("files").rglob("*")}
        runs[run.display_name] = (run.run_group, options, summary, codes, files)
    assert runs.keys() == {"0", "1"}
    group, options, summary, codes, files = runs["0"]
    assert group == runs["1"][0] == str(home / "animals")
    assert (options["sampler.K"], options["neurons"], codes) == ("2", row["neurons"], [0])
    assert summary["meter.code_steps"] == float(row["meter.code_steps"])
    assert {"report.html", "summary.json"} <= files
    assert any(name.startswith("samples.png") for name in files)
    assert "no_such" in runs["1"][1]["reason"]
    assert runs["1"][3] == [1]


def test_tensorboard(home: Path, row: dict[str, str]) -> None:
    needs("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folders = sorted((home / "events" / home.name / "animals").iterdir())
    assert [folder.name for folder in folders] == ["0", "1"]
    # logged once: PyTorch writes the options and figures to a file of their own
    assert {len([*folder.glob("events.*")]) for folder in folders} == {2}
    job, failed = (EventAccumulator(str(folder)).Reload() for folder in folders)
    figures = {name: job.Scalars(name)[0].value for name in job.Tags()["scalars"]}
    assert figures == pytest.approx({key: float(row[key]) for key in figures}, rel=1e-6)
    assert figures["meter.code_steps"] > 0
    assert job.Tags()["images"] == ["samples.png"]
    assert job.Tensors("sampler.K/text_summary")[0].tensor_proto.string_val == [b"2"]
    (reason,) = failed.Tensors("reason/text_summary")[0].tensor_proto.string_val
    assert b"no_such" in reason


def test_a_tracker_that_fails_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def log(self: Any, job: Any) -> None:
        raise ConnectionError("the server is away")

    monkeypatch.setattr(tracker, "find_spec", lambda name: True)
    monkeypatch.setattr(tracker_tensorboard.TensorboardTracker, "log", log)
    words = [*WORDS, "report=false", "neuron=ship", "hydra/callbacks=tensorboard"]
    assert typed(monkeypatch, "run", *words, f"hydra.run.dir={tmp_path / 'a'}") == 0
    assert (tmp_path / "a" / "samples.png").is_file()
    told = "the results are kept, but tensorboard has not logged the job (the server is away)"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mlflow", "wandb", "tensorboard"])
def test_a_tracker_that_is_not_installed(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tracker, "find_spec", lambda name: None)
    words = [*WORDS, "neuron=ship", f"hydra/callbacks={name}", f"hydra.run.dir={tmp_path / 'a'}"]
    assert typed(monkeypatch, "run", *words) == 2
    assert f"type pip install 'invset[{name}]'" in capsys.readouterr().err
    assert not (tmp_path / "a" / "summary.json").exists()


def test_a_mode_that_wandb_has_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tracker, "find_spec", lambda name: True)
    words = [*WORDS, "neuron=ship", "hydra/callbacks=wandb", "hydra.callbacks.wandb.mode=of"]
    assert typed(monkeypatch, "run", *words, f"hydra.run.dir={tmp_path / 'a'}") == 2
    assert "mode is online, offline or null, not 'of'" in capsys.readouterr().err

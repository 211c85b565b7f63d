"""Jobs in processes of a launcher: one that is killed, one that is preempted, and GPUs that jobs
share.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from filelock import FileLock
from hydra.errors import MissingConfigException
from test_sweep_again import results, rows
from typed import typed

from invset.commands import gpu_slots
from invset.commands.gpu_slots import gpu_slot
from invset.commands.status import standings
from invset.config.mistakes import one_sentence
from invset.files.ledger import HOME, Ledger

#: Long enough for a signal to come in time.
WORDS = ["network=mini", "z1=2", "z2=6", "K=4", "n=30", "judge=null", "report=false"]
WORDS += ["animation=false", "progress=false", "checkpoint_seconds=0", "neuron=ship"]


def begun(folder: Path, *words: str) -> subprocess.Popen[str]:
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    threads = {} if "hydra/launcher=joblib" in words else {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "invset", "run", "-m", *WORDS, *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, f"hydra.sweep.dir={folder}"],
        env=env | threads,
        cwd=folder.parent,
        stdout=subprocess.DEVNULL,
        stderr=pipe,
        text=True,
    )


def worker(folder: Path, process: subprocess.Popen[str]) -> int:
    """The process that samples in a job's folder, when it has saved its state."""
    holder = folder / HOME / "holder.json"
    while process.poll() is None:
        if (folder / "state.pt").exists():
            with contextlib.suppress(OSError, ValueError):
                return int(json.loads(holder.read_text(encoding="utf-8"))["pid"])
        time.sleep(0.002)
    raise AssertionError(process.communicate()[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep without a launcher, in this process."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    with pytest.MonkeyPatch.context() as patch:
        assert typed(patch, "run", "-m", *WORDS, f"hydra.sweep.dir={folder}") == 0
    return folder


@pytest.mark.slow
def test_a_job_that_is_preempted_goes_on(whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    folder = tmp_path / "a"
    process = begun(folder, "hydra/launcher=submitit_local")
    os.kill(worker(folder / "0", process), signal.SIGUSR2)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    logs = "".join(path.read_text() for path in (folder / ".submitit").rglob("*_log.*"))
    assert "this job is preempted" in logs
    assert logs.count("going on in") == 1
    assert not any(name.startswith(".submitit") for name in Ledger(folder).sums())
    assert rows(folder) == rows(whole)
    if torch.get_num_threads() == 1:
        assert results(folder) == results(whole)


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_one_state(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joblib = pytest.importorskip("joblib")
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    folder = tmp_path / "a"
    words = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    process = begun(folder, *words)
    os.kill(worker(folder / "0", process), signal.SIGKILL)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 2
    assert "Traceback" not in errors
    assert "a process of the sweep has died (TerminatedWorkerError: " in errors
    assert f"go on with: invset run -m {' '.join(WORDS)}" in errors
    assert [one.kind for one in standings(folder)] == ["cut off"]
    # without the launcher: what a job is does not depend on it
    assert typed(monkeypatch, "run", "-m", *WORDS, f"hydra.sweep.dir={folder}") == 0
    assert rows(folder) == rows(whole)
    summary = json.loads((whole / "0" / "summary.json").read_text())
    if summary["threads"] == max(1, joblib.cpu_count() // 2):  # the CPUs are divided
        assert results(folder) == results(whole)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Ray, whose processes are this one; what it was told."""
    ray = pytest.importorskip("ray")
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    told: dict[str, Any] = {}

    def remote(**options: Any) -> Any:
        told["remote"] = options

        def sent(work: Any) -> Any:
            def run(**words: Any) -> Any:
                there = ray.cloudpickle.dumps(words)
                os.chdir("/")  # where the node was begun
                return work(**ray.cloudpickle.loads(there))

            return SimpleNamespace(remote=run)

        return sent

    monkeypatch.setattr(ray, "init", lambda **options: told.update(init=options))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "remote", remote)
    monkeypatch.setattr(ray, "get", lambda run: run)
    return told


def test_a_job_on_ray_works_in_the_folder_of_the_command(
    at_once: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*WORDS[:-1], "neuron=ship,no_such", "hydra/launcher=ray_cluster"]
    assert typed(monkeypatch, "run", "-m", *words, "hydra.sweep.dir=a") == 2
    with (tmp_path / "a" / "sweep.csv").open(encoding="utf-8") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["reached", "failed"]
    # a cluster that is there takes no size of its memory
    assert at_once["init"] == {"address": "auto", "object_store_memory": None}
    assert at_once["remote"] == {"num_cpus": 1, "max_retries": 3}


def test_a_cluster_that_is_not_there(
    at_once: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def init(**options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr("ray.init", init)
    words = [*WORDS, "hydra/launcher=ray_cluster", f"hydra.sweep.dir={tmp_path / 'a'}"]
    assert typed(monkeypatch, "run", "-m", *words) == 2
    told = "Could not find any running Ray instance. Type: ray start --head"
    assert told in capsys.readouterr().err


def test_a_cluster_that_dies_is_one_sentence(
    at_once: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from ray.exceptions import LocalRayletDiedError

    def get(run: Any) -> None:
        raise LocalRayletDiedError

    monkeypatch.setattr("ray.get", get)
    words = [*WORDS, "n=2", "K=2", "hydra/launcher=ray_cluster"]
    words = [word for word in words if word not in ("n=30", "K=4")]
    assert typed(monkeypatch, "run", "-m", *words, f"hydra.sweep.dir={tmp_path / 'a'}") == 2
    assert "a process of the sweep has died (LocalRayletDiedError: " in capsys.readouterr().err
    assert [one.kind for one in standings(tmp_path / "a")] == ["done"]  # what ended is kept


@pytest.mark.parametrize(("launcher", "extra"), [("ray", "ray"), ("submitit_local", "slurm")])
def test_a_launcher_that_is_not_installed(launcher: str, extra: str) -> None:
    error = MissingConfigException("Could not find it", f"hydra/launcher/{launcher}", [])
    assert one_sentence(error, "run") == (
        f"hydra/launcher={launcher} needs a package that is not installed; type pip install"
        f" 'invset[{extra}]'"
    )


class Gpus:
    """GPUs as `gpu_slot` sees them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int) -> None:
        self.current: list[int] = []
        monkeypatch.setattr(gpu_slots, "_names", lambda: [f"gpu-{i}" for i in range(count)])
        monkeypatch.setattr(gpu_slots, "_folder", lambda: tmp_path)
        monkeypatch.setattr(torch.cuda, "device", self.device)

    @contextlib.contextmanager
    def device(self, number: int) -> Any:
        self.current.append(number)
        yield


def test_each_job_takes_a_gpu_that_is_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpus = Gpus(monkeypatch, tmp_path, 2)
    with gpu_slot("auto", 2) as a, gpu_slot("cuda", 2) as b, gpu_slot("auto", 2) as c:
        assert (a, b, c) == (0, 1, 0)  # the emptiest first
        with gpu_slot("cpu", 1) as none, gpu_slot("cuda:1", 1) as named:
            assert (none, named) == (None, None)
    with gpu_slot("auto", 1) as again:
        assert again == 0
    assert gpus.current == [0, 1, 0, 0]


def test_a_job_waits_for_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Gpus(monkeypatch, tmp_path, 1)
    other = FileLock(tmp_path / "gpu-0-0.lock")
    other.acquire()
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            other.release()

    monkeypatch.setattr(gpu_slots.time, "sleep", sleep)
    with gpu_slot("auto", 1) as number:
        assert number == 0
    assert len(pauses) == 2
    assert caplog.messages == ["the job waits for a GPU that is free (gpu_jobs=)"]


def test_a_gpu_is_let_go_by_a_job_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    Gpus(monkeypatch, tmp_path, 1)
    for _ in range(2):
        with pytest.raises(KeyError), gpu_slot("auto", 1):
            raise KeyError


def test_without_gpus() -> None:
    if not torch.cuda.is_available():
        with gpu_slot("auto", 1) as number:
            assert number is None

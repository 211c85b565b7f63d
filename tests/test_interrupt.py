"""Signals, full disks and closed streams: what was computed is kept, and how to go on is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typed import typed

from invset import interrupt, whole
from invset.errors import InvsetError
from invset.files.rundir import RunDir
from invset.interrupt import Interrupted, listening

WORDS = ["network=mini", "neuron=horse", "z1=8", "z2=10", "n=4", "K=2", "progress=false"]
WORDS += ["report=false", "animation=false", "judge=null"]


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_is_raised_and_told_by_its_code(number: str, code: int) -> None:
    kind = getattr(signal, number)
    before = signal.signal(kind, signal.SIG_DFL)  # the tests themselves may run with it ignored
    try:
        with listening():
            with pytest.raises(Interrupted):
                signal.raise_signal(kind)
            assert interrupt.received()
            assert interrupt.exit_code() == code
            with pytest.raises(Interrupted):
                interrupt.check()
        assert signal.getsignal(kind) == signal.SIG_DFL
    finally:
        signal.signal(kind, before)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with listening():
            signal.raise_signal(signal.SIGHUP)
            assert not interrupt.received()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_leaves_no_unfinished_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[int] = []
    monkeypatch.setattr(os, "_exit", ends.append)
    with listening(), whole.unfinished(tmp_path / "state.pt") as file:
        file.write_text("half")
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted):  # the process would have ended
            signal.raise_signal(signal.SIGTERM)
        assert ends == [143]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["measuring", "writing", "sampling"])
def test_a_signal_at_any_moment_keeps_the_state(
    moment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = {
        "measuring": "invset.commands.run_job.finish",
        "writing": "invset.report.run_folder.sheet",
        "sampling": "invset.samplers.drive.closest",
    }[moment]
    folder = tmp_path / "a run"

    def ended(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(place, ended, raising=moment != "writing")
        if moment == "writing":
            patch.setattr("invset.commands.run_job.write_run", ended)
        code = typed(patch, "run", *WORDS, f"hydra.run.dir={folder}")
    told = capsys.readouterr()
    assert code == 143
    if moment == "sampling":  # before the first look there is nothing to keep
        return
    assert f"go on with: invset run --resume '{folder}'" in told.err
    assert (folder / "state.pt").exists()
    assert not list(folder.glob(".part-*"))
    assert typed(monkeypatch, "run", "--resume", str(folder)) == 0


def test_a_full_disk_names_the_file_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = whole.put

    def put(file: Path, target: Path) -> None:
        if target.name == "00002.png":
            raise OSError(28, "No space left on device")  # with no name, as a write has it
        real(file, target)

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("invset.files.rundir.put", put)
        assert typed(patch, "run", *WORDS, f"hydra.run.dir={folder}") == 2
    told = capsys.readouterr().err
    assert f"can't write {folder}/samples/00002.png (No space left on device)" in told
    assert f"go on with: invset run --resume {folder}" in told
    assert typed(monkeypatch, "run", "--resume", str(folder)) == 0


def test_a_folder_that_vanishes_is_told(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "run")
    rundir.path.rmdir()
    with pytest.raises(InvsetError, match=r"can't write .*run/a\.csv \(No such file"):
        rundir.write_csv("a.csv", ["a"], [])


def begun(shell: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = " ".join(WORDS)
    command = f"{sys.executable} -m invset run {words} hydra.run.dir=run {shell}"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(["bash", "-c", command], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no /dev/full")
@pytest.mark.parametrize(
    ("shell", "code", "told"),
    [
        (">/dev/full", 1, "can't write to the standard output (No space left on device)"),
        (">&- 2>&-", 0, ""),
        ("2>/dev/full", 1, "can't write to the standard error (No space left on device)"),
    ],
)
def test_a_stream_that_is_full_or_closed(shell: str, code: int, told: str, tmp_path: Path) -> None:
    done = begun(shell, tmp_path)
    assert done.returncode == code
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    if "2>/dev" not in shell:
        assert (tmp_path / "run" / "summary.json").exists()


@pytest.mark.slow
def test_a_signal_in_the_first_second_is_a_sentence(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "invset", "run", *WORDS, f"hydra.run.dir={tmp_path}/run"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    time.sleep(0.7)  # while torch is imported
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (143, -signal.SIGTERM)
    assert "Traceback" not in errors

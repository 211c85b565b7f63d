"""A sweep's list tells the truth of its jobs: wherever they work, in whichever process, and however
it ends.
"""

from __future__ import annotations

import csv
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from report_folders import write_run
from test_report_sweep import write_job
from typed import typed

from invset.commands.report import main as report
from invset.config.unused import Unused, register
from invset.errors import InvsetError
from invset.files.job_list import jobs_of, new_sweep, note_job
from invset.files.ledger import HOME, IN_HOME
from invset.files.owner import locked, owned
from invset.files.rundir import RunDir
from invset.launch import _Held, _Job
from invset.progress import Volume, listening, volume
from invset.report.sweep_folder import read_jobs

QUICK = ["network=mini", "neuron=ship", "z1=2", "z2=5", "K=2", "n=2", "animation=false"]
QUICK += ["report=false", "judge=null", "progress=false"]


def job(sweep: Path, number: int, words: list[str], name: str = "") -> Path:
    """A job that has begun, and written one file."""
    folder = sweep / (name or str(number))
    with owned(folder, overwrite=True):
        note_job(sweep, number, folder, words)
        rundir = RunDir(folder, listed=True)
        rundir.begin({"overrides.yaml": str(words)})
        rundir.write("samples.csv", lambda path: path.write_text("".join(words)))
    return folder


@pytest.mark.parametrize("subdir", ["../out", "/tmp/invset-no-such/a", ".", "a/../../out"])
def test_a_job_works_inside_of_its_sweep(
    subdir: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subdir = subdir.replace("/tmp", str(tmp_path))
    words = [*QUICK, f"hydra.sweep.dir={tmp_path}/sweep", f"hydra.sweep.subdir={subdir}"]
    assert typed(monkeypatch, "run", "-m", *words) == 2
    err = capsys.readouterr().err
    assert "job 0 of the sweep would work in" in err
    assert "hydra.sweep.subdir='${hydra.job.num}'" in err
    assert not list(tmp_path.rglob("summary.json"))
    assert not list(tmp_path.rglob("failed.json"))


def test_folders_are_named_by_what_was_typed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = "hydra.sweep.subdir=${hydra.job.override_dirname}"
    words = ["network=mini", "z1=5", "z2=2", "report=false", named]  # so that no job samples
    sweep = tmp_path / "sweep"
    assert typed(monkeypatch, "run", "-m", *words, "neuron=1..2", f"hydra.sweep.dir={sweep}") == 2
    first = "network=mini,neuron=1,report=False,z1=5,z2=2"
    jobs = [first, first.replace("neuron=1", "neuron=2")]
    assert [path.name for path in jobs_of(sweep)] == jobs
    # the same sweep finds them
    assert typed(monkeypatch, "run", "-m", *words, "neuron=2", f"hydra.sweep.dir={sweep}") == 2
    assert [path.name for path in jobs_of(sweep)] == jobs[1:]
    capsys.readouterr()
    words += ["neuron=1", f"layer={'a' * 250}", f"hydra.sweep.dir={tmp_path}/long"]
    assert typed(monkeypatch, "run", "-m", *words) == 2
    assert "type a shorter name, or for jobs of a sweep" in capsys.readouterr().err


def test_a_link_in_a_sweep_leads_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "a").symlink_to(tmp_path / "elsewhere")
    words = [*QUICK, f"hydra.sweep.dir={tmp_path}/sweep", "hydra.sweep.subdir='a/${hydra.job.num}'"]
    assert typed(monkeypatch, "run", "-m", *words, "overwrite=true") == 2
    assert not list((tmp_path / "elsewhere").rglob("*.*"))


KILLED = """
import os, sys
from pathlib import Path
from invset.files.job_list import new_sweep, note_job
from invset.files.owner import owned
from invset.files.rundir import RunDir
sweep = Path(sys.argv[1])
with owned(sweep, overwrite=True), new_sweep(sweep, overwrite=True):
    folder = sweep / sys.argv[2]
    with owned(folder):
        note_job(sweep, 0, folder, [])
        RunDir(folder, listed=True).write("samples.csv", Path.touch)
        os._exit(9)
"""


def test_the_jobs_of_a_killed_sweep_go_with_the_next(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    with owned(sweep), new_sweep(sweep):
        folders = [job(sweep, i, [f"neuron={i}"]) for i in range(4)]
    (folders[3] / "mine.txt").touch()
    for name in ("first", "second"):  # two in a row
        done = subprocess.run([sys.executable, "-c", KILLED, str(sweep), name], check=False)
        assert done.returncode == 9
    assert list(jobs_of(sweep)) == [sweep / "second"]
    assert all((folder / "samples.csv").exists() for folder in folders)
    with owned(sweep, overwrite=True), new_sweep(sweep, overwrite=True):
        pass  # words that no job can be made of
    assert list(jobs_of(sweep)) == [sweep / "second"]
    with owned(sweep, overwrite=True), new_sweep(sweep, overwrite=True):
        job(sweep, 0, ["neuron=8"], "third")
    left = {path.relative_to(sweep).as_posix() for path in sweep.rglob("*") if path.is_file()}
    assert {name for name in left if HOME not in name} == {
        "third/.hydra/overrides.yaml",
        "third/samples.csv",
        "3/mine.txt",
    }
    assert {path.name for path in (sweep / HOME).iterdir()} <= IN_HOME - {"earlier.jsonl"}


def test_what_an_earlier_job_left_is_not_this_ones(tmp_path: Path) -> None:
    sweep = tmp_path
    write_job(sweep / "0", ["range=[3,4]"], n=3)
    write_job(sweep / "1", ["range=[3,4]"], n=3)
    write_job(sweep / "2", ["range=[5,6]"], "z1 must be below z2")
    with owned(sweep, overwrite=True):
        for i in range(3):
            note_job(sweep, i, sweep / str(i), [f"range=[{i},4]"])
        note_job(sweep, 3, write_run(sweep / "3", 2), [])
    told = [(one.name, one.run is None, one.reason[:26]) for one in read_jobs(sweep)]
    killed = "it was stopped before it e"
    assert told == [("0", True, killed), ("1", True, killed), ("2", True, killed), ("3", False, "")]
    assert read_jobs(sweep)[1].row()["command"] == "invset run 'range=[1,4]'"


def test_a_job_in_another_process_holds_nothing_and_keeps_its_folder() -> None:
    with _Held() as held:
        held.callback(lambda: None)  # which can't be pickled
        pickle.loads(pickle.dumps(held)).close()
    cfg = OmegaConf.create({"dir": "${unused:no/such/folder}"})
    unused = Unused()
    unused.taken["no/such/folder"] = "no/such/folder-2"
    register(unused)
    try:
        assert cfg.dir == "no/such/folder-2"
        with listening(Volume.QUIET):
            sent = pickle.dumps((_Job(print, "run"), cfg))
        OmegaConf.clear_resolver("unused")
        with listening(Volume.NORMAL):
            _, there = pickle.loads(sent)
            assert volume() is Volume.QUIET
        assert there.dir == "no/such/folder-2"
    finally:
        OmegaConf.clear_resolver("unused")


@pytest.mark.parametrize("command", ["report", "figure"])
def test_pages_wait_for_runs(
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep = tmp_path / "sweep"
    with owned(sweep), new_sweep(sweep):
        folder = job(sweep, 0, ["neuron=1"])
    for held in (sweep, folder):
        with locked(held):
            assert typed(monkeypatch, command, str(sweep)) == 2
        assert f"another run works in {held}: process" in capsys.readouterr().err
        assert not (sweep / "sweep.csv").exists()
    assert typed(monkeypatch, "report", str(sweep)) == 0
    [row] = csv.DictReader((sweep / "sweep.csv").read_text().splitlines())
    assert row["status"] == "failed"
    with pytest.raises(InvsetError, match="and type the command again"), locked(sweep):
        report([str(sweep)])

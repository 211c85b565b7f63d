"""Whose a folder is: runs keep off what is not theirs, and off each other."""

from __future__ import annotations

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typed import typed

from invset.errors import InvsetError
from invset.files.ledger import HOME, LIST, Ledger
from invset.files.owner import owned
from invset.files.rundir import RunDir

QUICK = ["network=mini", "neuron=ship", "z1=2", "z2=5", "K=2", "animation=false", "report=false"]
QUICK += ["judge=null", "progress=false"]


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    return typed(monkeypatch, "run", *QUICK, "n=2", *words, f"hydra.run.dir={folder}")


def sweep(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    return typed(monkeypatch, "run", "-m", *QUICK, "n=2", *words, f"hydra.sweep.dir={folder}")


def seen(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: when it was changed, and what it holds; but the lock's own."""
    return {
        path.relative_to(folder).as_posix(): (
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
        if HOME not in path.parts
    }


def written(folder: Path, files: dict[str, str]) -> None:
    """What a run would leave of a few small files."""
    with owned(folder):
        rundir = RunDir(folder, listed=True)
        rundir.begin({"config.yaml": "a: 1\n"})
        for name, text in files.items():
            rundir.write(name, lambda path, text=text: path.write_text(text))


@pytest.mark.parametrize(
    "name",
    ["animation.gif", "thesis.tex", "samples/cat.jpg", "0/summary.json", ".hydra/hydra.yaml"],
)
def test_a_folder_with_something_in_it_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("years of work")
    before = seen(tmp_path)
    monkeypatch.chdir(tmp_path)
    top = Path(name).parts[0]
    for command in (["run", *QUICK, "n=2"], ["probe", "network=mini", "neuron=1"]):
        assert typed(monkeypatch, *command, "hydra.run.dir=.") == 2
        err = capsys.readouterr().err
        assert f"is not empty, it holds {top}, and a run" in err
        assert "overwrite=true" in err
    assert sweep(monkeypatch, tmp_path, "neuron=1,2") == 2
    assert seen(tmp_path) == before
    assert not (tmp_path / HOME).exists()


def test_what_is_a_link_or_empty_is_somebody_elses_too(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "samples").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / HOME).symlink_to(tmp_path / "a")
    for folder in (tmp_path / "a", tmp_path / "b"):
        with pytest.raises(InvsetError, match="is not empty"), owned(folder):
            pass
    with (
        pytest.raises(InvsetError, match=r"holds \.invset, as no run"),
        owned(tmp_path / "b", True),
    ):
        pass
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["samples"]


def test_overwrite_replaces_what_a_run_wrote_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(monkeypatch, folder, "n=3") == 0
    assert typed(monkeypatch, "report", str(folder)) == 0  # its page is the run's as well
    mine = {"notes.md": "a", "samples/best.png": "b", ".hydra/mine.yaml": "c", "more/x.csv": "d"}
    for name, text in mine.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    before = seen(folder)
    assert run(monkeypatch, folder, "seed=1") == 2
    # bad words cost nothing either
    assert run(monkeypatch, folder, "overwrite=true", "neuron=shipp") == 2
    assert run(monkeypatch, folder, "overwrite=true", "z1=6") == 2
    assert seen(folder) == before
    assert run(monkeypatch, folder, "seed=1", "overwrite=true") == 0
    after = seen(folder)
    assert {name: after[name] for name in mine} == {name: before[name] for name in mine}
    assert set(before) - set(after) == {"samples/00003.png", "report.html"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["command"].endswith("n=2 seed=1")  # who repeats it replaces nothing by it


def test_a_file_in_the_way_is_not_replaced(tmp_path: Path) -> None:
    written(tmp_path, {"summary.json": "{}", "samples/00001.png": "picture", "report.html": "page"})
    (tmp_path / "samples" / "00001.png").write_text("retouched by hand")
    before = seen(tmp_path)
    for how in ({"overwrite": True}, {"resume": True}):
        with (
            pytest.raises(InvsetError, match=r"holds samples/00001\.png, as no"),
            owned(tmp_path, **how),
        ):
            pass
    assert seen(tmp_path) == before
    (tmp_path / "samples" / "00001.png").rename(tmp_path / "kept.png")
    with owned(tmp_path, overwrite=True):
        RunDir(tmp_path, listed=True).begin({})
    assert list(seen(tmp_path)) == ["kept.png"]


def test_a_list_from_somebody_else_deletes_nothing_elsewhere(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    written(folder, {"samples/00001.png": "x", "summary.json": "x"})
    elsewhere.mkdir()
    (elsewhere / "00001.png").write_text("x")
    (folder / "samples" / "00001.png").unlink()
    (folder / "samples").rmdir()
    (folder / "samples").symlink_to(elsewhere)
    ledger = Ledger(folder)
    absolute = str(elsewhere / "00001.png")
    [checksum] = ledger.sums()["summary.json"]  # of the same content
    for name in ("../elsewhere/00001.png", absolute, "samples/00001.png"):
        line = {"name": name, "sha256": checksum}
        with ledger.path.open("a") as file:
            file.write(json.dumps(line) + "\n" + '{"name": "cut o')
            file.write("\n[1]\n")
    ledger.remove()
    assert (elsewhere / "00001.png").read_text() == "x"
    assert not (folder / "summary.json").exists()


KILLED = """
import os, sys
from pathlib import Path
from invset.files.rundir import RunDir
def end(*_, **__):
    os._exit(9)
rundir = RunDir(sys.argv[1], listed=True)
if sys.argv[2] == "sync":
    os.fsync = end
elif sys.argv[2] == "rename":
    os.replace = end
else:
    Path.unlink = end
rundir.write("summary.json", lambda path: path.write_text("half"))
"""


def test_a_killed_run_leaves_no_file_that_is_not_listed(tmp_path: Path) -> None:
    written(tmp_path, {"activations.csv": "1"})
    for at in ("sync", "rename", "end"):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), at], check=False)
        assert done.returncode == 9
    # after the renaming there is none
    assert sum(name.startswith(".part-") for name in seen(tmp_path)) == 2
    (tmp_path / ".part-0123456789abcdef-thesis.tex").touch()
    with owned(tmp_path, resume=True):
        assert [name for name in seen(tmp_path) if name.startswith(".part-")] == [
            ".part-0123456789abcdef-thesis.tex"
        ]
    (tmp_path / ".part-0123456789abcdef-thesis.tex").unlink()
    with owned(tmp_path, overwrite=True):
        RunDir(tmp_path, listed=True).begin({})
    assert seen(tmp_path) == {}


HOLD = """
import sys, time
from pathlib import Path
from invset.files.owner import owned
with owned(Path(sys.argv[1]), overwrite=True):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_run_says_who_holds_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, {"state.pt": "a state"})
    before = seen(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holders = (tmp_path / HOME / "holder.json").read_bytes()
        others = [["--resume", str(tmp_path)]]
        others += [
            [*QUICK, "n=2", *more, f"hydra.run.dir={tmp_path}"] for more in ([], ["overwrite=true"])
        ]
        others += [["-m", *QUICK, "n=1,2", f"hydra.sweep.dir={tmp_path}"]]
        for words in others:
            assert typed(monkeypatch, "run", *words) == 2
            err = capsys.readouterr().err
            assert f"process {holder.pid} on {socket.gethostname()}, since 20" in err
        assert seen(tmp_path) == before
        assert (tmp_path / HOME / "holder.json").read_bytes() == holders
    finally:
        holder.kill()
        holder.communicate()
    # a lock that a killed process held is free
    with owned(tmp_path, overwrite=True):
        held = json.loads((tmp_path / HOME / "holder.json").read_text())
    assert held["pid"] == os.getpid()
    assert not (tmp_path / HOME / "holder.json").exists()


def test_writing_follows_no_link(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in (".part-summary.json", ".write", "summary.json"):
        (folder / name).symlink_to(mine)
    (folder / "samples").symlink_to(tmp_path)
    rundir = RunDir(folder)
    temporary = []

    def how(path: Path) -> None:
        assert not path.is_symlink()
        temporary.append(path.name)
        path.write_text("new")

    rundir.write("summary.json", how)
    rundir.write("summary.json", how)
    assert len(set(temporary)) == 2
    with pytest.raises(InvsetError, match="samples is a link"):
        rundir.write("samples/mine.txt", how)
    assert mine.read_text() == "mine"
    assert (folder / "summary.json").read_text() == "new"
    assert not (folder / "summary.json").is_symlink()
    assert (folder / ".write").is_symlink()


def test_a_file_is_on_the_disk_before_it_has_its_name_and_then_its_name_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[tuple[str, int]] = []
    sync, replace = os.fsync, os.replace

    def synced(fd: int) -> None:
        sync(fd)
        done.append(("sync", os.fstat(fd).st_ino))

    def replaced(path: Path, target: Path) -> None:
        done.append(("name", os.stat(path).st_ino))
        replace(path, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    path = RunDir(tmp_path).write_csv("samples.csv", ["a"], [[1]])
    number, folder = path.stat().st_ino, tmp_path.stat().st_ino
    assert done == [("sync", number), ("name", number), ("sync", folder)]

    def full(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InvsetError, match=r"state\.pt \(No space left on device"):
        RunDir(tmp_path).write("state.pt", full)
    assert [one.name for one in tmp_path.iterdir()] == ["samples.csv"]


def jobs(folder: Path) -> list[tuple[str, str]]:
    rows = csv.DictReader((folder / "sweep.csv").read_text().splitlines())
    return [(row["job"], row["neurons"]) for row in rows]


def test_a_sweep_tells_of_its_own_jobs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    assert sweep(monkeypatch, folder, "neuron=1,2", "hydra.sweep.subdir='n_${neuron}/x'") == 0
    first = [("n_1/x", "fc8:1 airplane in [2, 5]"), ("n_2/x", "fc8:2 automobile in [2, 5]")]
    assert jobs(folder) == first
    (folder / "n_2" / "x" / "why.txt").write_text("mine")
    before = seen(folder)
    capsys.readouterr()
    # a run is no sweep
    assert run(monkeypatch, folder, "neuron=3") == 2
    assert "is not empty, it holds multirun.yaml, n_1, n_2" in capsys.readouterr().err
    assert seen(folder) == before
    # words that no job can be made of cost nothing
    assert sweep(monkeypatch, folder, "sampler=stream,no", "overwrite=true") == 2
    after = seen(folder)
    assert {**after, "multirun.yaml": before["multirun.yaml"]} == before
    assert jobs(folder) == first
    assert sweep(monkeypatch, folder, "neuron=3", "overwrite=true", "report=true") == 0
    assert jobs(folder) == [("0", "fc8:3 bird in [2, 5]")]
    assert [one for one in seen(folder) if one.startswith("n_2/x/")] == ["n_2/x/why.txt"]
    assert not (folder / "n_1" / "x").exists()
    # a job with bad words has no result, not that of the job before it, which stays
    before = seen(folder / "0")
    assert sweep(monkeypatch, folder, "neuron=77", "overwrite=true") == 2
    [row] = csv.DictReader((folder / "sweep.csv").read_text().splitlines())
    assert (row["job"], row["status"]) == ("0", "failed")
    assert "neuron=77" in row["command"]
    after = seen(folder / "0")
    assert after.keys() - before.keys() == {"failed.json"}
    assert {name: after[name] for name in before} == before
    assert sweep(monkeypatch, folder, "neuron=4", "overwrite=true") == 0
    assert jobs(folder) == [("0", "fc8:4 cat in [2, 5]")]
    assert not (folder / "0" / "failed.json").exists()


def test_two_jobs_do_not_share_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["neuron=1,2", "hydra.sweep.subdir=same", "overwrite=true"]
    assert sweep(monkeypatch, tmp_path / "a", *words) == 2
    assert "job 1 of the sweep has the folder of job 0" in capsys.readouterr().err
    assert jobs(tmp_path / "a") == [("same", "fc8:1 airplane in [2, 5]")]


def test_the_folder_in_which_one_works_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, Path("."), "z1=9") == 2
    assert typed(monkeypatch, "compare", "neurons=horse") == 2
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_that_never_began_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert sweep(monkeypatch, tmp_path / "a", "nuron=1,2") == 2
    assert sweep(monkeypatch, tmp_path / "a", "neuron=1") == 0  # the same folder, once more
    assert LIST in {path.name for path in (tmp_path / "a" / HOME).iterdir()}

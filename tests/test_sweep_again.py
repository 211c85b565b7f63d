"""A sweep that is typed again: finished jobs are skipped, interrupted ones go on, failed ones are
repeated, and other ones lie beside them.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from typed import typed

from invset.commands.status import Standing, bytes_in, forecast, standing, standings, time_left
from invset.config import identity as identities
from invset.config.compose import compose
from invset.config.identity import identity
from invset.files.job_list import jobs_of
from invset.files.ledger import HOME
from invset.files.owner import alive, locked
from invset.files.plan import Planner, put_in_force, read_plan
from invset.files.rundir import RunDir
from invset.samplers.stream import Stream

QUICK = ["network=mini", "z1=2", "z2=5", "K=2", "n=3", "animation=false", "report=false"]
QUICK += ["judge=null", "progress=false"]

#: The jobs of the sweep.
BOTH = "neuron=ship,horse"


def sweep(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    return typed(monkeypatch, "run", "-m", *QUICK, *words, f"hydra.sweep.dir={folder}")


def rows(folder: Path) -> list[tuple[str, str, str]]:
    read = csv.DictReader((folder / "sweep.csv").read_text().splitlines())
    return [(row["job"], row["status"], row["neurons"].split(" ")[1:2][0]) for row in read]


def results(folder: Path) -> dict[str, bytes]:
    """What does not depend on the time a run took."""
    names = ("samples.safetensors", "activations.csv", "optimization.csv", "samples.png")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.name in names or path.parent.name == "samples"
    }


def listed(folder: Path) -> list[str]:
    return (folder / HOME / "jobs.jsonl").read_text().splitlines()


def changed(folder: Path) -> dict[str, int]:
    """When the files of jobs were written."""
    paths = [path for path in folder.glob("*/**/*") if HOME not in path.parts]
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in paths}


class Broken:
    """A sampler's step that fails at one of its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *at: int) -> None:
        self.calls = 0
        original = Stream.step

        def step(sampler: Any, *rest: Any) -> Any:
            self.calls += 1
            if self.calls in at:
                raise ZeroDivisionError("a defect")
            return original(sampler, *rest)

        monkeypatch.setattr(Stream, "step", step)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "sweep"
    with pytest.MonkeyPatch.context() as patch:
        assert sweep(patch, folder, BOTH) == 0
    return folder


def copied(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "sweep"))


def test_the_same_command_again_does_nothing(
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = copied(whole, tmp_path)
    before = changed(folder)
    step = Broken(monkeypatch)
    # what changes no result, another order, and another way to write a number
    assert sweep(monkeypatch, folder, "checkpoint_seconds=9", BOTH) == 0
    words = ["z1=2.0", BOTH, "objective=vendi", "retry=failed"]
    assert sweep(monkeypatch, folder, *words) == 0
    assert step.calls == 0
    assert changed(folder) == before
    assert "job 1 is there" in capsys.readouterr().err
    assert rows(folder) == rows(whole) == [("0", "reached", "ship"), ("1", "reached", "horse")]
    table = (folder / "sweep.csv").read_text()
    assert "neuron=ship" in table
    assert "retry" not in table


def test_another_sweep_lies_beside_it(
    whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = copied(whole, tmp_path)
    before = changed(folder)
    step = Broken(monkeypatch)
    assert sweep(monkeypatch, folder, "neuron=horse,frog") == 0
    assert rows(folder) == [("1", "reached", "horse"), ("1-2", "reached", "frog")]
    once = step.calls
    assert once > 0
    assert sweep(monkeypatch, folder, BOTH, "n=2") == 0
    assert rows(folder) == [("0-2", "reached", "ship"), ("1-3", "reached", "horse")]
    assert {name: when for name, when in changed(folder).items() if name in before} == before
    # the first one once more: it has its table again
    step.calls = 0
    assert sweep(monkeypatch, folder, BOTH) == 0
    assert (step.calls, rows(folder)) == (0, rows(whole))


def test_another_file_is_another_job(
    whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = copied(whole, tmp_path)
    step = Broken(monkeypatch)
    # the same words, but what they name has changed
    monkeypatch.setattr(identities, "RESULT_FORMAT", 0)
    assert sweep(monkeypatch, folder, BOTH) == 0
    assert step.calls > 0
    assert [name for name, *_ in rows(folder)] == ["0-2", "1-2"]


def test_two_names_of_a_job_are_one_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert sweep(monkeypatch, tmp_path / "a", "neuron=ship,ship") == 0
    assert rows(tmp_path / "a") == [("0", "reached", "ship")]


def test_what_failed_is_repeated_or_not(
    whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, step = copied(whole, tmp_path), Broken(monkeypatch)
    failed = {"exit_code": 1, "reason": "a defect"}
    RunDir(folder / "0", listed=True).write_json("failed.json", failed)
    assert [one.kind for one in standings(folder)] == ["failed", "done"]
    before = changed(folder)
    assert sweep(monkeypatch, folder, BOTH, "retry=none") == 1
    assert (step.calls, changed(folder)) == (0, before)
    assert sweep(monkeypatch, folder, BOTH) == 0
    after = changed(folder)
    assert {name for name in before if before[name] != after.get(name)} >= {"0/summary.json"}
    assert not any(before[name] != after[name] for name in after if name.startswith("1/"))
    assert not (folder / "0" / "failed.json").exists()
    step.calls = 0
    assert sweep(monkeypatch, folder, "neuron=ship", "retry=all") == 0
    assert step.calls > 0
    assert results(folder) == results(whole)


def cut_off(monkeypatch: pytest.MonkeyPatch, folder: Path, whole: Path) -> int:
    """A sweep that is killed in the last step of its first job; the number of steps of the job."""
    steps = len((whole / "0" / "optimization.csv").read_text().splitlines()) - 1
    assert steps > 2
    with monkeypatch.context() as patch:
        Broken(patch, steps)
        assert sweep(patch, folder, "neuron=ship") == 1
    (folder / "0" / "failed.json").unlink()  # SIGKILL leaves none
    assert (folder / "0" / "state.pt").exists()
    assert [one.kind for one in standings(folder)] == ["cut off"]
    return steps


def test_what_was_cut_off_goes_on(
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cut_off(monkeypatch, tmp_path, whole)
    step = Broken(monkeypatch)
    # also where nothing is repeated
    assert sweep(monkeypatch, tmp_path, "neuron=ship", "retry=none", "progress=true") == 0
    assert "going on in" in capsys.readouterr().err
    assert step.calls == 1
    assert results(tmp_path) == {
        name: held for name, held in results(whole).items() if name.startswith("0/")
    }
    assert rows(tmp_path) == [("0", "reached", "ship")]


def test_a_state_of_other_surroundings_begins_anew(
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("invset.files.surroundings.__version__", "0.0")
        steps = cut_off(patch, tmp_path, whole)
    step = Broken(monkeypatch)
    assert sweep(monkeypatch, tmp_path, "neuron=ship", "checkpoint_seconds=9") == 0
    assert "the job begins anew: " in (told := capsys.readouterr().err)
    assert "invset was 0.0 and is" in told
    assert step.calls == steps
    assert rows(tmp_path) == [("0", "reached", "ship")]
    assert not (tmp_path / "0" / "state.pt").exists()


def test_a_killed_sweep_goes_on_whatever_it_left(
    whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = copied(whole, tmp_path)
    # killed after Hydra wrote its file, before the first job; and in a job without a state
    (folder / "multirun.yaml").write_text("cut off: ")
    (folder / HOME / "plan.part").write_text('{"plan"')
    (folder / "1" / "summary.json").unlink()
    (folder / "1" / ".part-0123456789abcdef-state.pt").touch()
    with (folder / HOME / "jobs.jsonl").open("a") as file:
        file.write('{"number": 7, "fold')
    (folder / "sweep.csv").unlink()
    assert [one.kind for one in standings(folder)] == ["done", "cut off"]
    assert sweep(monkeypatch, folder, BOTH) == 0
    assert results(folder) == results(whole)
    assert rows(folder) == rows(whole)


def test_a_process_that_is_killed_leaves_a_sweep_that_goes_on(
    whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    folder = tmp_path / "a"
    words = ["run", "-m", *QUICK, BOTH, "checkpoint_seconds=0"]
    words.append(f"hydra.sweep.dir={folder}")
    process = subprocess.Popen(
        [sys.executable, "-m", "invset", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and not (folder / "0" / ".hydra" / "config.yaml").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not alive(folder)
    assert len(standings(folder)) == 2
    assert typed(monkeypatch, "status", str(folder)) == 0
    told = capsys.readouterr().out
    assert "2 jobs: " in told
    assert "not begun" in told
    assert f"go on with: invset run -m {' '.join(QUICK)}" in told
    again = told.split("go on with: invset ")[1].split()
    assert typed(monkeypatch, *again) == 0
    assert rows(folder) == rows(whole)
    assert results(folder) == results(whole)


def test_status_of_what_runs(whole: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    folder = copied(whole, tmp_path)
    assert typed(monkeypatch, "status", str(folder)) == 0
    assert capsys.readouterr().out == f"{folder}: 2 jobs: 2 done\n"
    (folder / "0" / "summary.json").unlink()
    with locked(folder), locked(folder / "0"):
        assert typed(monkeypatch, "status", str(folder)) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{folder}: 2 jobs: 1 done, 1 running; about ")
    assert f"it goes on: process {os.getpid()} on " in told
    (folder / "1" / "failed.json").write_text('{"exit_code": 2, "reason": "no such neuron"}')
    assert standing(folder / "1").reason == "no such neuron"
    assert typed(monkeypatch, "status", str(folder)) == 0
    told = capsys.readouterr().out
    assert "1 failed, 1 cut off" in told
    assert f"  {folder}/1: no such neuron\ngo on with: invset run -m network=mini" in told
    for words, reason in [
        ([], "takes folders of sweeps"),
        (["--all"], "takes folders of sweeps"),
        ([f"{tmp_path}/no"], "there is no folder"),
        ([str(tmp_path)], "holds no jobs of a sweep"),
    ]:
        assert typed(monkeypatch, "status", *words) == 2
        assert reason in capsys.readouterr().err


def test_time_left() -> None:
    # the median of 10, 20 and 90 s is 20; two run side by side, which are half done, and 3 wait
    jobs = [Standing("done", seconds=one) for one in (10.0, 20.0, 90.0)]
    jobs += [Standing("running")] * 2 + [Standing("not begun")] * 2 + [Standing("cut off")]
    assert time_left(jobs) == 20 * (3 + 1) / 2
    assert time_left(jobs[:3]) is None
    assert time_left(jobs[3:]) is None


def test_a_forecast_of_the_sweep(whole: Path, tmp_path: Path) -> None:
    whole = copied(whole, tmp_path)
    assert forecast(whole) == ""  # both are done
    assert forecast(whole / "0") == ""  # no sweep
    (whole / "1" / "summary.json").rename(whole / "later")
    told = forecast(whole)
    assert told.startswith("2 jobs take ")
    assert told.endswith(" of the disk, by the first, with all that it loads")
    promised = float(told.split(" and ")[1].split(" MB")[0])
    (whole / "later").rename(whole / "1" / "summary.json")
    there = sum(bytes_in(whole / name) for name in ("0", "1")) / 1e6
    assert abs(promised / there - 1) < 0.2


def test_a_forecast_by_several_jobs(whole: Path, tmp_path: Path) -> None:
    whole = copied(whole, tmp_path)
    plan = whole / HOME / "plan.jsonl"
    with plan.open("a") as file:
        file.writelines(json.dumps({"identity": str(i), "words": ["n=3"]}) + "\n" for i in range(8))
    begun = {line["folder"]: line["begun"] for line in map(json.loads, listed(whole))}
    for name, seconds in (("0", 100.0), ("1", 60.0)):
        at = begun[name] + seconds
        os.utime(whole / name / "summary.json", (at, at))
    # the first has loaded all, so that the other eight are like the second
    assert forecast(whole).startswith("10 jobs take 11 min, one after the other, and ")
    size = 5 * sum(bytes_in(whole / name) for name in ("0", "1")) / 1e6
    assert forecast(whole).endswith(f" {size:.1f} MB of the disk, by 2 jobs")


def test_identities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def of(*words: str) -> str:
        return identity(compose("run", ["network=mini", "neuron=ship", *words]))

    same = {of("z1=2"), of("z1=2.0"), of("z1=2", "progress=false", "overwrite=true", "retry=all")}
    assert len(same) == 1
    others = ["z1=3", "z1=2.5", "seed=1", "sampler=paper", "animation=false", "network=mini64"]
    assert len({of("z1=2"), *(of("z1=2", word) for word in others)}) == 7
    # a file that an option names, and code of one's own
    weights = tmp_path / "w.safetensors"
    seen = set()
    for content in (b"a", b"bc"):
        weights.write_bytes(content)
        (tmp_path / "my_own_net.py").write_bytes(content)
        cfg = OmegaConf.create({"network": {"weights": str(weights)}})
        seen |= {identity(cfg), identity(OmegaConf.create({"a": {"_target_": "my_own_net.build"}}))}
        monkeypatch.syspath_prepend(str(tmp_path))
    assert len(seen) >= 3
    cfg = OmegaConf.create({"weights": "w.safetensors"})
    assert identity(cfg, tmp_path) != identity(cfg, tmp_path.parent)
    before = of()
    monkeypatch.setattr(identities, "RESULT_FORMAT", 0)
    assert of() != before
    # what can't be resolved has an identity, too
    assert identity(OmegaConf.create({"a": "${no.such}"}))


def test_a_plan_is_in_force_when_a_job_begins(tmp_path: Path) -> None:
    (tmp_path / HOME).mkdir()
    first = Planner(tmp_path, ["run"])
    first.note(["a=1"], "one")
    assert read_plan(tmp_path) is None
    assert put_in_force(tmp_path)
    first.note(["a=1"], "one")
    first.note(["a=2"], "two")  # of the next batch
    plan = read_plan(tmp_path)
    assert plan is not None
    assert plan.jobs == {"one": ["a=1"], "two": ["a=2"]}
    second = Planner(tmp_path, ["run"])
    assert read_plan(tmp_path) == plan
    for identity_, words in plan.jobs.items():
        second.note(words, identity_)
    assert not put_in_force(tmp_path)  # the same jobs
    assert jobs_of(tmp_path) == {}

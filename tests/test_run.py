"""``invset run`` end to end on the embedded pair: the folder, membership, determinism,
interruption.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from safetensors.torch import load_file, save_file
from typed import typed

from invset import Neuron, Problem, mini_generator, mini_network
from invset.config.compose import config_dir
from invset.samplers import drive as driver
from invset.samplers.stream import Stream
from invset.studies.climb import Climb

HORSE = ["neuron=horse", "network=mini", "z1=4", "z2=6", "n=6", "K=3", "progress=false"]


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    return typed(monkeypatch, "run", *words, f"hydra.run.dir={folder}")


def resume(monkeypatch: pytest.MonkeyPatch, folder: Path) -> int:
    return typed(monkeypatch, "run", "--resume", str(folder))


def contents(folder: Path) -> dict[str, bytes]:
    names = [
        "samples.safetensors",
        "samples.png",
        "activations.csv",
        "optimization.csv",
        "animation.gif",
    ]
    return {
        p.name: p.read_bytes()
        for p in [*(folder / n for n in names), *sorted((folder / "samples").iterdir())]
    }


def test_the_folder_and_what_it_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path / "a", *HORSE) == 0
    folder = tmp_path / "a"
    files = [
        "activations.csv",
        "animation.gif",
        "animation.mp4",
        "optimization.csv",
        "report.html",
        "run.log",
        "samples",
    ]
    files += ["samples.png", "samples.safetensors", "summary.json"]
    assert sorted(p.name for p in folder.iterdir()) == [".hydra", ".invset", *files]
    assert (folder / "report.html").read_text().count("<li ") == 6
    assert sorted(p.name for p in (folder / "samples").iterdir()) == [
        f"{i:05d}.png" for i in range(1, 7)
    ]
    rows = list(csv.DictReader((folder / "activations.csv").read_text().splitlines()))
    summary = json.loads((folder / "summary.json").read_text())
    tensors = load_file(folder / "samples.safetensors")
    assert len(rows) == 6 == summary["counts"]["in_range"] == len(tensors["codes"])
    assert summary["status"] == "reached"
    assert summary["beside_real"]["images"] == 2000
    assert summary["threads"] == torch.get_num_threads()
    assert summary["gpu"] is None
    assert (
        len({oct(p.stat().st_mode) for p in folder.iterdir() if p.is_file()}) == 1
    )  # whoever may read one may read all

    # an independent look at the files themselves
    network = mini_network()
    for i, row in enumerate(rows, start=1):
        with Image.open(folder / "samples" / f"{i:05d}.png") as picture:
            pixels = np.array(picture)
        x = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).float() / 255
        f = network.module(x)[0, 7].item()
        assert f == pytest.approx(float(row["fc8:8 horse"]), abs=1e-4)
        assert 4 <= f <= 6
        assert row["in_range"] == "True"

    assert summary["command"] == "invset run " + " ".join(HORSE)

    # the same seed, the same bytes; the neuron by number
    assert run(monkeypatch, tmp_path / "b", "neuron=8", *HORSE[1:]) == 0
    assert contents(folder) == contents(tmp_path / "b")
    assert run(monkeypatch, tmp_path / "c", *HORSE, "seed=1") == 0
    assert (
        contents(folder)["samples.safetensors"] != contents(tmp_path / "c")["samples.safetensors"]
    )


@pytest.mark.parametrize("sampler", ["stream", "two_stage"])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sampler: str
) -> None:
    words = [*HORSE[:4], "n=30", "K=3", "progress=false", f"sampler={sampler}"]
    assert run(monkeypatch, tmp_path / "whole", *words) == 0

    original, calls = driver.closest, []

    def ctrl_c(*args: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 17:
            raise KeyboardInterrupt
        return original(*args)  # type: ignore[arg-type]

    module = "invset.samplers.drive.closest"
    with monkeypatch.context() as patch:
        patch.setattr(module, ctrl_c)
        assert run(patch, tmp_path / "cut", *words) == 130
    assert (tmp_path / "cut" / "state.pt").exists()
    assert json.loads((tmp_path / "cut" / "summary.json").read_text())["status"] == "interrupted"
    assert resume(monkeypatch, tmp_path / "cut") == 0
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")
    assert not (tmp_path / "cut" / "state.pt").exists()
    assert resume(monkeypatch, tmp_path / "cut") == 2  # it is finished


LADDER = [
    "sampler=ladder",
    "network=mini",
    "neuron=horse",
    "sampler.ranges=[[1,2],[3,4],[5,6]]",
    "K=2",
    "animation=false",
    "report=false",
    "progress=false",
]


@pytest.mark.parametrize("when", ["first round", "later round", "between two rounds"])
@pytest.mark.parametrize("sampler", ["stream", "ladder"])
def test_ctrl_c_may_come_at_any_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sampler: str, when: str
) -> None:
    words = LADDER if sampler == "ladder" else [*HORSE, "animation=false", "report=false"]
    kind = Climb if sampler == "ladder" else Stream
    assert run(monkeypatch, tmp_path / "whole", *words) == 0
    original, calls = kind.step, []

    def ctrl_c(self: Any, target: Any, state: Any, rng: torch.Generator) -> Any:
        after = original(self, target, state, rng)
        calls.append(1)
        if len(calls) == (1 if when == "first round" else 8):
            raise KeyboardInterrupt
        return after

    def late(*_: Any) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if when == "between two rounds":
            patch.setattr("invset.commands.run_job.Job._progress", late)
        else:
            patch.setattr(kind, "step", ctrl_c)
        assert run(patch, tmp_path / "cut", *words) == 130
    assert resume(monkeypatch, tmp_path / "cut") == 0
    names = ["samples.safetensors", "activations.csv", "optimization.csv", "samples.png"]
    assert all(
        (tmp_path / "whole" / n).read_bytes() == (tmp_path / "cut" / n).read_bytes() for n in names
    )
    commands = [
        json.loads((tmp_path / n / "summary.json").read_text())["command"] for n in ("whole", "cut")
    ]
    assert commands[0] == commands[1]


def test_a_signal_ends_a_process_with_a_whole_folder(tmp_path: Path) -> None:
    # a shell's background jobs, and so their children, ignore SIGINT
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from invset.cli"
        " import main; main()"
    )
    words = [
        "run",
        *HORSE[:4],
        "n=20000",
        "K=3",
        "animation=false",
        "report=false",
        "checkpoint_seconds=0",
        f"hydra.run.dir={tmp_path}/cut",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], stderr=subprocess.PIPE, cwd=tmp_path, text=True
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / "state.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "Traceback" not in err
    names = {p.name for p in (tmp_path / "cut").iterdir()}
    assert {
        "state.pt",
        "summary.json",
        "activations.csv",
        "optimization.csv",
        "samples.safetensors",
    } <= names
    assert not [n for n in names if n.startswith(".part-")]
    assert json.loads((tmp_path / "cut" / "summary.json").read_text())["status"] == "interrupted"


def test_a_new_run_in_an_old_folder_leaves_nothing_of_the_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run(monkeypatch, tmp_path / "a", *HORSE) == 0
    words = ["n=3", "animation=false", "report=false", "overwrite=true"]
    assert run(monkeypatch, tmp_path / "a", *HORSE, *words) == 0
    assert len(list((tmp_path / "a" / "samples").iterdir())) == 3
    assert not (tmp_path / "a" / "animation.gif").exists()


def test_two_runs_in_one_second_have_two_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        *HORSE,
        "n=3",
        "animation=false",
        "report=false",
        "hydra.run.dir='${unused:outputs/now}'",
    ]
    for _ in range(2):
        assert typed(monkeypatch, "run", *words) == 0
    assert sorted(p.name for p in (tmp_path / "outputs").iterdir()) == ["now", "now-2"]
    assert "${unused:" in (config_dir() / "run.yaml").read_text()
    assert not OmegaConf.has_resolver(
        "unused"
    )  # who composes later, in this process, makes no folders


def sweep(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    return run(
        monkeypatch,
        folder,
        "-m",
        "network=mini",
        "n=3",
        "K=3",
        "progress=false",
        "animation=false",
        *words,
        f"hydra.sweep.dir={folder}",
    )


def test_a_sweep_goes_on_past_a_bad_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert sweep(monkeypatch, tmp_path / "a", "neuron=horse", "range=[1,2],[4,3],[3,4]") == 2
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        ".invset",
        "0",
        "1",
        "2",
        "multirun.yaml",
        "report.html",
        "sweep.csv",
        "sweep.png",
    ]
    rows = list(csv.DictReader((tmp_path / "a" / "sweep.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["reached", "failed", "reached"]
    assert [row["neurons"] for row in rows] == [
        "fc8:8 horse in [1, 2]",
        "",
        "fc8:8 horse in [3, 4]",
    ]
    reason = "z1 must be below z2, but z1=4 and z2=3; for example z1=3 z2=4"
    assert [row["reason"] for row in rows] == ["", reason, ""]
    failed = json.loads((tmp_path / "a" / "1" / "failed.json").read_text())
    assert (failed["exit_code"], failed["reason"]) == (2, reason)
    assert failed["command"] == rows[1]["command"]
    assert "'range=[4,3]'" in failed["command"]
    page = (tmp_path / "a" / "report.html").read_text()
    assert f"Failed: {reason}" in page
    assert page.count("<figure>") == 6
    assert (tmp_path / "a" / "2" / "samples" / "00003.png").exists()


def test_a_sweep_goes_on_past_a_defect(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    original, calls = Stream.step, []

    def broken(self: Any, *rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("a defect")
        return original(self, *rest)

    monkeypatch.setattr(Stream, "step", broken)
    assert sweep(monkeypatch, tmp_path / "a", "neuron=horse", "range=[1,2],[3,4]") == 1
    assert "Traceback" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "a" / "sweep.csv").read_text().splitlines()))
    assert [(row["status"], row["reason"]) for row in rows] == [
        ("failed", "ZeroDivisionError: a defect"),
        ("reached", ""),
    ]

    # the same sweep once more in the same folder: nothing of the failure is left
    words = ["neuron=horse", "range=[1,2],[3,4]", "overwrite=true"]
    assert sweep(monkeypatch, tmp_path / "a", *words) == 0
    assert not (tmp_path / "a" / "0" / "failed.json").exists()


def test_a_sweep_without_a_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert sweep(monkeypatch, tmp_path / "a", "neuron=horse", "range=[2,1],[4,3]") == 2
    assert "2 jobs, 0 with a result and 2 failed" in (tmp_path / "a" / "report.html").read_text()
    assert not (tmp_path / "a" / "sweep.png").exists()


def test_ctrl_c_ends_a_sweep(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def ctrl_c(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Stream, "step", ctrl_c)
    assert sweep(monkeypatch, tmp_path / "a", "neuron=horse", "range=[1,2],[3,4]") == 130
    assert (tmp_path / "a" / "0" / "state.pt").exists()
    assert not (tmp_path / "a" / "1").exists()
    rows = list(csv.DictReader((tmp_path / "a" / "sweep.csv").read_text().splitlines()))
    assert [row["status"] for row in rows] == ["interrupted"]


def test_a_range_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "network=mini",
        "neuron=8",
        "z1=1000",
        "z2=1001",
        "n=2",
        "K=2",
        "sampler.max_age=5",
        "progress=false",
    ]
    assert run(monkeypatch, tmp_path / "a", *words) == 3
    out = capsys.readouterr().out
    assert "try z1=" in out
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["status"] == "unreachable"


def test_intersections_hidden_neurons_and_ladders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    several = "neurons=[{neuron: horse, z1: 2, z2: 4}, {layer: conv5, neuron: 20, z1: 0, z2: 3}]"
    assert (
        run(
            monkeypatch,
            tmp_path / "a",
            "network=mini",
            several,
            "n=3",
            "K=3",
            "animation=false",
            "report=false",
            "progress=false",
        )
        == 0
    )
    f = load_file(tmp_path / "a" / "samples.safetensors")["activations"]
    assert f.shape == (3, 2)
    assert ((f >= torch.tensor([2.0, 0.0])) & (f <= torch.tensor([4.0, 3.0]))).all()

    words = [
        "sampler=ladder",
        "network=mini",
        "neuron=horse",
        "sampler.ranges=[[1,3],[4,6]]",
        "K=2",
        "animation=false",
        "report=false",
        "progress=false",
    ]
    assert run(monkeypatch, tmp_path / "b", *words) == 0
    rows = json.loads((tmp_path / "b" / "summary.json").read_text())["rows"]
    assert [row["counts"]["in_range"] for row in rows] == [2, 2]
    f = load_file(tmp_path / "b" / "samples.safetensors")["activations"][:, 0]
    assert ((f[:2] >= 1) & (f[:2] <= 3)).all()
    assert ((f[2:] >= 4) & (f[2:] <= 6)).all()


@pytest.mark.parametrize("limit", ["limits.code_steps=60", "limits.seconds=0.001"])
def test_a_limit_ends_a_run_with_what_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str
) -> None:
    words = ["network=mini", "neuron=horse", "z1=0", "z2=8", "n=90", "progress=false", limit]
    words += ["report=false", "animation=false"]
    assert run(monkeypatch, tmp_path / "a", *words) == 3
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert summary["status"] == "budget"
    assert 0 < summary["counts"]["saved"] < 90
    assert summary["counts"]["in_range"] == summary["counts"]["saved"]
    if limit == "limits.code_steps=60":
        # 10 codes, 5 steps between two looks, a step of one forward and two backward passes
        assert 60 <= summary["meter"]["code_steps"] < 60 + 10 * 5 * 5 / 3
    assert not (tmp_path / "a" / "state.pt").exists()


def test_a_ladder_with_a_rung_out_of_reach_has_a_blank_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = [*LADDER, "sampler.ranges=[[1,3],[1000,1001]]", "sampler.max_age=16"]
    assert run(monkeypatch, tmp_path / "a", *words) == 3
    with Image.open(tmp_path / "a" / "samples.png") as picture:
        pixels = np.array(picture).min(-1)
    top, bottom = pixels[40:136, 130:300], pixels[156:250, 130:300]
    assert (top == 255).all()  # high activations stand above low ones
    assert (bottom < 255).any()
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert [row["counts"]["saved"] for row in summary["rows"]] == [2, 0]


def test_a_direction_on_the_command_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_file({"horse": torch.eye(10)[7]}, tmp_path / "d.safetensors")
    words = [
        "network=mini",
        "z1=4",
        "z2=6",
        "n=3",
        "K=3",
        "progress=false",
        "animation=false",
        "report=false",
    ]
    assert run(monkeypatch, tmp_path / "a", "neuron=8", *words) == 0
    assert (
        run(monkeypatch, tmp_path / "b", f"direction={tmp_path}/d.safetensors:horse", *words) == 0
    )
    plain, direction = (load_file(tmp_path / n / "samples.safetensors") for n in ("a", "b"))
    torch.testing.assert_close(plain["codes"], direction["codes"], rtol=1e-3, atol=1e-3)


def test_layers_that_are_called_by_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code = (
        "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(48, 6),"
        " nn.ReLU(), nn.Linear(6, 2))\n"
    )
    (tmp_path / "numbered_layers.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    words = [
        "network=custom",
        "network.module._target_=numbered_layers.build",
        "network.image_size=4",
        "layer=1",
        "encoder=1",
        "neuron=2",
    ]
    words += [
        "generator=pixels",
        "generator.size=4",
        "robust=0",
        "prior=none",
        "z1=-9",
        "z2=9",
        "n=3",
        "K=2",
        "progress=false",
    ]
    assert run(monkeypatch, tmp_path / "a", *words) == 0
    assert load_file(tmp_path / "a" / "samples.safetensors")["encodings"].shape == (3, 6)


def test_a_direction_is_a_neuron(tmp_path: Path) -> None:
    one_hot = torch.eye(10)[7]
    save_file({"horse": one_hot}, tmp_path / "d.safetensors")
    network, generator = mini_network(), mini_generator()
    images = generator(torch.zeros(2, 1024))
    plain = Problem(network, generator, neurons=[Neuron("fc8", 8, (0, 1))]).look(images)[0]
    direction = Problem(
        network, generator, neurons=[Neuron("fc8", None, (0, 1), direction=one_hot)]
    ).look(images)[0]
    torch.testing.assert_close(plain, direction)


@pytest.mark.parametrize(
    "words",
    [["generator=pixels", "prior=none"], ["generator=fourier", "prior=none"], ["prior=clip"]],
    ids=" ".join,
)
def test_other_generators_and_regions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]
) -> None:
    asked = [
        "network=mini",
        "neuron=horse",
        "z1=0",
        "z2=2",
        "n=3",
        "K=3",
        "animation=false",
        "report=false",
        "progress=false",
    ]
    assert run(monkeypatch, tmp_path / "a", *asked, *words) in (0, 3)
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["status"] in (
        "reached",
        "budget",
        "unreachable",
    )


def test_what_fails_after_sampling_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*HORSE, "animation=false", "report=false"]
    assert run(monkeypatch, tmp_path / "whole", *words) == 0
    expected = load_file(tmp_path / "whole" / "samples.safetensors")

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("this is a defect")

    for i, (what, defect) in enumerate(
        {
            "invset.analysis.discover.analyses": lambda: {"lean": broken},
            "invset.commands.run_job.judged": broken,
            "invset.report.run_folder.write_sheet": broken,
            "invset.report.summary.checksum": broken,
        }.items()
    ):
        cut = tmp_path / f"cut{i}"
        with monkeypatch.context() as patch:
            patch.setattr(what, defect)
            assert run(patch, cut, *words) == 2
        told = capsys.readouterr().err
        assert f"invset: the samples are in {cut}, but what follows failed (" in told
        assert "this is a defect" in told
        assert f"go on with: invset run --resume {cut}" in told
        assert len(list((cut / "samples").iterdir())) == 6
        assert len((cut / "activations.csv").read_text().splitlines()) == 7
        held = load_file(cut / "samples.safetensors")
        for name in ("codes", "activations", "encodings"):
            assert torch.equal(held[name], expected[name])
        assert (cut / "state.pt").exists()
    assert resume(monkeypatch, cut) == 0
    kept = {p.name: p.read_bytes() for p in cut.rglob("*") if p.suffix in (".csv", ".png")}
    whole = (tmp_path / "whole").rglob("*")
    assert kept == {p.name: p.read_bytes() for p in whole if p.suffix in (".csv", ".png")}
    assert load_file(cut / "samples.safetensors").keys() == expected.keys()


def test_a_step_that_fails_late_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run(monkeypatch, tmp_path / "whole", *HORSE) == 0
    step, calls = Stream.step, []

    def broken(self: Any, *rest: Any) -> Any:
        calls.append(1)
        if len(calls) == 8:
            raise ZeroDivisionError("a defect")
        return step(self, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Stream, "step", broken)
        with pytest.raises(ZeroDivisionError):
            run(patch, tmp_path / "cut", *HORSE)
    quiet = ["progress=false", "checkpoint_seconds=60"]  # neither changes a sample
    assert typed(monkeypatch, "run", "--resume", str(tmp_path / "cut"), *quiet) == 0
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")

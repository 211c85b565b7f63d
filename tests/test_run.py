"""``invset run`` end to end on the embedded pair: the folder, membership, determinism, interruption."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from PIL import Image
from safetensors.torch import load_file, save_file

import invset.samplers.base as base
from invset import InverseSetSampler, Neuron, Problem, mini_generator, mini_network
from invset.cli import main

HORSE = ["neuron=horse", "z1=4", "z2=6", "n=6", "K=3", "progress=false"]


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["invset", "run", *words, f"hydra.run.dir={folder}"])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def contents(folder: Path) -> dict[str, bytes]:
    names = ["samples.safetensors", "samples.png", "activations.csv", "optimization.csv", "animation.gif"]
    return {p.name: p.read_bytes() for p in [*(folder / n for n in names), *sorted((folder / "samples").iterdir())]}


def test_the_folder_and_what_it_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(monkeypatch, tmp_path / "a", *HORSE) == 0
    folder = tmp_path / "a"
    assert not (folder / "state.pt").exists()
    rows = list(csv.DictReader((folder / "activations.csv").read_text().splitlines()))
    summary = json.loads((folder / "summary.json").read_text())
    tensors = load_file(folder / "samples.safetensors")
    assert len(rows) == 6 == summary["counts"]["in_range"] == len(tensors["codes"])
    assert summary["status"] == "reached"
    assert summary["quality"]["real"]["images"] == 2000

    # an independent look at the files themselves
    network = mini_network()
    for i, row in enumerate(rows, start=1):
        with Image.open(folder / "samples" / f"{i:05d}.png") as picture:
            pixels = np.array(picture)
        x = torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).float() / 255
        f = network.module(x)[0, 7].item()
        assert f == pytest.approx(float(row["fc8:8 horse"]), abs=1e-3)
        assert 4 <= f <= 6
        assert row["in_range"] == "True"

    # the same seed, the same bytes; the neuron by number
    assert run(monkeypatch, tmp_path / "b", "neuron=8", *HORSE[1:]) == 0
    assert contents(folder) == contents(tmp_path / "b")
    assert run(monkeypatch, tmp_path / "c", *HORSE, "seed=1") == 0
    assert contents(folder)["samples.safetensors"] != contents(tmp_path / "c")["samples.safetensors"]


@pytest.mark.parametrize("sampler", ["stream", "two_stage"])
def test_an_interrupted_run_goes_on_to_the_same_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sampler: str) -> None:
    words = [*HORSE[:3], "n=30", "K=3", "progress=false", f"sampler={sampler}"]
    assert run(monkeypatch, tmp_path / "whole", *words) == 0

    original, calls = base.closest, []

    def ctrl_c(*args: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 17:
            raise KeyboardInterrupt
        return original(*args)  # type: ignore[arg-type]

    module = f"invset.samplers.{sampler}.closest"
    with monkeypatch.context() as patch:
        patch.setattr(module, ctrl_c)
        assert run(patch, tmp_path / "cut", *words) == 130
    assert (tmp_path / "cut" / "state.pt").exists()
    assert json.loads((tmp_path / "cut" / "summary.json").read_text())["status"] == "interrupted"

    monkeypatch.setattr(sys, "argv", ["invset", "run", "--resume", str(tmp_path / "cut")])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert contents(tmp_path / "whole") == contents(tmp_path / "cut")
    assert not (tmp_path / "cut" / "state.pt").exists()


def test_a_range_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, tmp_path / "a", "neuron=8", "z1=1000", "z2=1001", "n=2", "K=2", "sampler.max_age=5", "progress=false") == 3
    out = capsys.readouterr().out
    assert "try z1=" in out
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["status"] == "unreachable"


def test_intersections_hidden_neurons_and_ladders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    several = "neurons=[{neuron: horse, z1: 2, z2: 4}, {layer: conv5, neuron: 20, z1: 0, z2: 3}]"
    assert run(monkeypatch, tmp_path / "a", several, "n=3", "K=3", "animation=false", "progress=false") == 0
    f = load_file(tmp_path / "a" / "samples.safetensors")["activations"]
    assert f.shape == (3, 2)
    assert ((f >= torch.tensor([2.0, 0.0])) & (f <= torch.tensor([4.0, 3.0]))).all()

    words = ["sampler=ladder", "neuron=horse", "sampler.ranges=[[1,3],[4,6]]", "K=2", "animation=false", "progress=false"]
    assert run(monkeypatch, tmp_path / "b", *words) == 0
    f = load_file(tmp_path / "b" / "samples.safetensors")["activations"][:, 0]
    assert ((f[:2] >= 1) & (f[:2] <= 3)).all()
    assert ((f[2:] >= 4) & (f[2:] <= 6)).all()


def test_a_direction_is_a_neuron(tmp_path: Path) -> None:
    one_hot = torch.eye(10)[7]
    save_file({"horse": one_hot}, tmp_path / "d.safetensors")
    network, generator = mini_network(), mini_generator()
    images = generator(torch.zeros(2, 1024))
    plain = Problem(network, generator, neurons=[Neuron("fc8", 8, (0, 1))]).look(images)[0]
    direction = Problem(network, generator, neurons=[Neuron("fc8", None, (0, 1), direction=one_hot)]).look(images)[0]
    torch.testing.assert_close(plain, direction)


@pytest.mark.parametrize("words", [["generator=pixels", "prior=none"], ["generator=fourier", "prior=none"], ["prior=clip"]], ids=" ".join)
def test_other_generators_and_regions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]) -> None:
    assert run(monkeypatch, tmp_path / "a", "neuron=horse", "z1=0", "z2=2", "n=3", "K=3", "animation=false", "progress=false", *words) in (
        0,
        3,
    )
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["status"] in ("reached", "budget", "unreachable")


def test_five_lines_of_python() -> None:
    problem = Problem(mini_network(), mini_generator(), encoder="fc6", neurons=[Neuron("fc8", "horse", range=(4, 6))])
    result = InverseSetSampler(k=3, n=6).run(problem, seed=0)
    assert result.codes.shape == (6, 1024)
    assert result.images.shape == (6, 3, 32, 32)
    assert result.encodings.shape == (6, 1024)
    assert result.in_range.all()

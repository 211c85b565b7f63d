"""What a person types: help, versions, mistakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from invset.cli import COMMANDS, main, pick
from invset.errors import InvsetError


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["invset", *words])
    GlobalHydra.instance().clear()
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_pick_takes_one_or_two_words() -> None:
    assert pick(["run", "neuron=8"]) == ("run", ["neuron=8"])
    assert pick(["fit", "prior", "out=x"]) == ("fit prior", ["out=x"])
    with pytest.raises(InvsetError, match="Did you mean run"):
        pick(["rum"])
    with pytest.raises(InvsetError, match="invset train network, invset train generator"):
        pick(["train"])


def test_help_needs_no_torch() -> None:
    code = "import sys; sys.argv = ['invset', '--help']; from invset.cli import main; main(); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.endswith("False\n")
    assert all(name in out for name in COMMANDS)


MISTAKES = {
    "z1 must be below z2": ["neuron=horse", "z1=5", "z2=4"],
    "must be finite": ["neuron=horse", "z1=nan", "z2=4"],
    "finite": ["neuron=horse", "z1=0", "z2=inf"],
    "two numbers": ["neuron=horse", "z1=three", "z2=4"],
    "the range is missing": ["neuron=horse"],
    "not both": ["neuron=horse", "z1=1", "range=[1,2]"],
    "neurons 1 to 10": ["neuron=11", "z1=3", "z2=4"],
    "neuron=0 is out of range": ["neuron=0", "z1=3", "z2=4"],
    "Did you mean horse": ["neuron=hors", "z1=3", "z2=4"],
    "Did you mean conv5": ["layer=conv9", "neuron=1", "z1=3", "z2=4"],
    "K must be a whole number": ["neuron=1", "z1=3", "z2=4", "K=0"],
    "n must be a whole number": ["neuron=1", "z1=3", "z2=4", "n=0"],
    "more than the n=3 samples": ["neuron=1", "z1=3", "z2=4", "n=3"],
    "mu0 must be": ["neuron=1", "z1=3", "z2=4", "mu0=0"],
    "alpha must be": ["neuron=1", "z1=3", "z2=4", "alpha=1"],
    "seed must be": ["neuron=1", "z1=3", "z2=4", "seed=-1"],
    "no option nueron. Did you mean neuron": ["nueron=1", "z1=3", "z2=4"],
    "Did you mean mini": ["network=minni", "neuron=1", "z1=3", "z2=4"],
    "prior must be": ["neuron=1", "z1=3", "z2=4", "prior=natura"],
    "sampler.step must be": ["neuron=1", "z1=3", "z2=4", "sampler.step=newton"],
    "no weights at": ["neuron=1", "z1=3", "z2=4", "generator.weights=/nowhere/at.all"],
    "takes codes of 1024 numbers": ["neuron=1", "z1=3", "z2=4", "encoder=fc7", "prior=none"],
    "no natural region": ["neuron=1", "z1=3", "z2=4", "generator=pixels"],
    "device=abacus is unknown": ["neuron=1", "z1=3", "z2=4", "device=abacus"],
    "position must be": ["layer=conv5", "neuron=1", "z1=3", "z2=4", "position=middle"],
    "lies outside layer": ["layer=conv5", "neuron=1", "z1=3", "z2=4", "position=[9,0]"],
    "no direction at": ["direction=/nowhere.safetensors", "z1=3", "z2=4"],
    "neurons= for several, not both": ["neuron=1", "neurons=[{neuron: 1, z1: 1, z2: 2}]"],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_one_sentence(
    message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "run", *MISTAKES[message]) == 2
    err = capsys.readouterr().err
    assert err.startswith("invset: ")
    assert message.lower() in err.lower()
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("*.yaml"))  # bad input leaves nothing behind


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_is_not_replaced_in_silence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "run", "neuron=1", "z1=3", "z2=4", "device=cuda") == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "run", "neuron=1", "z1=3", "z2=4", f"hydra.run.dir={tmp_path}/file/run") == 2
    assert "can't write" in capsys.readouterr().err


def test_resume_wants_a_run_folder(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(monkeypatch, "run", "--resume", str(tmp_path)) == 2
    assert "is no run folder" in capsys.readouterr().err
    assert run(monkeypatch, "run", "--resume") == 2

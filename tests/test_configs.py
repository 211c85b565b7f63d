"""Every option of every group composes and instantiates; every key is explained."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import hydra
import pytest
import torch
from caffe_files import write_caffemodel
from caffe_oracle import caffenet_layers, generator_layers, random_blobs
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from invset.cli import COMMANDS, config_dir, main
from invset.models.load import ASSETS
from invset.problem import find_unit

CONFIGS = config_dir()
FILES = sorted(CONFIGS.rglob("*.yaml"))
EXPERIMENTS = sorted(p.relative_to(CONFIGS / "experiment").with_suffix("").as_posix() for p in (CONFIGS / "experiment").rglob("*.yaml"))


def config(name: str, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose(name, list(overrides))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(CONFIGS).as_posix())
def test_every_file_begins_with_its_command(path: Path) -> None:
    first = next(line for line in path.read_text().splitlines() if not line.startswith("# @package"))
    assert first.startswith("# invset ")


@pytest.mark.parametrize("path", [p for p in FILES if "experiment" not in p.parts and "method" not in p.parts], ids=lambda p: p.name)
def test_every_key_is_explained(path: Path) -> None:
    silent = []
    for line in path.read_text().split("\nhydra:")[0].splitlines():
        words = line.split("#")[0].strip()
        structure = words.endswith(":") or words.startswith(("- ", "_target_", "_partial_")) or "${" in words
        if words and not structure and "  # " not in line:
            silent.append(line)
    assert not silent


@pytest.mark.parametrize("command", [c for _, c, _ in COMMANDS.values() if c])
def test_every_command_composes(command: str) -> None:
    assert config(command)


def test_the_default_run() -> None:
    cfg = config("run")
    assert cfg.network._target_ == "invset.models.load.mini_network"
    assert cfg.generator._target_ == "invset.models.load.mini_generator"
    plain = {k: v for k, v in OmegaConf.to_container(cfg).items() if k not in ("network", "generator", "sampler")}  # type: ignore[union-attr]
    assert plain == {
        **dict.fromkeys(("neuron", "z1", "z2", "range", "layer", "direction", "neurons", "encoder", "encoder_network")),
        "position": "center",
        "K": 10,
        "n": 100,
        "mu0": 10,
        "alpha": 10,
        "inner_steps": 10,
        "prior": "natural",
        "clip": [0, 30],
        "constraint": "both",
        "eight_bit": True,
        "seed": 0,
        "device": "auto",
        "reference": "auto",
        "animation": True,
        "progress": True,
        "checkpoint_seconds": 30,
    }


@pytest.mark.parametrize("option", ["stream", "two_stage", "ladder"])
def test_every_sampler_instantiates(option: str) -> None:
    extra = ["sampler.ranges=[[1,2],[3,4]]"] if option == "ladder" else []
    sampler = hydra.utils.instantiate(config("run", f"sampler={option}", "K=3", "n=7", *extra).sampler)
    assert sampler.K == 3
    assert sampler.n == (6 if option == "ladder" else 7)
    assert {p.stem for p in (CONFIGS / "sampler").glob("*.yaml")} == {"stream", "two_stage", "ladder"}


@pytest.mark.parametrize("option", [p.stem for p in sorted((CONFIGS / "method").glob("*.yaml"))])
def test_every_method_instantiates(option: str) -> None:
    method = OmegaConf.load(CONFIGS / "method" / f"{option}.yaml")
    assert hydra.utils.instantiate(method.sampler)(n=20).n == 20
    assert option in config("compare").methods


OWN = """
from torch import nn
def network(): return nn.Sequential(nn.Flatten(), nn.Linear(48, 6), nn.ReLU(), nn.Linear(6, 2))
def generator(): return nn.Unflatten(1, (3, 4, 4))
"""


def test_the_custom_and_trained_options_instantiate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own_modules.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    custom = config("run", "network=custom", "network.module._target_=own_modules.network", "network.name=mine", "network.image_size=4")
    network = hydra.utils.instantiate(custom.network, device="cpu")
    assert (network.name, network.output, network.encoder) == ("mine", "3", "3.input")
    words = ["generator.module._target_=own_modules.generator", "generator.code_dim=48", "generator.gaussian=true"]
    generator = hydra.utils.instantiate(config("run", "generator=custom", *words).generator, device="cpu")
    assert generator.code_dim == 48
    assert generator.prior is not None
    torchvision = config("run", "network=torchvision", "network.name=squeezenet1_1", "network.weights=null").network
    assert hydra.utils.instantiate(torchvision, device="cpu").output
    trained = config("run", "generator=upconv", f"generator.weights={ASSETS}/mini-generator.safetensors").generator
    assert hydra.utils.instantiate(trained, device="cpu").code_dim == 1024
    assert hydra.utils.instantiate(config("run").network, device="cpu").output == "fc8"
    assert {p.stem for p in (CONFIGS / "network").glob("*.yaml")} == {"mini", "custom", "torchvision", *CAFFE["network"]}
    assert {p.stem for p in (CONFIGS / "generator").glob("*.yaml")} == {
        "mini",
        "custom",
        "upconv",
        "pixels",
        "fourier",
        *CAFFE["generator"],
    }


#: Published options of configs/network and configs/generator, and what they are.
CAFFE = {
    "network": {
        "caffenet": ("pool-norm", "volcano", 1000),
        "places205": ("pool-norm", "phone_booth", 205),
        "alexnet": ("norm-pool", "volcano", 1000),
    },
    "generator": ("ppgn", "deepsim_fc6"),
}


@pytest.mark.parametrize("option", CAFFE["network"])
def test_published_networks_instantiate(option: str, tmp_path: Path) -> None:
    order, name, n_out = CAFFE["network"][option]
    layers = caffenet_layers(order, 6, n_out)
    write_caffemodel(tmp_path / "net.caffemodel", random_blobs(layers, seed=0, bias=1.0))
    network = hydra.utils.instantiate(
        config("run", f"network={option}", f"network.weights={tmp_path}/net.caffemodel").network, device="cpu"
    )
    assert (network.name, network.resolve("fc6"), network.output) == (option, "relu6", "fc8")
    assert [name for name, _ in network.module.named_children() if name not in ("data", "flatten")] == [l.name for l in layers]
    assert find_unit(network, "fc8", name) == {"volcano": 980, "phone_booth": 140}[name]


@pytest.mark.parametrize("option", CAFFE["generator"])
def test_published_generators_instantiate(option: str, tmp_path: Path) -> None:
    write_caffemodel(tmp_path / "g.caffemodel", random_blobs(generator_layers(8), seed=0, bias=1.0))
    words = [f"generator={option}", f"generator.weights={tmp_path}/g.caffemodel"]
    generator = hydra.utils.instantiate(config("run", *words).generator, device="cpu")
    assert (generator.code_dim, generator.picture, generator.display) == (128, "mean", None)
    assert generator(torch.zeros(1, 128)).shape == (1, 3, 227, 227)


def test_settings_of_training_instantiate() -> None:
    for command in ("train_network", "train_generator"):
        assert hydra.utils.instantiate(config(command).settings)


@pytest.mark.parametrize("option", ["mini", "pixels", "fourier"])
def test_generators_instantiate(option: str) -> None:
    generator = hydra.utils.instantiate(config("run", f"generator={option}").generator, device="cpu")
    assert generator.code_dim >= 1024


@pytest.mark.parametrize("option", EXPERIMENTS)
def test_every_experiment_composes(option: str) -> None:
    cfg = config("run", f"experiment={option}")
    assert hydra.utils.instantiate(cfg.sampler).K >= 1


@pytest.mark.parametrize("option", EXPERIMENTS)
def test_every_experiment_runs(option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = ["n=4", "K=2", "inner_steps=2", "animation=false", "progress=false", f"hydra.run.dir={tmp_path}/run"]
    small += ["neuron=horse", "z1=3", "z2=5"] if option.startswith("paper") else []
    monkeypatch.setattr(sys, "argv", ["invset", "run", f"experiment={option}", *small])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as end:
        main()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (end.value.code or 0, summary["status"]) in ((0, "reached"), (3, "budget"), (3, "unreachable"))


def test_published_choices_are_those_of_the_paper() -> None:
    cfg = config("run", "experiment=paper/base")
    assert (cfg.K, cfg.n, cfg.mu0, cfg.alpha, cfg.inner_steps, cfg.prior, cfg.constraint) == (10, 500, 10, 10, 100, "none", "paper")
    sampler = hydra.utils.instantiate(cfg.sampler)
    assert (sampler.units, sampler.slack, sampler.diversity, sampler.diversity_units, sampler.earlier) == (
        "raw",
        "frozen",
        1,
        "raw",
        "last",
    )
    assert sampler.mu_max == float("inf")
    assert sampler.epsilon0 == 0.5

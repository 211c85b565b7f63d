"""Every option of every group composes and instantiates; every key is explained."""

from __future__ import annotations

from pathlib import Path

import hydra
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from invset.cli import COMMANDS, config_dir

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


@pytest.mark.parametrize("command", [c for _, c, _ in COMMANDS.values()])
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


@pytest.mark.parametrize("option", ["mini", "pixels", "fourier"])
def test_generators_instantiate(option: str) -> None:
    generator = hydra.utils.instantiate(config("run", f"generator={option}").generator, device="cpu")
    assert generator.code_dim >= 1024


@pytest.mark.parametrize("option", EXPERIMENTS)
def test_every_experiment_composes(option: str) -> None:
    cfg = config("run", f"experiment={option}")
    assert hydra.utils.instantiate(cfg.sampler).K >= 1


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

"""``invset probe``: what real images, random codes, short ascent and descent bring neurons to, and
which range to ask for.
"""

from __future__ import annotations

import shlex
from typing import Any

import torch
from omegaconf import DictConfig

from invset.commands.pictures import read_inputs
from invset.config import build
from invset.config.published import prepare
from invset.config.real_images import load_reference
from invset.config.validate import asked, check_probe
from invset.core.space import Region
from invset.files.image8bit import of_size
from invset.files.rundir import RunDir
from invset.problem.problem import Problem
from invset.report.probe_folder import Told, write_probe
from invset.report.strip import text
from invset.studies.probing import Populations, Probed, Probing, of_inputs, of_reference, probe

#: What is typed for a probe, but not for the run that it suggests.
_OWN = (
    "neuron",
    "neurons",
    "layer",
    "position",
    "direction",
    "images",
    "limit",
    "codes",
    "starts",
    "steps",
    "length",
    "seed",
    "progress",
)


def main(cfg: DictConfig) -> None:
    """Look at every neuron, print its strip and what to type, and write ``probe.json``,
    ``probe.csv`` and ``probe.png``.
    """
    from hydra.core.hydra_config import HydraConfig

    check_probe(cfg)
    prepare(cfg, ranged=False)
    problem = build.problem(cfg, ranged=False)
    rng = torch.Generator().manual_seed(cfg.seed)
    region = problem.region(cfg.prior, rng, build.bounds(cfg.clip, problem.generator.code_dim))
    probing = Probing(cfg.codes, cfg.starts, cfg.steps, cfg.length, cfg.progress)
    populations = probe(problem, region, rng, probing, _real(cfg, problem, region, probing))
    rundir = RunDir(HydraConfig.get().runtime.output_dir)
    commands = _commands(cfg, rundir.overrides(), problem.network.output)
    told = [
        Told.of(Probed.of_populations(name, rows), command, cfg.steps)
        for name, rows, command in zip(problem.names, populations, commands, strict=True)
    ]
    for one in told:
        print("\n".join([*text(one.strip), "", *one.sentences, ""]))
    write_probe(rundir, _about(cfg, problem, region, rundir.overrides()), told)
    print(rundir / "probe.png")


def _real(cfg: DictConfig, problem: Problem, region: Region, probing: Probing) -> list[Populations]:
    """What is known of real images, of each neuron."""
    if cfg.images is None:
        return of_reference(problem, load_reference(cfg, problem))
    medium = problem.medium
    if medium.shape is None:  # as large as the generator's
        medium = of_size(medium, problem.input_shape[1:])
    inputs = read_inputs(medium, cfg.images, cfg.limit, cfg.progress)
    return of_inputs(problem, region, medium, inputs, probing)


def _about(cfg: DictConfig, problem: Problem, region: Region, typed: list[str]) -> dict[str, Any]:
    return {
        "network": problem.network.name,
        "generator": problem.generator.name,
        "encoder": problem.encoder,
        "prior": region.name,
        "real": cfg.images or "reference",
        "steps": cfg.steps,
        "seed": cfg.seed,
        "command": f"invset probe {shlex.join(typed)}".strip(),
    }


def _commands(cfg: DictConfig, typed: list[str], output: str) -> list[list[str]]:
    """``invset run`` for each neuron, without a range; `output` is the network's output layer."""
    keys = {word: _key(word) for word in typed}
    kept = [
        word for word in typed if not keys[word].startswith("hydra.") and keys[word] not in _OWN
    ]
    return [["invset", "run", *kept, *_words(one, output)] for one in asked(cfg, ranged=False)]


def _key(word: str) -> str:
    return word.lstrip("+~").split("=")[0].split("@")[0]


def _words(one: dict[str, Any], output: str) -> list[str]:
    """One neuron as ``invset run`` takes it."""
    keys = ["layer", "neuron", "direction", "position"]
    given = {key: one.get(key) for key in keys if one.get(key) not in (None, "center")}
    if str(given.get("layer")) == output:
        del given["layer"]
    return [
        f"{key}={str(value).replace(' ', '') if key == 'position' else value}"
        for key, value in given.items()
    ]

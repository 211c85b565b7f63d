"""``invset compare``: samplers over neurons and ranges, each figure beside that of real images in
the same range.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from invset import __version__
from invset.analysis.discover import figures, measure
from invset.analysis.record import value_of
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.config import build
from invset.config.comparing import check_compare, given_options, method_of, neurons_of
from invset.config.device import choose_device
from invset.config.judging import Judging, judging
from invset.config.real_images import load_reference
from invset.core.checks import goal_of
from invset.errors import InvsetError
from invset.files.owner import locked
from invset.files.rundir import RunDir
from invset.files.sums import short_sum
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.nets.weights import checksum
from invset.problem.neuron import find
from invset.problem.problem import Neuron, Problem
from invset.problem.result import finish
from invset.report.runs_table import question, read_runs, summarize, text
from invset.studies.study import check_real, study_of


def main(cfg: DictConfig) -> None:
    """Run what is not in ``runs.csv`` yet, then summarise all of it."""
    check_compare(cfg)
    methods = {name: method_of(cfg, name) for name in dict.fromkeys(cfg.use)}
    out = RunDir(cfg.out)
    with locked(out.path, "or type out= and another folder"):
        _compare(cfg, methods, out)


def _compare(cfg: DictConfig, methods: dict[str, DictConfig], out: RunDir) -> None:
    done = read_runs(out / "runs.csv")
    parts = Parts.of(cfg)
    asked = {question(job): job for job in _jobs(cfg, methods, parts)}
    seen = set(map(question, done))
    bar = tqdm([job for key, job in asked.items() if key not in seen], desc="comparing", unit="run")
    for job in bar:
        bar.set_postfix_str(f"{job['method']} {job['layer']}:{job['neuron']} {job['range']}")
        neuron = Neuron(job["layer"], job["neuron"], (job["z1"], job["z2"]))
        found = _run(parts.problem(neuron), parts, methods[job["method"]], job["seed"])
        done.append({key: text(value) for key, value in {**job, **found}.items()})
        out.write_rows("runs.csv", done)
    table = "\n".join(summarize(done))
    out.write("summary.md", lambda path: Path(path).write_text(table + "\n", encoding="utf-8"))
    print(table)
    if parts.judge.why:
        print(parts.judge.why)


@dataclass(frozen=True)
class Parts:
    """What all runs have alike.

    Attributes:
        network, generator: of every problem.
        encoder: layer that is E(x); None: the network's own choice.
        encoder_network: where it lives; None: in `network`.
        reference: real images.
        judge: who looks at the samples.
        shared: columns `SHARED` of ``runs.csv``.
    """

    network: Network
    generator: Generator
    encoder: str | None
    encoder_network: Network | None
    reference: Reference
    judge: Judging
    shared: dict[str, Any]

    @classmethod
    def of(cls, cfg: DictConfig) -> Parts:
        """Build them.

        Raises:
            InvsetError: they do not fit, or there are no real images to take ranges from.
        """
        device = choose_device(cfg.device, float64=True)
        network = build.network(cfg.network, device)
        generator = build.generator(cfg.generator, device)
        other = None if cfg.encoder_network is None else build.network(cfg.encoder_network, device)
        encoder = None if cfg.encoder is None else str(cfg.encoder)
        layer, number = neurons_of(cfg)[0]
        problem = Problem(network, generator, encoder, [Neuron(layer, number)], other)
        reference = load_reference(cfg, problem)
        if reference is None:
            raise _no_reference(layer)
        judge = judging(cfg, network, other)
        judge.check(problem.input_shape)
        reference = judge.beside(reference)
        shared = {
            "version": __version__,
            "device": str(device),
            "network": _called(network, cfg.network),
            "generator": _called(generator, cfg.generator),
            "encoder": " of ".join([problem.encoder, *_encoder_network(other, cfg)]),
            "reference": short_sum(reference),
            "judge": "" if judge.network is None else _called(judge.network, cfg.judge),
            "n": cfg.n,
        }
        return cls(network, generator, encoder, other, reference, judge, shared)

    def problem(self, neuron: Neuron) -> Problem:
        """The question about one neuron."""
        return Problem(self.network, self.generator, self.encoder, [neuron], self.encoder_network)


def _jobs(cfg: DictConfig, methods: dict[str, DictConfig], parts: Parts) -> list[dict[str, Any]]:
    """The first columns of ``runs.csv``, of every run that is asked for."""
    samplers = {name: _sampler(cfg, name, method) for name, method in methods.items()}
    units = [_unit(parts, *one) for one in neurons_of(cfg)]
    return [
        {
            "method": method,
            **unit,
            "range": str(name),
            "seed": seed,
            **parts.shared,
            "sampler": samplers[method],
            "fractions": " ".join(str(float(share)) for share in shares),
            **dict(zip(("z1", "z2"), _range(parts, unit, shares), strict=True)),
        }
        for unit in units
        for name, shares in cfg.fractions.items()
        for seed in cfg.seeds
        for method in methods
    ]


def _unit(parts: Parts, layer: str, neuron: int | str) -> dict[str, Any]:
    """A neuron as it was typed, and as it is."""
    index = find(parts.network, Neuron(layer, neuron)).index
    assert index is not None  # it is no direction
    path = parts.network.resolve(layer) or layer
    return {"layer": layer, "neuron": neuron, "unit": f"{path}:{index + 1}"}


def _range(parts: Parts, unit: dict[str, Any], shares: Any) -> tuple[float, float]:
    """A range from shares of the largest activation of real images."""
    layer, index = unit["layer"], int(unit["unit"].rpartition(":")[2]) - 1
    if not parts.reference.knows(layer):
        raise _no_reference(layer)
    top = parts.reference.quantile(layer, index, 1.0)
    if top <= 0:
        raise InvsetError(
            f"neuron {unit['neuron']} of layer {layer} is {top:g} at most in real images; there are"
            " no shares of that, so leave it out of neurons="
        )
    low, high = (share * top for share in shares)
    return low, high


def _no_reference(layer: str) -> InvsetError:
    return InvsetError(
        f"there is no reference that holds layer {layer}; make one with: invset fit"
        f" reference 'keep=[{layer}]'"
    )


def _sampler(cfg: DictConfig, name: str, method: DictConfig) -> str:
    """What was typed of a sampler, and a sum of all its options."""
    typed = [f"{key}={value}" for key, value in given_options(cfg, name).items()]
    options = {key: value for key, value in method.sampler.items() if key != "n"}
    return " ".join([*typed, short_sum(method.prior, options)])


def _called(part: Any, about: Any) -> str:
    """Name of a network or generator, and a sum of what it is made from."""
    options = OmegaConf.to_yaml(about, resolve=True) if OmegaConf.is_config(about) else about
    return f"{part.name} {short_sum(options, checksum(part.module), getattr(part, 'prior', None))}"


def _encoder_network(network: Network | None, cfg: DictConfig) -> list[str]:
    return [] if network is None else [_called(network, cfg.encoder_network)]


def _run(problem: Problem, parts: Parts, method: DictConfig, seed: int) -> dict[str, Any]:
    """How a run ended, and its figures by their keys."""
    rng = torch.Generator().manual_seed(seed)
    region = problem.region(method.prior, rng)
    study = study_of(hydra.utils.instantiate(method.sampler))
    check_real(study, False, "invset run images=FOLDER")
    target = problem.target(region, goal_of(study))
    result = finish(problem, region, study.found(target, study.run(target, rng)))
    samples = SampleSet.of(problem, region, result, parts.judge.look(result.inputs))
    measured = measure(samples, parts.reference).summary
    values = {one.key: value_of(measured, one.key) for one in figures()}
    return {"status": result.status.value, **values}

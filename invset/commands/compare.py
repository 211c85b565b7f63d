"""``invset compare``: samplers over neurons and ranges, each figure beside that of real images in
the same range.
"""

from __future__ import annotations

import csv
import math
import statistics
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from tqdm import tqdm

from invset.analysis.diversity import Diversity, count_distinct
from invset.analysis.reference import Reference
from invset.api import finish
from invset.commands.outputs import load_reference
from invset.config import build
from invset.config.compose import compose
from invset.config.validate import check_components, several
from invset.errors import InvsetError
from invset.files.rundir import RunDir
from invset.problem.problem import Neuron, Problem
from invset.studies.study import study_of

KEY = ("method", "layer", "neuron", "range", "seed")


def main(cfg: DictConfig) -> None:
    """Run what is not in ``runs.csv`` yet, then summarise all of it."""
    methods = {name: _method(cfg, name) for name in cfg.use}
    neurons = _neurons(cfg)
    device = build.choose_device(cfg.device)
    network, generator = build.network(cfg.network, device), build.generator(cfg.generator, device)
    out = RunDir(cfg.out)
    table = out / "runs.csv"
    done = list(csv.DictReader(table.read_text().splitlines())) if table.exists() else []
    seen = {tuple(str(row[k]) for k in KEY) for row in done}
    jobs = [
        (method, layer, neuron, name, seed)
        for layer, neuron in neurons
        for name in cfg.fractions
        for seed in cfg.seeds
        for method in cfg.use
    ]
    reference: Reference | None = None
    bar = tqdm(
        [job for job in jobs if tuple(map(str, job)) not in seen], desc="comparing", unit="run"
    )
    for method, layer, neuron, name, seed in bar:
        bar.set_postfix_str(f"{method} {layer}:{neuron} {name}")
        problem = Problem(network, generator, cfg.encoder, [Neuron(layer, neuron)])
        reference = reference or load_reference(cfg, problem)
        if reference is None or not reference.knows(layer):
            raise InvsetError(
                f"there is no reference that holds layer {layer}; make one with: invset fit"
                f" reference 'keep=[{layer}]'"
            )
        index = problem.indices[0]
        assert index is not None
        low, high = (share * reference.quantile(layer, index, 1.0) for share in cfg.fractions[name])
        problem = Problem(network, generator, cfg.encoder, [Neuron(layer, neuron, (low, high))])
        row = dict(zip(KEY, (method, layer, neuron, name, seed), strict=True))
        row |= {
            "z1": low,
            "z2": high,
            **_run(cfg, problem, reference, methods[method], index, seed),
        }
        done.append({k: _text(v) for k, v in row.items()})
        out.write_csv("runs.csv", list(done[0]), [list(r.values()) for r in done])
    lines = summarize(done)
    out.write(
        "summary.md", lambda path: Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    )
    print("\n".join(lines))


def _neurons(cfg: DictConfig) -> list[tuple[str, int | str]]:
    """Layer and number or name of each neuron."""
    names, example = (
        ("layer", "neuron"),
        "'neurons=[{layer: fc8, neuron: [1,2]}, {layer: conv5, neuron: 20}]'",
    )
    form = f"neurons= is a list of layers, each with one neuron or several: {example}"
    listed = several(cfg, names, form)
    if not all(len(one) == len(names) for one in listed):
        raise InvsetError(form)
    units = [(str(one["layer"]), one["neuron"]) for one in listed]
    return [
        (layer, neuron)
        for layer, some in units
        for neuron in (some if isinstance(some, list) else [some])
    ]


def _method(cfg: DictConfig, name: str) -> DictConfig:
    """``invset run sampler=NAME`` as it would be, with what `cfg` says of n and of its options."""
    options = [f"sampler.{key}={value}" for key, value in (cfg.options.get(name) or {}).items()]
    method = compose("run", [f"sampler={name}", f"n={cfg.n}", *options])
    check_components(method)
    return method


def _run(
    cfg: DictConfig,
    problem: Problem,
    reference: Reference,
    method: DictConfig,
    index: int,
    seed: int,
) -> dict[str, Any]:
    rng = torch.Generator().manual_seed(seed)
    region = problem.region(method.prior, rng)
    study = study_of(hydra.utils.instantiate(method.sampler))
    target = problem.target(region)
    result = finish(problem, region, study.found(target, study.run(target, rng)))
    real = reference.compare([(problem.neurons[0].layer, index)], problem.range, cfg.n)
    e = result.encodings.cpu()
    same, distinct = (
        Diversity.of(e[: real.diversity.samples]),
        count_distinct(e[result.in_range.cpu()], real.threshold),
    )
    return {
        "status": result.status.value,
        "samples": len(result),
        "in_range": result.in_range.float().mean().item() if len(result) else math.nan,
        "gradient_steps": result.steps,
        "code_steps": result.meter.code_steps,
        "distinct": distinct,
        "code_steps_per_distinct": result.meter.code_steps / distinct if distinct else math.nan,
        "coverage": problem.range.coverage(result.activations) if len(result) else math.nan,
        "mean_distance": same.mean_pairwise_distance,
        "real_mean_distance": real.diversity.mean_pairwise_distance,
        "nearest": same.nearest_neighbour,
        "real_nearest": real.diversity.nearest_neighbour,
        "vendi": same.vendi,
        "real_vendi": real.diversity.vendi,
        "real_in_range": real.in_range,
        "real_kind": real.kind,
        "seconds": result.seconds,
    }


def _text(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def summarize(rows: list[dict[str, str]]) -> list[str]:
    """Markdown: a line for each method, layer and range; figures are means over the runs that ended
    ``reached``.
    """
    header = [
        "method",
        "layer",
        "range",
        "runs",
        "reached",
        "gradient steps",
        "code-steps per distinct",
        "in range",
        "tenths covered",
    ]
    header += ["mean distance (real)", "nearest (real)", "Vendi (real)", "seconds"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["layer"], row["range"]), []).append(row)
    for key, runs in groups.items():
        ended = [r for r in runs if r["status"] == "reached"]

        def mean(name: str, among: list[dict[str, str]] = ended, digits: int = 1) -> str:
            values = [float(r[name]) for r in among if not math.isnan(float(r[name]))]
            return f"{statistics.fmean(values):.{digits}f}" if values else "–"

        share = statistics.fmean([float(r["in_range"]) for r in ended]) if ended else math.nan
        cells = [
            *key,
            str(len(runs)),
            f"{len(ended)} of {len(runs)}",
            mean("gradient_steps", digits=0),
            mean("code_steps_per_distinct"),
        ]
        cells += [f"{share:.1%}" if ended else "–", mean("coverage", digits=2)]
        cells += [
            f"{mean(n)} ({mean(f'real_{n}')})" for n in ("mean_distance", "nearest", "vendi")
        ] + [mean("seconds")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines

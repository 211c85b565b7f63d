"""``invset compare``: samplers over neurons and ranges, each figure beside that of real images in
the same range.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from tqdm import tqdm

from invset.adapter import adapt
from invset.analysis.discover import figures, measure
from invset.analysis.record import value_of
from invset.analysis.reference import Reference
from invset.api import finish
from invset.config import build
from invset.config.real_images import load_reference
from invset.config.validate import several
from invset.errors import InvsetError, did_you_mean
from invset.files.rundir import RunDir
from invset.problem.problem import Neuron, Problem
from invset.report.run_folder import sample_set
from invset.report.table import Line, markdown
from invset.samplers.base import drive

KEY = ("method", "layer", "neuron", "range", "seed")


def main(cfg: DictConfig) -> None:
    """Run what is not in ``runs.csv`` yet, then summarise all of it."""
    unknown = [name for name in cfg.use if name not in cfg.methods]
    if unknown:
        raise InvsetError(
            f"there is no method {unknown[0]!r}.{did_you_mean(unknown[0], cfg.methods)} Methods:"
            f" {', '.join(cfg.methods)}"
        )
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
            **_run(cfg, problem, reference, cfg.methods[method], seed),
        }
        done.append({k: _text(v) for k, v in row.items()})
        out.write_rows("runs.csv", done)
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


def _run(
    cfg: DictConfig, problem: Problem, reference: Reference, method: DictConfig, seed: int
) -> dict[str, Any]:
    """How a run ended, and its figures by their keys."""
    rng = torch.Generator().manual_seed(seed)
    region = problem.region(method.prior, rng)
    partial = hydra.utils.instantiate(method.sampler)
    # n=5 alone should do
    sampler = partial(n=cfg.n, K=min(partial.keywords.get("K", partial.func.K), cfg.n))
    outcome = drive(sampler, problem.inverse_set(region), rng)
    result = finish(problem, region, outcome.state, outcome.seconds)
    samples = sample_set(problem, region, adapt(result, sampler, problem))
    measured = measure(samples, reference).summary
    values = {one.key: value_of(measured, one.key) for one in figures()}
    return {"status": result.status.value, **values}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def summarize(rows: list[dict[str, str]]) -> list[str]:
    """Markdown: a line for each method, layer and range; figures are means ± standard deviations
    over the runs that ended ``reached``.
    """
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["method"], row["layer"], row["range"]), []).append(row)
    lines = []
    for key, runs in groups.items():
        ended = [row for row in runs if row["status"] == "reached"]
        lines.append(Line([*key, f"{len(ended)} of {len(runs)}"], ended))
    return markdown(["method", "layer", "range", "reached"], lines, figures())

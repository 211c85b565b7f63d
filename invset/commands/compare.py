"""``invset compare``: samplers over neurons and ranges, each figure beside that of real images in
the same range.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, ListConfig
from tqdm import tqdm

from invset.analysis.discover import figures, measure
from invset.analysis.record import value_of
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.config import build
from invset.config.compose import compose, own_dir
from invset.config.judging import Judging, judging
from invset.config.real_images import load_reference
from invset.config.validate import check_components, several
from invset.core.checks import is_number
from invset.errors import InvsetError, did_you_mean
from invset.files.rundir import RunDir
from invset.problem.problem import Neuron, Problem
from invset.problem.result import finish
from invset.report.table import Line, markdown
from invset.studies.study import study_of

KEY = ("method", "layer", "neuron", "range", "seed")


def main(cfg: DictConfig) -> None:
    """Run what is not in ``runs.csv`` yet, then summarise all of it."""
    _check_options(cfg)
    methods = {name: _method(cfg, name) for name in cfg.use}
    jobs = _jobs(cfg)
    device = build.choose_device(cfg.device)
    network = build.network(cfg.network, device)
    generator = build.generator(cfg.generator, device)
    judge = judging(cfg, network)
    out = RunDir(cfg.out)
    done = _read(out / "runs.csv")
    seen = {tuple(row[key] for key in KEY) for row in done}
    new = [job for job in jobs if tuple(map(str, job.values())) not in seen]
    reference: Reference | None = None
    bar = tqdm(new, desc="comparing", unit="run")
    for job in bar:
        bar.set_postfix_str(f"{job['method']} {job['layer']}:{job['neuron']} {job['range']}")
        problem = Problem(network, generator, cfg.encoder, [Neuron(job["layer"], job["neuron"])])
        reference = reference or load_reference(cfg, problem)
        low, high = _range(problem, reference, cfg.fractions[job["range"]])
        neuron = Neuron(job["layer"], job["neuron"], (low, high))
        problem = Problem(network, generator, cfg.encoder, [neuron])
        found = _run(problem, (reference, judge), methods[job["method"]], job["seed"])
        row = {**job, "z1": low, "z2": high, **found}
        done.append({key: _text(value) for key, value in row.items()})
        out.write_rows("runs.csv", done)
    text = "\n".join(summarize(done))
    out.write("summary.md", lambda path: Path(path).write_text(text + "\n", encoding="utf-8"))
    print(text)
    if judge.why:
        print(judge.why)


def _jobs(cfg: DictConfig) -> list[dict[str, Any]]:
    """`KEY` of every run that is asked for."""
    return [
        dict(zip(KEY, (method, layer, neuron, name, seed), strict=True))
        for layer, neuron in _neurons(cfg)
        for name in cfg.fractions
        for seed in cfg.seeds
        for method in cfg.use
    ]


def _read(table: Path) -> list[dict[str, str]]:
    """The runs that are there.

    Raises:
        InvsetError: they were written by a version with other columns.
    """
    rows = (
        list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
        if table.exists()
        else []
    )
    if rows and not {*KEY, "status", "counts.saved"} <= set(rows[0]):
        raise InvsetError(
            f"{table} has the columns of an older version, to which no run can be added; delete it,"
            " or type out= and another folder"
        )
    return rows


def _range(
    problem: Problem, reference: Reference | None, shares: Sequence[float]
) -> tuple[float, float]:
    """A range from shares of the largest activation of real images."""
    layer = problem.neurons[0].layer
    if reference is None or not reference.knows(layer):
        raise InvsetError(
            f"there is no reference that holds layer {layer}; make one with: invset fit"
            f" reference 'keep=[{layer}]'"
        )
    index = problem.indices[0]
    assert index is not None
    low, high = (share * reference.quantile(layer, index, 1.0) for share in shares)
    return low, high


def _neurons(cfg: DictConfig) -> list[tuple[str, int | str]]:
    """Layer and number or name of each neuron."""
    names = ("layer", "neuron")
    example = "'neurons=[{layer: fc8, neuron: [1,2]}, {layer: conv5, neuron: 20}]'"
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


def _check_options(cfg: DictConfig) -> None:
    """Raise `InvsetError` for options of a sampler that is not compared, for no options, or for
    fractions that are no ranges.
    """
    fractions = cfg.fractions if isinstance(cfg.fractions, DictConfig) else {"": None}
    for name, pair in ((str(key), value) for key, value in fractions.items()):
        if not isinstance(pair, ListConfig) or len(pair) != 2 or not all(map(is_number, pair)):
            key = f"fractions.{name}={pair}" if name else f"fractions={cfg.fractions}"
            raise InvsetError(f"{key} is no range; type for example 'fractions.top=[0.95,1.1]'")
    if cfg.options is None:
        return
    form = "options= holds those of samplers: 'options={stream: {walk: 0.8}}'"
    if not isinstance(cfg.options, DictConfig):
        raise InvsetError(f"{form}, not {cfg.options}")
    for name, options in ((str(key), value) for key, value in cfg.options.items()):
        if name not in cfg.use:
            raise InvsetError(
                f"options= names {name}, which use= does not.{did_you_mean(name, cfg.use)} It"
                f" has {', '.join(cfg.use)}"
            )
        if not isinstance(options, DictConfig):
            raise InvsetError(f"{form}, not {{{name}: {options}}}")


def _method(cfg: DictConfig, name: str) -> DictConfig:
    """``invset run sampler=NAME`` as it would be, with what `cfg` says of n and of its options."""
    given = (cfg.options or {}).get(name, {})
    options = [f"sampler.{key}={value}" for key, value in given.items()]
    method = compose("run", [f"sampler={name}", f"n={cfg.n}", *options], more=own_dir())
    check_components(method)
    return method


def _run(
    problem: Problem,
    beside: tuple[Reference | None, Judging],
    method: DictConfig,
    seed: int,
) -> dict[str, Any]:
    """How a run ended, and its figures by their keys; `beside` is whom its samples are shown."""
    reference, judge = beside
    rng = torch.Generator().manual_seed(seed)
    region = problem.region(method.prior, rng)
    study = study_of(hydra.utils.instantiate(method.sampler))
    target = problem.target(region)
    result = finish(problem, region, study.found(target, study.run(target, rng)))
    samples = SampleSet.of(problem, region, result, judge.look(result.inputs))
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

"""``invset probe``: what real images, random codes, short ascent and descent bring neurons to, and
which range to ask for.
"""

from __future__ import annotations

import logging
import math
import shlex
from typing import Any

import torch
from omegaconf import DictConfig

from invset.commands.own_folder import begin_in, job_folder, typed_again
from invset.commands.pictures import real_inputs
from invset.commands.probe_features import asks_for_features, probe_features, with_one_feature
from invset.config import build
from invset.config.published import prepare
from invset.config.real_images import load_reference
from invset.config.validate import PLACES, asked, check_probe
from invset.core.space import Region
from invset.files.rundir import RunDir
from invset.problem.in_views import InViews
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem
from invset.progress import stage
from invset.report.probe_folder import Told, write_probe
from invset.report.sentences import read_at
from invset.report.strip import text
from invset.samplers.stream import Stream
from invset.studies.probed import AGAIN, REAL, WHOLE, Populations, Probed
from invset.studies.probing import Probing, of_inputs, of_reference, probe
from invset.studies.spending import Spending

log = logging.getLogger(__name__)

#: What is typed for a probe, but not for the run that it suggests.
_OWN = (
    "neurons",
    *PLACES,
    "images",
    "limit",
    "codes",
    "starts",
    "steps",
    "length",
    "code_steps",
    "seconds",
    "seed",
    "progress",
    "overwrite",
)

#: Code-steps that a sample takes with the default sampler: docs/compare.md.
_A_SAMPLE = 6

#: Seconds that a run may take for the n that is named.
_PATIENCE = 300


def main(cfg: DictConfig) -> None:
    """Look at every neuron, print its strip and what to type, and write ``probe.json``,
    ``probe.csv`` and ``probe.png``.
    """
    check_probe(cfg)
    prepare(cfg, ranged=False)
    with stage("building the network and the generator"):
        problem = build.problem(with_one_feature(cfg), ranged=False)
    for note in problem.notes:
        log.info("%s", note)
    rng = torch.Generator().manual_seed(cfg.seed)
    region = problem.region(cfg.prior, rng, build.bounds(cfg.clip, problem.generator.code_dim))
    inputs = real_inputs(problem, cfg.images, cfg.limit)
    if asks_for_features(cfg):
        codes = region.decode(region.sample(cfg.codes, rng)) if inputs is None else None
        words = _commands(cfg, typed_again(), "")[0]  # sae= needs its layer, also the output
        probe_features(cfg, problem, inputs, codes, words)
        return
    probing = Probing(
        cfg.codes,
        cfg.starts,
        cfg.steps,
        cfg.length,
        cfg.code_steps,
        cfg.seconds,
    )
    with probing.spending(problem, 0 if inputs is None else len(inputs)) as spending:
        if inputs is None:
            real = of_reference(problem, load_reference(cfg, problem))
        else:
            real = of_inputs(problem, region, problem.medium, inputs, probing, spending)
        found = probe(problem, region, rng, probing, spending, real)
    rundir = RunDir(job_folder(), listed=True)
    begin_in(rundir, cfg)
    typed = rundir.typed()
    commands = _commands(cfg, typed, problem.network.output)
    each = zip(problem.names, problem.neurons, found, commands, strict=True)
    told = [
        Told.of(Probed.of_populations(name, _as_read(rows, neuron), steps), command)
        for name, neuron, (rows, steps), command in each
    ]
    for one in told:
        print("\n".join([*text(one.strip), "", *one.sentences, ""]))
    about = _about(cfg, problem, region, typed)
    cut = _cut(cfg, spending)
    if cut:
        print(cut)
    if about["read"]:
        print(f"Read: {about['read']}.")
    write_probe(rundir, {**about, "cut": cut, "code_steps": round(spending.spent, 2)}, told)
    if any(one.command for one in told):
        print(_takes(problem, spending))
    print(rundir / "probe.png")


def _as_read(rows: Populations, neuron: Neuron) -> Populations:
    """Populations, where a feature that is off in a real image is 0: what it is below tells steps
    where to go.
    """
    if neuron.feature is None:
        return rows
    return {name: f.clamp_min(0) if name in (REAL, WHOLE, AGAIN) else f for name, f in rows.items()}


def _takes(problem: Problem, spending: Spending) -> str:
    """What samples take at the pace of the probe."""
    stream = Stream()
    sample = _A_SAMPLE * spending.seconds / spending.spent
    views = problem.readout
    if isinstance(views, InViews):  # many steps on views that are fewer, and may be smaller
        step = views.ratio * views.moving_passes / views.passes
        sample *= max(1, (1 + stream.moving * step) / _A_SAMPLE)
    n = max(1, min(stream.n, round(_PATIENCE / sample)))
    whole = n * sample
    long = f"{whole:.0f} s" if whole < 120 else f"{whole / 60:.0f} minutes"
    return (
        f"A sample takes about {sample:.2g} s at the pace of this probe: n={n} about {long}, and"
        " more where the range is hard to reach."
    )


def _cut(cfg: DictConfig, spending: Spending) -> str | None:
    """What is said where not all was done."""
    if not spending.cut:
        return None
    most = cfg[spending.limit]
    whole = math.ceil(1.2 * most * spending.planned / spending.spent)
    return (
        f"Not all of it was done within {spending.limit}={most:g}: {spending.spent:.0f} of"
        f" {spending.planned:.0f} code-steps in {spending.seconds:.0f} s; the counts above say of"
        f" what. For all type {spending.limit}={whole}; fewer codes= leave more for ascents."
    )


def _about(cfg: DictConfig, problem: Problem, region: Region, typed: list[str]) -> dict[str, Any]:
    return {
        "network": problem.network.name,
        "generator": problem.generator.name,
        "encoder": problem.encoder,
        "prior": region.name,
        "real": cfg.images or "reference",
        "steps": cfg.steps,
        "read": read_at(problem),
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
    given = {key: one.get(key) for key in PLACES if one.get(key) not in (None, "center")}
    if str(given.get("layer")) == output:
        del given["layer"]
    return [
        f"{key}={str(value).replace(' ', '') if key == 'position' else value}"
        for key, value in given.items()
    ]

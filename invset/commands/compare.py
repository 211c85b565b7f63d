"""``invset compare``: samplers over neurons, ranges or goals, and seeds, under one budget; each
figure beside that of real images in the same range.
"""

from __future__ import annotations

import logging
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from invset.analysis.discover import figures, measure
from invset.analysis.record import value_of
from invset.analysis.sample_set import SampleSet
from invset.commands.compare_parts import Parts
from invset.config.cells import Cell, cells_of
from invset.config.comparing import (
    baseline_of,
    budget_of,
    check_compare,
    given_options,
    method_of,
    neurons_of,
)
from invset.config.identity import own_code
from invset.config.words import with_ranges
from invset.errors import InvsetError
from invset.files.own_options import own_words
from invset.files.owner import locked
from invset.files.run_log import log_in
from invset.files.rundir import RunDir
from invset.files.sums import short_sum
from invset.problem.problem import Neuron
from invset.progress import bar
from invset.report.compare_folder import write_comparison, write_pictures
from invset.report.runs_table import question, read_runs, text
from invset.samplers.base import Limits
from invset.studies.arena import compete
from invset.studies.study import Study, study_of, takes_real

log = logging.getLogger(__name__)

#: Method and goal -> its configuration; None where the sampler has no such goal.
Methods = dict[tuple[str, str], DictConfig | None]


@dataclass(frozen=True)
class Job:
    """A run that is asked for.

    Attributes:
        row: its first columns of ``runs.csv``.
        neuron: with its range.
        method: the sampler's configuration; None: it has no such goal.
    """

    row: dict[str, Any]
    neuron: Neuron
    method: DictConfig | None


def main(cfg: DictConfig) -> None:
    """Run what is not in ``runs.csv`` yet, then summarise all of it."""
    check_compare(cfg)
    cells = cells_of(cfg)
    methods = {
        (name, goal): method_of(cfg, name, goal)
        for name in dict.fromkeys(cfg.use)
        for goal in dict.fromkeys(cell.goal for cell in cells)
    }
    _check_real(cfg, methods)
    out = RunDir(cfg.out)
    with locked(out.path, "or type out= and another folder"):
        log_in(out)
        _compare(cfg, cells, methods, out)


def _check_real(cfg: DictConfig, methods: Methods) -> None:
    """Raise `InvsetError` if real inputs are given that no sampler looks at."""
    if cfg.images is None:
        if cfg.limit is not None:
            raise InvsetError("limit= is of images=, which is not given; leave it out")
        return
    for method in filter(None, methods.values()):
        with suppress(InvsetError):  # one that can't be made is told in its row
            if takes_real(study_of(hydra.utils.instantiate(method.sampler))):
                return
    raise InvsetError(
        f"no sampler of use={list(cfg.use)} looks at real inputs; leave images= out, or add one"
        " that does, such as multifaceted"
    )


def _compare(cfg: DictConfig, cells: list[Cell], methods: Methods, out: RunDir) -> None:
    runs = {question(row): row for row in read_runs(out / "runs.csv")}
    parts = Parts.of(cfg)
    asked = {question(job.row): job for job in _jobs(cfg, cells, methods, parts)}
    # what was refused may be possible by now: a package was missing
    missing = [key for key in asked if key not in runs or runs[key]["status"] == "refused"]
    if len(missing) < len(asked):
        there = len(asked) - len(missing)
        log.info("%d of %d runs were there already in %s.", there, len(asked), out.path)
    with bar("comparing", "run") as progress:
        for done, key in enumerate(missing):
            row = asked[key].row
            progress.about = f"{row['method']} {row['layer']}:{row['neuron']} {row['range']}"
            progress(done, len(missing))
            found = _run(cfg, parts, asked[key], out)
            runs[key] = {column: text(value) for column, value in {**row, **found}.items()}
            out.write_rows("runs.csv", list(runs.values()))
            log.debug("%s: %s", progress.about, found["status"])
        progress(len(missing), len(missing))
    about = {"command": _command(), "baseline": baseline_of(cfg)}
    about["note"] = _on_views(methods) if parts.robust else ""
    about["directory"] = str(Path.cwd()) if " --config-dir " in about["command"] else ""
    out.write_json("compare.json", about)
    print("\n".join(write_comparison(out)))
    if parts.judge.why:
        print(parts.judge.why)
    print(out / "report.html")


def _on_views(methods: Methods) -> str:
    """What to know of samplers that take no steps on moving views of robust neurons."""
    fixed = {name for (name, _), one in methods.items() if one and "moving" not in one.sampler}
    if not fixed:
        return ""
    return (
        "Activations are means over fixed views of a picture. These views decide what a sample is,"
        f" and {' and '.join(sorted(fixed))} optimised nothing else: such samples may fit these"
        " views alone."
    )


def _command() -> str:
    """What was typed; empty where another program calls."""
    if not HydraConfig.initialized():
        return ""
    hydra = HydraConfig.get()
    typed = [str(word) for word in hydra.overrides.task]
    plain = [word for word in typed if word != "fractions=null"]
    words = [*own_words(hydra), *(plain if "fractions=null" in with_ranges(plain) else typed)]
    return f"invset compare {shlex.join(words)}".strip()


def _jobs(cfg: DictConfig, cells: list[Cell], methods: Methods, parts: Parts) -> list[Job]:
    """Every run that is asked for."""
    samplers = {
        name: _sampler(cfg, name, methods.get((name, "range")) or method_of(cfg, name))
        for name in dict.fromkeys(cfg.use)
    }
    jobs = []
    for unit in [parts.unit(*one) for one in neurons_of(cfg)]:
        for cell in cells:
            ends = parts.ends(unit, cell)
            shown = dict(zip(("z1", "z2"), ends, strict=True)) if cell.goal == "range" else {}
            for seed in cfg.seeds:
                for name in dict.fromkeys(cfg.use):
                    key = (name, cell.goal)
                    row = {
                        "method": name,
                        **unit.row,
                        "range": cell.name,
                        "goal": cell.goal,
                        "seed": seed,
                        **parts.shared,
                        "sampler": samplers[name],
                        "asked": cell.asked,
                        "z1": None,
                        "z2": None,
                        **shown,
                    }
                    neuron = replace(unit.neuron, range=ends)
                    jobs.append(Job(row, neuron, methods[key]))
    return jobs


def _sampler(cfg: DictConfig, name: str, method: DictConfig | None) -> str:
    """What was typed of a sampler, and a sum of all its options but its goal, and of its file
    where that is no file of ours.
    """
    typed = [f"{key}={value}" for key, value in given_options(cfg, name).items()]
    assert method is not None  # ranges are sampled by all
    free = ("n", "goal")
    options = {key: value for key, value in method.sampler.items() if key not in free}
    seen = {key: method[key] for key in ("eight_bit", "clamp") if not method[key]}
    real = {key: cfg[key] for key in ("images", "limit") if cfg[key] is not None}
    code = dict(own_code({"sampler": options}))
    # what is as ever does not make another question
    more = [one for one in (seen, real, code) if one]
    return " ".join([*typed, short_sum(method.prior, options, *more)])


def _run(cfg: DictConfig, parts: Parts, job: Job, out: RunDir) -> dict[str, Any]:
    """How a run ended, and its figures by their keys; its pictures are written."""
    nothing = {one.key: None for one in figures()}
    row, method = job.row, job.method
    if method is None:
        why = f"it samples ranges, and has no goal={row['goal']}"
        return {"status": "refused", "why": why, **nothing}

    def made() -> Study:
        return study_of(hydra.utils.instantiate(method.sampler))

    limits = Limits(**budget_of(cfg))  # type: ignore[arg-type]
    problem = parts.problem(job.neuron, method)
    ran = compete(problem, made, method.prior, row["seed"], limits, parts.real)
    if ran.result is None or ran.region is None:
        return {"status": "refused", "why": ran.why, **nothing}
    result = ran.result
    judged = parts.judge.look(result.inputs)
    around = parts.perturbing.look(problem, ran.region, result.codes)
    samples = SampleSet.of(problem, ran.region, result, judged, around)
    measured = measure(samples, parts.reference).summary
    pictures = problem.medium.pictures(result.inputs).numpy()
    write_pictures(out, row, pictures, result.activations[:, 0].tolist(), cfg.pictures)
    values = {one.key: value_of(measured, one.key) for one in figures()}
    return {"status": result.status.value, "why": "", **values}

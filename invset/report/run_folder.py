"""The files of a run's folder, but for its state and page: see `invset.files.rundir`."""

from __future__ import annotations

import shlex
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from invset.analysis.discover import measure
from invset.analysis.judged import Judged
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.core.products import products
from invset.core.space import Region
from invset.errors import InvsetError, first_lines
from invset.files.own_options import began_in
from invset.files.rundir import RunDir
from invset.problem.perturbing import Perturbed
from invset.problem.problem import Problem
from invset.problem.saved import displayed
from invset.problem.where_largest import where_largest
from invset.report.advice import probe_command
from invset.report.page import of_medium
from invset.report.sentences import sentences
from invset.report.sheet import write_sheet
from invset.report.summary import summarize

if TYPE_CHECKING:
    from invset.problem.result import Result

#: Tensors that ``keep=pictures`` leaves out: nearly all bytes of the file.
_LARGE = ("codes", "encodings")


@dataclass(frozen=True)
class Ended:
    """A run that has ended, or was interrupted.

    Attributes:
        problem, region, reference: what it was asked.
        found: its result.
        rows: the log, a row a gradient step, in the order of `found.columns`.
        seed: of every random draw.
        animation: whether the samples are written as an animation, too.
        judged: what another network sees in the samples; None where none looked.
        unjudged: a sentence that says why none looked.
        perturbed: activations around the samples; None where none were measured.
        changed: what changed around the run while it was interrupted, a few words for each.
        keep: what of the samples is written: "all", "pictures" or "codes".
        limit: the limit that was typed and ended it; empty: none did.
        again: the command that goes on with it; empty: it has ended.
    """

    problem: Problem
    region: Region
    reference: Reference | None
    found: Result
    rows: list[list[float]]
    seed: int
    animation: bool
    judged: Judged | None = None
    unjudged: str = ""
    perturbed: Perturbed | None = None
    changed: Sequence[str] = ()
    keep: str = "all"
    limit: str = ""
    again: str = ""


@contextmanager
def keeping(rundir: RunDir, problem: Problem, found: Result) -> Iterator[None]:
    """Write the samples by themselves if what follows their measurement fails.

    Args:
        rundir: the run's.
        problem: that was sampled.
        found: the samples.

    Raises:
        InvsetError: it failed.
    """
    try:
        yield
    except OSError:  # the disk takes no samples either
        raise
    except Exception as error:
        rundir.write_samples(problem.medium, found.inputs)
        rundir.write_tensors("samples.safetensors", _tensors(found, {}))
        inside = found.in_range
        rundir.write_csv("activations.csv", *_activations(problem, found, inside, {}))
        why = first_lines(error) or type(error).__name__
        raise InvsetError(
            f"the samples are in {rundir.path}, but what follows failed"
            f" ({why}{_place(error)}); mend that, then go on"
        ) from error


def _place(error: Exception) -> str:
    """Where an error that nobody foresaw was raised."""
    if isinstance(error, InvsetError):
        return ""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f", {type(error).__name__} in {last.filename}:{last.lineno}"


def write_run(rundir: RunDir, run: Ended) -> None:
    """Write every file of the run but its state and page."""
    problem = run.problem
    found = as_shown(problem, run.found)
    around = (run.judged, run.perturbed, where_largest(problem, run.found.inputs))
    samples = SampleSet.of(problem, run.region, found, *around)
    measured = measure(samples, run.reference)
    drawn = run.keep != "codes"
    rundir.write_samples(problem.medium, found.inputs, drawn)
    tensors = _tensors(found, measured.tensors)
    if run.keep == "pictures":
        tensors = {name: one for name, one in tensors.items() if name not in _LARGE}
    rundir.write_tensors("samples.safetensors", tensors)
    table = _activations(problem, found, samples.inside, measured.tensors)
    rundir.write_csv("activations.csv", *table)
    log = (["step", *(column.name for column in found.columns)], _numbered(run.rows))
    rundir.write_csv("optimization.csv", *log)
    summary = summarize(problem, run.region, found, run.seed, measured.summary)
    typed = rundir.typed()
    summary["command"] = f"invset run {shlex.join(typed)}".strip()
    if typed[:1] == ["--config-dir"]:
        summary["directory"] = began_in(rundir.path)
    summary["sentences"] = sentences(problem, found, summary, run.limit)
    noun = problem.medium.noun
    summary["sentences"] = [of_medium(line, noun) for line in summary["sentences"]]
    if run.unjudged:
        summary["sentences"].append(run.unjudged)
    if run.changed:
        changed = ", ".join(run.changed)
        summary["sentences"].append(f"It was interrupted, and went on although {changed}.")
    if summary["status"] in ("unreachable", "budget") and found.goal == "range":
        words = probe_command(typed, problem)
        summary["sentences"].append(f"Which ranges can be reached: {words}")
    if run.again:
        summary["sentences"].append(f"Go on with: {run.again}")
    if len(found) and drawn:
        write_sheet(rundir, problem, found, int(samples.inside.sum()), run.animation)
    if run.keep != "all":
        summary["keep"] = run.keep
    rundir.write_json("summary.json", summary)


@torch.no_grad()
@products("float32")
def as_shown(problem: Problem, found: Result) -> Result:
    """The same result with the pictures that are written: where a generator has a display of its
    own, not what the network saw.
    """
    shown = displayed(problem, found.codes)
    return found if shown is None else replace(found, inputs=shown)


def _tensors(found: Result, measured: dict[str, Tensor]) -> dict[str, Tensor]:
    """What ``samples.safetensors`` holds."""
    tensors = {
        "codes": found.codes,
        "encodings": found.encodings,
        "activations": found.activations,
        "activations_before_8bit": found.activations_before,
        "step": found.step,
        "parent": found.parent,
        **measured,
    }
    return tensors if found.cells is None else {**tensors, "cells": found.cells}


def _activations(
    problem: Problem, found: Result, inside: Tensor, measured: dict[str, Tensor]
) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of ``activations.csv``; what analyses say of each sample stands last."""
    names = problem.names
    before = [f"{name} before {problem.medium.rounding}" for name in names]
    more = {name: one.double() for name, one in measured.items() if one.ndim == 1}
    on_scales, scales = _scales(names, found)
    header = ["sample", "origin", "step", "parent", *before, *names, "in_range", *more, *on_scales]
    said = torch.stack(list(more.values()), 1) if more else torch.zeros(len(found), 0)
    said = torch.cat([said, scales.double()], dim=1)
    rows = [
        [
            *(i + 1, found.origins[origin], step, parent, *map(_short, f0), *map(_short, f), held),
            *map(_short, about),
        ]
        for i, (origin, step, parent, f0, f, held, about) in enumerate(
            zip(
                found.origin.tolist(),
                found.step.tolist(),
                found.parent.tolist(),
                found.activations_before.tolist(),
                found.activations.tolist(),
                inside.tolist(),
                said.tolist(),
                strict=True,
            )
        )
    ]
    return header, rows


def _scales(names: list[str], found: Result) -> tuple[list[str], Tensor]:
    """Names and columns of robust neurons on both scales, with shape (n, 2 p)."""
    if found.scales is None:
        return [], torch.zeros(len(found), 0)
    header = [f"{name} {where}" for where in ("in views", "in the whole") for name in names]
    return header, torch.cat([found.scales.views, found.scales.whole], dim=1)


def _numbered(rows: list[list[float]]) -> Iterator[list[Any]]:
    return ([i, *map(_short, row)] for i, row in enumerate(rows, start=1))


def _short(value: float) -> str:
    return f"{value:.7g}"

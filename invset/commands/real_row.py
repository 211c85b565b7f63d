"""Rows of real inputs for a figure: those whose activations lie in the ranges, the paper's simplest
way to an inverse set (section 3.1).
"""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor

from invset.analysis.selection import spread
from invset.commands.pictures import read_inputs
from invset.config import build
from invset.problem.encode import in_batches
from invset.problem.problem import Problem
from invset.progress import bar
from invset.report.paper_figure import Composition, Row
from invset.report.sweep_folder import Job


def real_rows(figure: Composition, jobs: list[Job], path: Path) -> list[Row]:
    """A row for each question of the jobs that have ended.

    Args:
        figure: how many are shown.
        jobs: of the sweep.
        path: folder, zip or tar of real inputs.

    Raises:
        InvsetError: nothing can be read there, or the networks can't be had.
    """
    asked = {tuple(job.run.questions): job.run for job in jobs if job.run}
    rows = []
    for questions, run in asked.items():
        problem = build.problem(OmegaConf.create(run.config))
        stored = read_inputs(problem.medium, path)
        f = _activations(problem, stored)
        inside = problem.range.contains(f)
        found = inside.nonzero()[:, 0].tolist()
        share = f"{len(found)} of {len(stored)} in range"
        if len(found) >= figure.picked:
            chosen = [found[i] for i in spread(f[found, 0].tolist(), figure.picked)]
        else:
            away = (problem.range.violation(f) / problem.range.width).square().sum(1)
            nearest = away.argsort(stable=True)[: figure.picked]
            chosen = nearest[f[nearest, 0].argsort(stable=True)].tolist()
        captions = [
            " ".join(f"{v:.1f}" for v in f[i].tolist()) + ("" if inside[i] else "*") for i in chosen
        ]
        label = "\n".join(["real images", *questions, share])
        rows.append(Row(label, problem.medium.pictures(stored[chosen]), captions))
    return rows


@torch.no_grad()
def _activations(problem: Problem, stored: Tensor) -> Tensor:
    """Of real inputs in stored form, with shape (N, p)."""

    def read(x: Tensor) -> dict[str, Tensor]:
        return {"f": problem.look(x)[0]}

    noun = problem.medium.noun
    with bar(f"{problem.network.name} looks at {noun}s", noun) as progress:
        return in_batches(problem.network, stored, read, 100, progress)["f"]

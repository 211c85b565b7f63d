"""The paper's figures: the jobs of a sweep as rows of pictures, each with what it is and how good
it is.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from invset.errors import InvsetError
from invset.report.folder import Run
from invset.report.grid import label_grid
from invset.report.selection import spread
from invset.report.sweep_folder import Job, compared


@dataclass(frozen=True)
class Figure:
    """What a sweep's configuration says under ``figure:``.

    Attributes:
        title: above the rows.
        labels: what each option of ``sampler=`` is called.
        picked: samples shown of each job, evenly spaced from low to high activation: the same rule
            for every method.
        columns: samples a row.
    """

    title: str
    labels: dict[str, str]
    picked: int = 10
    columns: int = 10

    @classmethod
    def of(cls, jobs: list[Job], folder: Path) -> Figure:
        """Read it from the first job that has ended.

        Raises:
            InvsetError: no job has, or there is no such section, or one that can't be read.
        """
        runs = [job.run for job in jobs if job.run]
        if not runs:
            raise InvsetError(
                f"no job of {folder} has ended, so there is nothing to draw; run the sweep again"
            )
        section = runs[0].config.get("figure")
        if not section:
            raise InvsetError(
                f"{folder} is no figure's: its configuration has no `figure:`; see"
                " configs/experiment/figures"
            )
        try:
            return cls(**section)
        except TypeError as error:
            raise InvsetError(
                f"`figure:` of {folder} takes title, labels, picked and columns, but holds"
                f" {', '.join(section)}"
            ) from error


def draw(figure: Figure, jobs: list[Job]) -> Image.Image:
    """A row, or several, for each job; a job that failed has its reason there, and no pictures."""
    rows: list[tuple[str, Tensor, list[str]]] = []
    for job in jobs:
        if job.run is None or not job.run.samples:
            rows.append(
                (_without_samples(figure, job), torch.zeros(0, 3, 1, 1, dtype=torch.uint8), [])
            )
            continue
        index = spread([s.after[0] for s in job.run.samples], figure.picked)
        for start in range(0, len(index), figure.columns):
            samples = [job.run.samples[i] for i in index[start : start + figure.columns]]
            captions = [" ".join(f"{v:.1f}" for v in s.after) for s in samples]
            rows.append(
                (
                    "" if start else label(figure, job, job.run),
                    torch.from_numpy(job.run.pixels(samples)),
                    captions,
                )
            )
    about = (
        "below each picture: activation of the saved file; in brackets: real images in the same"
        " range, or (*) the nearest to it"
    )
    return label_grid(rows, figure.title, footer=about)


def label(figure: Figure, job: Job, run: Run) -> str:
    """What stands left of a job's first row: the method, the question, and how good the samples
    are.
    """
    row = measure(run)
    lines = [_method(figure, job), *run.questions, f"{row['in_range']:.0%} in range"]
    if row["vendi"] is not None and row["nearest"] is not None and row["real_vendi"] is not None:
        mark = "" if row["real"] == "in range" else "*"
        lines.append(f"nearest {row['nearest']:.1f} ({row['real_nearest']:.1f}{mark})")
        lines.append(f"Vendi {row['vendi']:.1f} ({row['real_vendi']:.1f}{mark})")
    return "\n".join(lines)


def measure(run: Run) -> dict[str, Any]:
    """The figures of a run that tables are made of; those of real images are None where there are
    none to compare with.
    """
    counts, quality = run.summary["counts"], run.summary["quality"]
    real = quality.get("real") or {}
    alike = compared(quality)
    distance, real_distance = (
        quality["samples"]["mean_pairwise_distance"],
        real.get("mean_pairwise_distance"),
    )
    root_d = run.encodings.shape[1] ** 0.5
    seeds = [s.step for s in run.samples if s.stage == "seed"]
    return {
        "neurons": "; ".join(run.questions),
        "samples": counts["saved"],
        "in_range": counts["in_range"] / counts["saved"] if counts["saved"] else 0.0,
        "seed_steps": max(seeds) if seeds else None,
        "gradient_steps": counts["gradient_steps"],
        "code_steps": counts["code_steps"],
        "distance": distance,
        "distance_over_root_d": distance / root_d if distance is not None else None,
        "real": real.get("kind"),
        "real_samples": real.get("samples"),
        "real_distance": real_distance,
        "real_distance_over_root_d": real_distance / root_d if real_distance is not None else None,
        "nearest": alike["nearest_neighbour"],
        "real_nearest": real.get("nearest_neighbour"),
        "vendi": alike["vendi"],
        "real_vendi": real.get("vendi"),
        "extreme_code": _extreme_code(run),
        "seconds": run.summary["seconds"],
    }


def rows(figure: Figure, jobs: list[Job]) -> list[dict[str, Any]]:
    """A row of figures for each job that has ended."""
    return [
        {
            "method": _method(figure, job).replace("\n", " "),
            "seed": job.run.summary["seed"],
            **measure(job.run),
        }
        for job in jobs
        if job.run
    ]


def _without_samples(figure: Figure, job: Job) -> str:
    """What stands left of an empty row: the question and that nothing was found, or why the job
    failed.
    """
    if job.run:
        return "\n".join([_method(figure, job), *job.run.questions, "no samples"])
    reason = textwrap.wrap(f"failed: {job.reason}", width=40, max_lines=4, placeholder=" …")
    return "\n".join([f"{_method(figure, job)} (job {job.path.name})", *reason])


def _method(figure: Figure, job: Job) -> str:
    """The label of the job's sampler."""
    options = [word.removeprefix("sampler=") for word in job.words if word.startswith("sampler=")]
    return figure.labels.get(options[-1], options[-1]) if options else ""


def _extreme_code(run: Run) -> float | None:
    """Largest number of a sample's code by its size, the median over samples: section 4.1 blames
    bad pictures on it.
    """
    codes = run.codes()
    return float(np.median(np.abs(codes).max(1))) if len(codes) else None

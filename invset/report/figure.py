"""The paper's figures: the jobs of a sweep as rows of pictures, each with what it is and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from invset.errors import InvsetError
from invset.report.folder import Run
from invset.report.grid import chosen, label_grid
from invset.report.sweep_folder import Job


@dataclass(frozen=True)
class Figure:
    """What a sweep's configuration says under ``figure:``.

    Attributes:
        title: above the rows.
        labels: what each option of ``sampler=`` is called.
        picked: samples shown of each job, evenly spaced from low to high activation: the same rule for every method.
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
            InvsetError: no job has, or there is no such section.
        """
        runs = [job.run for job in jobs if job.run]
        if not runs:
            raise InvsetError(f"no job of {folder} has ended, so there is nothing to draw; run the sweep again")
        section = runs[0].config.get("figure")
        if not section:
            raise InvsetError(f"{folder} is no figure's: its configuration has no `figure:`; see configs/experiment/figures")
        return cls(**section)


def draw(figure: Figure, jobs: list[Job]) -> Image.Image:
    """A row, or several, for each job; a job that failed has its reason in place of pictures."""
    rows: list[tuple[str, Tensor, list[str]]] = []
    for job in jobs:
        if job.run is None or not job.run.samples:
            rows.append((f"{_method(figure, job)}\nno samples", torch.zeros(0, 3, 1, 1, dtype=torch.uint8), []))
            continue
        index = chosen(torch.tensor([s.after[0] for s in job.run.samples]), figure.picked)
        for part, numbers in enumerate(index.split(figure.columns)):
            samples = [job.run.samples[i] for i in numbers.tolist()]
            captions = [" ".join(f"{v:.1f}" for v in s.after) for s in samples]
            rows.append(("" if part else label(figure, job, job.run), torch.stack([_read(job.run.picture(s)) for s in samples]), captions))
    about = "below each picture: activation of the saved file; right of each figure, in brackets, that of real images in the same range"
    return label_grid(rows, figure.title, footer=about)


def label(figure: Figure, job: Job, run: Run) -> str:
    """What stands left of a job's first row: the method, the question, and how good the samples are."""
    row = measure(run)
    neurons = [f"{name} in [{z1:g}, {z2:g}]" for name, (z1, z2) in zip(run.names, run.ranges, strict=True)]
    lines = [*_method(figure, job).split("\n"), *neurons, f"{row['in_range']:.0%} in range"]
    if row["real_vendi"] is not None:
        lines.append(f"nearest {row['nearest']:.1f} ({row['real_nearest']:.1f})")
        lines.append(f"Vendi {row['vendi']:.1f} ({row['real_vendi']:.1f})")
    return "\n".join(lines)


def measure(run: Run) -> dict[str, Any]:
    """The figures of a run that tables are made of; those of real images are None where there are none to compare with."""
    counts, quality = run.summary["counts"], run.summary["quality"]
    real = quality.get("real") or {}
    alike = quality.get("samples_as_many_as_real") or quality["samples"]
    dim = run.encodings.shape[1]
    distance = quality["samples"]["mean_pairwise_distance"]
    seeds = [s.step for s in run.samples if s.stage == "seed"]
    return {
        "neurons": "; ".join(f"{n} in [{z1:g}, {z2:g}]" for n, (z1, z2) in zip(run.names, run.ranges, strict=True)),
        "samples": counts["saved"],
        "in_range": counts["in_range"] / counts["saved"] if counts["saved"] else 0.0,
        "seed_steps": max(seeds) if seeds else None,
        "gradient_steps": counts["gradient_steps"],
        "code_steps": counts["code_steps"],
        "distance": distance,
        "distance_over_root_d": distance / dim**0.5 if distance is not None else None,
        "real_distance": real.get("mean_pairwise_distance"),
        "real_distance_over_root_d": real["mean_pairwise_distance"] / dim**0.5 if real else None,
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
        {"method": _method(figure, job).replace("\n", " "), "seed": job.run.summary["seed"], **measure(job.run)} for job in jobs if job.run
    ]


def _method(figure: Figure, job: Job) -> str:
    """The label of the job's sampler."""
    options = [word.removeprefix("sampler=") for word in job.words if word.startswith("sampler=")]
    return figure.labels.get(options[-1], options[-1]) if options else ""


def _extreme_code(run: Run) -> float:
    """Largest number of a sample's code by its size, the median over samples: section 4.1 blames bad pictures on it."""
    codes = run.codes()
    return float(np.median(np.abs(codes).max(1))) if len(codes) else float("nan")


def _read(path: Path) -> Tensor:
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)

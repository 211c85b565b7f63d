"""The paper's figures: the jobs of a sweep as rows of pictures, each with what it is and how good
it is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from invset.analysis.record import DASH, Figure, value_of
from invset.analysis.selection import one_of_each, spread
from invset.errors import InvsetError
from invset.report.folder import Run
from invset.report.grid import label_grid
from invset.report.sweep_folder import Job, figures_of_jobs
from invset.report.table import Line, markdown


@dataclass(frozen=True)
class Composition:
    """What a sweep's configuration says under ``figure:``.

    Attributes:
        title: above the rows.
        labels: what each option of ``sampler=`` is called.
        picked: samples shown of each job, evenly spaced from low to high activation: the same rule
            for every method.
        columns: samples a row.
        order: which are picked, in which order: "activation", or "taken", the first in the order in
            which they were taken, seeds first (paper, Figure 9).
        chains: options of ``sampler=`` whose samples are shown one a chain, the last (paper, Figure
            2: 1 sample from each 200 steps).
    """

    title: str
    labels: dict[str, str]
    picked: int = 10
    columns: int = 10
    order: str = "activation"
    chains: Sequence[str] = ()

    @classmethod
    def of(cls, jobs: list[Job], folder: Path) -> Composition:
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
                f"`figure:` of {folder} takes {', '.join(one.name for one in fields(cls))}, but"
                f" holds {', '.join(section)}"
            ) from error

    def chosen(self, job: Job, run: Run) -> list[int]:
        """Places of the samples of a job that are shown, in order."""
        f = [sample.after[0] for sample in run.samples]
        if _option(job) in self.chains:
            return one_of_each([sample.parent for sample in run.samples], f)[: self.picked]
        if self.order == "taken":
            return list(range(min(self.picked, len(f))))
        return spread(f, self.picked)


class Row(NamedTuple):
    """A row of pictures.

    Attributes:
        label: what stands left of it.
        images: 8-bit RGB, with shape (M, 3, H, W).
        captions: what stands below each.
    """

    label: str
    images: Tensor
    captions: list[str]


def draw(figure: Composition, jobs: list[Job], real: Sequence[Row] = ()) -> Image.Image:
    """A row, or several, for each job; a job that failed has its reason there, and no pictures.

    Args:
        figure: what is shown.
        jobs: of the sweep.
        real: rows of real inputs, which come first.
    """
    rows = list(real)
    for job in jobs:
        if job.run is None or not job.run.samples:
            blank = torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
            rows.append(Row(_without_samples(figure, job), blank, []))
            continue
        index = figure.chosen(job, job.run)
        for start in range(0, len(index), figure.columns):
            samples = [job.run.samples[i] for i in index[start : start + figure.columns]]
            captions = [" ".join(f"{v:.1f}" for v in s.after) for s in samples]
            told = "" if start else label(figure, job, job.run)
            rows.append(Row(told, torch.from_numpy(job.run.pixels(samples)), captions))
    about = (
        "below each picture: activation of the saved file; in brackets: real images in the same"
        " range, or (*) the nearest to it"
    )
    return label_grid(rows, figure.title, footer=about)


def label(figure: Composition, job: Job, run: Run) -> str:
    """What stands left of a job's first row: the method, the question, and how good the samples
    are.
    """
    known = {one.key: one for one in run.figures}
    share = _told(run, known, "counts.share_in_range")
    lines = [_method(figure, job), *run.questions, f"{share} in range"]
    for name, key in (("nearest", "nearest_neighbour"), ("Vendi", "vendi")):
        ours = _told(run, known, f"beside_real.alike.{key}")
        real = _told(run, known, f"beside_real.real.{key}")
        mark = "" if value_of(run.summary, "beside_real.kind") == "in range" else "*"
        if real != DASH:
            lines.append(f"{name} {ours} ({real}{mark})")
    return "\n".join(lines)


def _told(run: Run, known: dict[str, Figure], key: str) -> str:
    """A figure as tables show it; a dash in a folder of an older version."""
    return known[key].text(value_of(run.summary, key)) if key in known else DASH


def rows(figure: Composition, jobs: list[Job]) -> list[dict[str, Any]]:
    """A row of figures for each job that has ended, by their keys."""
    return [
        {
            "method": _method(figure, job).replace("\n", " "),
            "neurons": "; ".join(job.run.questions),
            "seed": job.run.summary["seed"],
            **job.run.values,
        }
        for job in jobs
        if job.run
    ]


def table(figure: Composition, jobs: list[Job]) -> list[str]:
    """Lines in Markdown: one for each question and method, mean ± standard deviation over seeds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows(figure, jobs):
        groups.setdefault((row["neurons"], row["method"]), []).append(row)
    questions = list(dict.fromkeys(question for question, _ in groups))
    lines = [
        Line([question, method, str(len(some))], some)
        for question in questions
        for (of, method), some in groups.items()
        if of == question
    ]
    return markdown(["neurons", "method", "seeds"], lines, figures_of_jobs(jobs))


def _without_samples(figure: Composition, job: Job) -> str:
    """What stands left of an empty row: the question and that nothing was found, or why the job
    failed.
    """
    if job.run:
        return "\n".join([_method(figure, job), *job.run.questions, "no samples"])
    reason = textwrap.wrap(f"failed: {job.reason}", width=40, max_lines=4, placeholder=" …")
    return "\n".join([f"{_method(figure, job)} (job {job.name})", *reason])


def _method(figure: Composition, job: Job) -> str:
    """The label of the job's sampler."""
    option = _option(job)
    return "" if option is None else figure.labels.get(option, option)


def _option(job: Job) -> str | None:
    """What was typed behind ``sampler=``."""
    options = [word.removeprefix("sampler=") for word in job.words if word.startswith("sampler=")]
    return options[-1] if options else None

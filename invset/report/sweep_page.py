"""``report.html`` and ``sweep.png`` of a sweep: a row of pictures for each job, and why a job has
none.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from invset.analysis.record import value_of
from invset.analysis.selection import spread
from invset.files.reading import reading
from invset.files.rundir import RunDir
from invset.report.folder import ANEW, Run, Sample
from invset.report.page import activation, duration, render
from invset.report.run_page import question
from invset.report.sweep_folder import Job, figures_of_jobs
from invset.report.table import Line, cells, headlines
from invset.report.thumbnails import BUDGET, thumbnails

#: Pictures of a job, on the page and in the joined picture: at most, and at least.
PICTURES = 12
FEWEST = 4

#: Pictures of all jobs, up to which each has as many as it may: more take minutes.
ALL = 3000


def write_sweep_report(rundir: RunDir, jobs: Sequence[Job]) -> Path:
    """Write ``report.html`` into a sweep's folder; return its path."""
    with reading(rundir.path, "a sweep's folder", ANEW):
        page = render("sweep.html.jinja", **_context(rundir.path, jobs))
    return rundir.write("report.html", lambda path: path.write_text(page, encoding="utf-8"))


def write_picture(rundir: RunDir, jobs: Sequence[Job]) -> Path:
    """Write ``sweep.png``, a row a job, at least one of which has samples; return its path."""
    with reading(rundir.path, "a sweep's folder", ANEW):
        picture = _picture(jobs)
    return rundir.write("sweep.png", picture.save)


def _picture(jobs: Sequence[Job]) -> Image.Image:
    import torch

    from invset.report.grid import label_grid

    rows = []
    common = _common(jobs)
    for job in jobs:
        some = _some(job.run, len(jobs)) if job.run else []
        images = (
            torch.from_numpy(job.run.pixels(some))
            if job.run
            else torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
        )
        label = "\n".join(textwrap.wrap(_label(job, common), 30)) + ("" if job.run else "\nfailed")
        rows.append((label, images, [_caption(s) for s in some]))
    title = f"{len(jobs)} jobs, a row each: samples from low to high activation"
    footer = (
        "below each image: activation as measured on the saved 8-bit file; reasons of failures:"
        " report.html"
    )
    return label_grid(rows, title, footer=footer)


def pictures_of_each(jobs: int) -> int:
    """How many pictures each of so many jobs shows."""
    return max(FEWEST, min(PICTURES, ALL // max(jobs, 1)))


def _some(run: Run, jobs: int) -> list[Sample]:
    most = pictures_of_each(jobs)
    return [run.samples[i] for i in spread([s.after[0] for s in run.samples], most)]


def _caption(sample: Sample) -> str:
    return " ".join(map(activation, sample.after))


def _common(jobs: Sequence[Job]) -> set[str]:
    """The words that all jobs have."""
    return set.intersection(*(set(job.words) for job in jobs))


def _label(job: Job, common: set[str]) -> str:
    """What tells a job from the others: the words that not all of them have; its neurons, where
    these are known and differ.
    """
    own = [word for word in job.words if word not in common]
    return (
        f"{job.name}: {' '.join(own)}"
        if own
        else f"{job.name}: {question(job.run) if job.run else 'no words of its own'}"
    )


def _context(folder: Path, jobs: Sequence[Job]) -> dict[str, Any]:
    failed = sum(job.run is None for job in jobs)
    done = [job.run for job in jobs if job.run]
    common = _common(jobs)
    shared = [word for word in jobs[0].words if word in common]
    total = sum(value_of(run.summary, "meter.seconds") or 0 for run in done)
    made = [_job(job, common, len(jobs)) for job in jobs]
    lead = (
        f"{len(jobs)} jobs, {len(jobs) - failed} with a result and {failed} failed."
        if failed
        else f"{len(jobs)} jobs."
    )
    return {
        "title": f"A sweep of {len(jobs)} jobs" if len(jobs) > 1 else "A sweep of one job",
        "lead": (
            f"{lead} Each row shows up to {pictures_of_each(len(jobs))} samples, evenly spread from"
            " the lowest to the highest activation."
        ),
        "facts": [
            ("The same in all jobs", " ".join(shared) or "nothing that was typed"),
            ("Networks", ", ".join(dict.fromkeys(run.summary["network"] for run in done)) or "–"),
            ("Samples", str(sum(len(run.samples) for run in done))),
            ("Time", duration(total)),
        ],
        "pixelated": all(job["pixelated"] for job in made if job["samples"]),
        "jobs": made,
        "figures": _figures(jobs),
        "files": sorted(
            p.name
            for p in folder.iterdir()
            if p.name in ("sweep.csv", "sweep.png", "multirun.yaml")
        ),
        "commands": [job.command for job in jobs],
    }


def _job(job: Job, common: set[str], jobs: int) -> dict[str, Any]:
    base = {
        "number": job.name,
        "label": _label(job, common),
        "reason": job.reason,
        "sentence": "",
        "link": "",
        "samples": [],
    }
    if job.run is None:
        return {**base, "pixelated": True}
    some = _some(job.run, jobs)
    thumbs = thumbnails([job.run.picture(s) for s in some], BUDGET // jobs)
    samples = [
        {"src": src, "alt": f"Sample {s.number}: activation {_caption(s)}", "caption": _caption(s)}
        for s, src in zip(some, thumbs.pictures, strict=True)
    ]
    link = quote(f"{job.name}/report.html") if (job.path / "report.html").is_file() else ""
    return {
        **base,
        "sentence": job.run.summary["sentences"][0],
        "link": link,
        "samples": samples,
        "pixelated": thumbs.pixelated,
    }


def _figures(jobs: Sequence[Job]) -> dict[str, Any]:
    """Header and rows of the table."""
    common = _common(jobs)
    lines = [
        Line(
            [_label(job, common), job.run.summary["status"] if job.run else "failed"],
            [job.run.values] if job.run else [],
        )
        for job in jobs
    ]
    columns = headlines(figures_of_jobs(jobs), lines)
    return {
        "header": ["job", "status", *(one.heading for one in columns)],
        "rows": [cells(line, columns) for line in lines],
    }

"""``report.html`` and ``sweep.png`` of a sweep: a row of pictures for each job, and why a job has
none.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from PIL import Image

from invset.analysis.record import DASH, value_of
from invset.analysis.selection import spread
from invset.files.reading import reading
from invset.files.rundir import RunDir
from invset.report.folder import ANEW, Run, Sample
from invset.report.grid import label_grid
from invset.report.page import activation, duration, render
from invset.report.run_page import question
from invset.report.sweep_folder import Job, figures_of_jobs
from invset.report.table import Line, cells, headlines
from invset.report.thumbnails import BUDGET, linked, thumbnails

#: Pictures of a job, on the page and in the joined picture.
PICTURES = 12

#: Jobs up to which their pictures are in the page, and all jobs in the joined picture. Pictures of
#: more are files beside the page, which a browser loads as one scrolls.
MANY = 100


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
    rows = []
    common = _common(jobs)
    drawn = _spread_out(jobs)
    for job in drawn:
        some = _some(job.run) if job.run else []
        images = job.run.pixels(some) if job.run and some else np.zeros((0, 3, 1, 1), np.uint8)
        label = "\n".join(textwrap.wrap(_label(job, common), 30)) + ("" if job.run else "\nfailed")
        rows.append((label, images, [_caption(s) for s in some]))
    of = f" of {len(jobs)}" if len(drawn) < len(jobs) else ""
    title = f"{len(drawn)}{of} jobs, a row each: samples from low to high activation"
    footer = (
        "below each image: activation as measured on the saved 8-bit file; reasons of failures:"
        " report.html"
    )
    return label_grid(rows, title, footer=footer)


def _spread_out(jobs: Sequence[Job]) -> list[Job]:
    """As many of the jobs as the joined picture has rows, evenly spread over them."""
    most = min(MANY, len(jobs))
    return [jobs[i * len(jobs) // most] for i in range(most)]


def _some(run: Run) -> list[Sample]:
    if not run.drawn:
        return []
    return [run.samples[i] for i in spread([s.after[0] for s in run.samples], PICTURES)]


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
    beside = (
        " Pictures are files in the jobs' folders, so the page shows them only in its own place."
        if len(jobs) > MANY
        else ""
    )
    lead = (
        f"{len(jobs)} jobs, {len(jobs) - failed} with a result and {failed} failed."
        if failed
        else f"{len(jobs)} jobs."
    )
    return {
        "title": f"A sweep of {len(jobs)} jobs" if len(jobs) > 1 else "A sweep of one job",
        "lead": (
            f"{lead} Each row shows up to {PICTURES} samples, evenly spread from the lowest to the"
            f" highest activation.{beside}"
        ),
        "facts": [
            ("The same in all jobs", " ".join(shared) or "nothing that was typed"),
            ("Networks", ", ".join(dict.fromkeys(run.summary["network"] for run in done)) or DASH),
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
    some = _some(job.run)
    files = [job.run.picture(s) for s in some]
    if jobs > MANY:
        thumbs = linked(files, f"{job.name}/samples")
    else:
        thumbs = thumbnails(files, BUDGET // jobs)
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
        "width": thumbs.width,
        "height": thumbs.height,
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

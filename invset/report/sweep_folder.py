"""The jobs of a sweep, read back from their folders: runs, and failures with their reasons."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invset.analysis.record import Figure
from invset.files.job_list import jobs_of
from invset.files.own_options import own_words_in
from invset.files.plan import matching
from invset.files.reading import read_json
from invset.files.rundir import overrides_in
from invset.report.folder import ANEW, Run, read_run


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Attributes:
        path: its folder.
        words: what was typed for it.
        run: what it found; None if it failed.
        reason: why it failed; empty if it didn't.
        name: its folder's path in the sweep's; a number unless hydra.sweep.subdir= says otherwise.
    """

    path: Path
    words: list[str]
    run: Run | None
    reason: str = ""
    name: str = ""

    @property
    def command(self) -> str:
        return f"invset run {shlex.join(self.words)}"

    def row(self) -> dict[str, Any]:
        """Its row of ``sweep.csv``."""
        if self.run is None:
            return {
                "job": self.name,
                "status": "failed",
                "reason": self.reason,
                "command": self.command,
            }
        summary = self.run.summary
        return {
            "job": self.name,
            "status": summary["status"],
            "reason": "",
            "neurons": "; ".join(self.run.questions),
            **self.run.values,
            "command": summary["command"],
        }


def figures_of_jobs(jobs: Sequence[Job]) -> list[Figure]:
    """The columns that the records of the jobs fill, those of all jobs joined."""
    known = {one.key: one for job in jobs if job.run for one in job.run.figures}
    return list(known.values())


def read_jobs(sweep: Path) -> list[Job]:
    """Read the folders of a sweep's jobs; none for a run."""
    jobs = jobs_of(sweep).items()
    return [read_job(path, path.relative_to(sweep).as_posix(), words) for path, words in jobs]


def read_job(path: Path, name: str = "", words: list[str] | None = None) -> Job:
    """Read a job's folder, whatever became of the job.

    Args:
        path: of the folder.
        name: of the job; by default the folder's.
        words: what was typed for it. What the folder has of other words is an earlier job's.
    """
    name = name or path.name
    there = overrides_in(path)
    typed = there if words is None else words
    asked = matching(typed)
    failed = _failed(path)
    if failed is not None and matching(failed.get("words", there)) == asked:
        return Job(path, typed, None, str(failed.get("reason", "")), name)
    if matching(there) == asked and (path / "summary.json").is_file():
        return Job(path, typed, read_run(path), name=name)
    again = shlex.join([*own_words_in(path), *typed])
    reason = f"it was stopped before it ended; run it again: invset run {again}"
    return Job(path, typed, None, reason, name)


def _failed(path: Path) -> dict[str, Any] | None:
    """Why a job failed; None if it didn't."""
    file = path / "failed.json"
    return read_json(file, "a note of what failed", ANEW) if file.is_file() else None

"""The jobs of a sweep, read back from their folders: runs, and failures with their reasons."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invset.analysis.record import Figure
from invset.files.reading import read_json, read_options
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


def read_job(path: Path, name: str = "") -> Job:
    """Read a job's folder, whatever became of the job; `name` is the job's, by default the
    folder's.
    """
    name = name or path.name
    overrides = path / ".hydra" / "overrides.yaml"
    words = [str(word) for word in read_options(overrides, ANEW)] if overrides.is_file() else []
    if (path / "summary.json").is_file():
        return Job(path, words, read_run(path), name=name)
    failed = path / "failed.json"
    if failed.is_file():
        reason = read_json(failed, "a note of what failed", ANEW).get("reason", "")
        return Job(path, words, None, str(reason), name)
    return Job(
        path,
        words,
        None,
        f"it was stopped before it ended; run it again: invset run {shlex.join(words)}",
        name,
    )

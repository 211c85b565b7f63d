"""How jobs ended, from their folders: exit codes, and what a sweeper that searches is told."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from invset.config.commands import OBJECTIVES
from invset.files.job_list import jobs_of
from invset.files.reading import read_json

#: How a run ended -> its exit code; 3 where samples are missing.
_CODES = {"reached": 0, "interrupted": 130}


def exit_code(folder: Path) -> int:
    """Of a job, whatever process it ran in: 0, 2 for bad input, 3 for a range that was not reached,
    130 for Ctrl-C; 1 where it was stopped before it ended.
    """
    failed = _read(folder / "failed.json")
    if failed is not None:
        return int(failed["exit_code"])
    summary = _read(folder / "summary.json")
    if summary is None:
        return 0 if (folder / "probe.json").is_file() else 1
    return _CODES.get(summary["status"], 3) if "status" in summary else 0


def ended(folder: Path) -> int | None:
    """The exit code of a job that came to its end with a result; None of any other."""
    written = any((folder / name).is_file() for name in ("summary.json", "probe.json"))
    cut_off = (folder / "state.pt").is_file() or (folder / "failed.json").is_file()
    return exit_code(folder) if written and not cut_off else None


def failure(folder: Path) -> str | None:
    """Why a job failed; None if it didn't."""
    failed = _read(folder / "failed.json")
    return None if failed is None else str(failed.get("reason", "it says no reason"))


def worst(sweep: Path) -> int:
    """The highest exit code of a sweep's jobs."""
    return max(map(exit_code, jobs_of(sweep)), default=0)


def told(cfg: Any, code: int, folder: Path) -> float:
    """What a sweeper gets of a job: the figure that it searches by, or the exit code.

    Args:
        cfg: of the job.
        code: its exit code.
        folder: of the job.
    """
    name = cfg.get("objective")
    return code if name is None else objective(str(name), folder)


def objective(name: str, folder: Path) -> float:
    """A figure of a job; NaN, which sweepers take for a job that failed, where it has none.

    Args:
        name: one of `OBJECTIVES`.
        folder: of the job.
    """
    value: Any = _read(folder / "summary.json")
    for key in OBJECTIVES[name].split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return math.nan if value is None else float(value)


def _read(path: Path) -> dict[str, Any] | None:
    return read_json(path, "how a job ended", "run it again") if path.is_file() else None

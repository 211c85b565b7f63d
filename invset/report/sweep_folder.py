"""The jobs of a sweep, read back from their folders: runs, and failures with their reasons."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from invset.report.folder import Run, read_run

_FIGURES = ("nearest_neighbour", "vendi", "mean_pairwise_distance")


def compared(quality: dict[str, Any]) -> dict[str, Any]:
    """The figures of as many samples as there are real images beside them; of all, where there are
    no real images.
    """
    return quality.get("samples_as_many_as_real") or quality["samples"]


@dataclass(frozen=True)
class Job:
    """A job of a sweep.

    Attributes:
        path: its folder, called by its number.
        words: what was typed for it.
        run: what it found; None if it failed.
        reason: why it failed; empty if it didn't.
    """

    path: Path
    words: list[str]
    run: Run | None
    reason: str = ""

    @property
    def command(self) -> str:
        return f"invset run {shlex.join(self.words)}"

    def row(self) -> dict[str, Any]:
        """Its row of ``sweep.csv``."""
        if self.run is None:
            return {
                "job": self.path.name,
                "status": "failed",
                "reason": self.reason,
                "command": self.command,
            }
        summary = self.run.summary
        quality = summary["quality"]
        ours, real = compared(quality), quality.get("real") or {}
        return {
            "job": self.path.name,
            "status": summary["status"],
            "reason": "",
            "neurons": "; ".join(
                f"{n['name']} in [{n['z1']:g}, {n['z2']:g}]" for n in summary["neurons"]
            ),
            **{
                key: summary["counts"][key]
                for key in ("saved", "in_range", "gradient_steps", "code_steps")
            },
            "compared": ours["samples"],
            **{key: ours[key] for key in _FIGURES},
            **{f"real_{key}": real.get(key) for key in ("in_range", *_FIGURES)},
            "seconds": summary["seconds"],
            "command": summary["command"],
        }


def read_job(path: Path) -> Job:
    """Read a job's folder, whatever became of the job."""
    overrides = path / ".hydra" / "overrides.yaml"
    words = [str(word) for word in OmegaConf.load(overrides)] if overrides.is_file() else []
    if (path / "summary.json").is_file():
        return Job(path, words, read_run(path))
    failed = path / "failed.json"
    if failed.is_file():
        return Job(path, words, None, json.loads(failed.read_text(encoding="utf-8"))["reason"])
    return Job(
        path,
        words,
        None,
        f"it was stopped before it ended; run it again: invset run {shlex.join(words)}",
    )

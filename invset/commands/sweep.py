"""What a sweep (``invset run -m``) writes when its jobs have ended: ``sweep.csv``, a row a job."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class JoinRuns(Callback):
    """Hydra calls it at the end of a sweep."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Write ``sweep.csv``."""
        join(Path(config.hydra.sweep.dir))


def join(folder: Path) -> None:
    """Join the summaries of the jobs that a sweep's folder holds; a job that failed has its number and no figures."""
    jobs = sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name)) if folder.is_dir() else []
    rows = [_row(job) for job in jobs]
    if not rows:
        return
    header = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / "sweep.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)
    print(folder / "sweep.csv")


def _row(job: Path) -> dict[str, Any]:
    file = job / "summary.json"
    if not file.exists():
        return {"job": job.name, "status": "failed"}
    summary = json.loads(file.read_text(encoding="utf-8"))
    quality = summary["quality"]
    return {
        "job": job.name,
        "status": summary["status"],
        "neurons": "; ".join(f"{n['name']} in [{n['z1']:g}, {n['z2']:g}]" for n in summary["neurons"]),
        **{key: summary["counts"][key] for key in ("saved", "in_range", "gradient_steps", "code_steps")},
        **{key: quality["samples"][key] for key in ("nearest_neighbour", "vendi", "mean_pairwise_distance")},
        **{f"real_{key}": (quality.get("real") or {}).get(key) for key in ("in_range", "nearest_neighbour", "vendi")},
        "seconds": summary["seconds"],
        "command": summary["command"],
    }

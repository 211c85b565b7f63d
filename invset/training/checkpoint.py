"""Checkpoints and the log of a training run: an interrupted run continues where it stopped."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import torch

from invset.errors import InvsetError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """Read the checkpoint at `path`, or None if there is none yet.

    Raises:
        InvsetError: the checkpoint was made with other settings than `config`.
    """
    if not path.exists():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    different = sorted(k for k in config.keys() | state["config"].keys() if config.get(k) != state["config"].get(k))
    if different:
        raise InvsetError(
            f"{path} was made with other settings ({', '.join(different)}); "
            "repeat the command with the same ones, or give another out= folder"
        )
    return state


class Log:
    """``log.csv``: one row for each report; the columns are fixed by the first row.

    Args:
        path: of the file.
        rows: rows that the checkpoint knows of; later ones, of steps that will be done again, are removed.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self.path = path
        if not rows:
            path.unlink(missing_ok=True)
        elif path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            path.write_text("".join(lines[: rows + 1]), encoding="utf-8", newline="")

    def write(self, row: dict[str, float]) -> None:
        """Append one row."""
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" for k, v in row.items()})

"""Checkpoints and the log of a training run: an interrupted run continues where it stopped."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invset.errors import InvsetError


def fingerprint(images: Tensor, count: int = 1000) -> str:
    """A short sum of 8-bit pictures, with shape (N, 3, H, W): of their number, size, and `count` of
    them, evenly spread.
    """
    index = torch.linspace(0, len(images) - 1, min(count, len(images))).long()
    return hashlib.sha256(
        f"{tuple(images.shape)}".encode() + images[index].contiguous().numpy().tobytes()
    ).hexdigest()[:16]


def shapes(module: nn.Module) -> str:
    """A short sum of the names and shapes of a module's tensors."""
    return hashlib.sha256(
        repr([(name, tuple(t.shape)) for name, t in module.state_dict().items()]).encode()
    ).hexdigest()[:16]


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    torch.save(state, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path, config: Mapping[str, object]) -> dict[str, Any] | None:
    """Read the checkpoint at `path`, or None if there is none yet.

    Raises:
        InvsetError: the checkpoint was made with other settings, pictures or network than `config`
            says.
    """
    if not path.exists():
        return None
    state = torch.load(path, map_location="cpu", weights_only=True)
    different = sorted(
        k for k in config.keys() | state["config"].keys() if config.get(k) != state["config"].get(k)
    )
    if different:
        raise InvsetError(
            f"{path} was made with others ({', '.join(different)}); repeat the command with the"
            " same ones, or give another out= folder"
        )
    return state


class Resumable:
    """A training whose state is that of its parts, its generator of random numbers, and what it
    counts.
    """

    _parts: tuple[str, ...]  # attributes with a state dict
    _counters: tuple[str, ...]  # attributes that are numbers
    rng: torch.Generator

    def state_dict(self) -> dict[str, Any]:
        """Everything that what follows depends on."""
        parts = {name: getattr(self, name).state_dict() for name in self._parts}
        return {
            **parts,
            "rng": self.rng.get_state(),
            **{name: getattr(self, name) for name in self._counters},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in self._parts:
            getattr(self, name).load_state_dict(state[name])
        self.rng.set_state(state["rng"])
        for name in self._counters:
            setattr(self, name, state[name])


class Log:
    """``log.csv``: one row for each report; the columns are fixed by the first row.

    Args:
        path: of the file.
        rows: rows that the checkpoint knows of; later ones, of steps that will be done again, are
            removed.
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

"""Checkpoints and the log of a training run: an interrupted run continues where it stopped."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.files.surroundings import Surroundings, machine
from invset.whole import write_whole


def fingerprint(values: Tensor) -> str:
    """A short sum of 8-bit pictures, with shape (N, 3, H, W), or of their labels, with shape (N,):
    of all of them, and of their order.
    """
    digest = hashlib.sha256(f"{values.dtype} {tuple(values.shape)}".encode())
    for part in values.split(1000):
        digest.update(part.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def structure(module: nn.Module) -> str:
    """A short sum of what a module is before its training: its layers with their options, the
    shapes of its weights, and what its buffers hold, such as means of pixels.
    """
    weights = [(name, tuple(one.shape)) for name, one in module.named_parameters()]
    buffers = [(name, one.tolist()) for name, one in module.named_buffers()]
    return hashlib.sha256(repr((repr(module), weights, buffers)).encode()).hexdigest()[:16]


def check_finite(losses: Mapping[str, float], module: nn.Module, when: str) -> None:
    """Raise `InvsetError` for a loss or a weight that is not finite: what is learnt from then on is
    nothing.

    Args:
        losses: name -> mean.
        module: whose weights are kept.
        when: for the message: "epoch 3".
    """
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if not bad and all(torch.isfinite(one).all() for one in module.parameters()):
        return
    raise InvsetError(
        f"{bad[0] if bad else 'a weight'} is not finite in {when}; the checkpoint before it is"
        " kept. Type a smaller learning rate in settings., and another out= folder"
    )


def surroundings(config: Mapping[str, object], device: str | torch.device) -> Surroundings:
    """What a training's state belongs to.

    Args:
        config: settings, and sums of pictures and networks: another one is another training.
        device: where it is trained.
    """
    return Surroundings({"options": config, **machine(device)}, needed="options")


def save_checkpoint(path: Path, state: dict[str, Any], around: Surroundings) -> None:
    """Write `state` whole or not at all."""
    write_whole(path, partial(around.write, state=state))


def load_checkpoint(
    path: Path, around: Surroundings, accept: Sequence[str] = ()
) -> dict[str, Any] | None:
    """Read the checkpoint at `path`, or None if there is none yet.

    Args:
        path: of the file.
        around: what it has to belong to.
        accept: kinds of surroundings that may differ: versions, device, threads.

    Raises:
        InvsetError: it is damaged, or was made with other settings, pictures or networks, or in
            other surroundings.
    """
    if not os.path.lexists(path):
        return None
    again = "give another out= folder"
    state = around.read(path, again, accept, "repeat the command with 'accept=[{}]'")
    if around.changed:
        print(f"going on, although {', '.join(around.changed)}", file=sys.stderr)
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

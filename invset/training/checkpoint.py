"""Checkpoints and the log of a training run: an interrupted run continues where it stopped."""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from invset.errors import InvsetError
from invset.files.sums import short_sum
from invset.files.surroundings import Surroundings, machine
from invset.whole import write_whole

log = logging.getLogger(__name__)


def structure(module: nn.Module) -> str:
    """A short sum of what training does not change in a module: its layers with what they say of
    their options, such as means of pixels, and the shapes of its tensors.
    """
    shapes = [(name, tuple(one.shape)) for name, one in module.state_dict().items()]
    told = re.sub(r"\b0x[0-9a-f]+", "", repr(module))  # an address is another one each time
    return short_sum(told, shapes)


class NotFinite(InvsetError):
    """A training that ended at a loss or a weight that is not finite.

    Attributes:
        last: the weights of the checkpoint before it; None if there was none.
    """

    last: nn.Module | None = None


def check_finite(
    losses: Mapping[str, float], module: nn.Module, when: str, checkpoint: Path
) -> None:
    """Raise `NotFinite` for a loss or a weight that is not finite: what is learnt from then on is
    nothing.

    Args:
        losses: name -> mean.
        module: whose weights and buffers are kept.
        when: for the message: "epoch 3".
        checkpoint: of what was learnt before; not there if nothing was.
    """
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    finite = [torch.isfinite(one).all() for one in module.state_dict().values()]
    if not bad and bool(torch.stack(finite).all()):  # one read of the device, not one a tensor
        return
    kept = "what was learnt before it is kept" if checkpoint.exists() else "nothing was learnt"
    raise NotFinite(
        f"{bad[0] if bad else 'a weight'} is not finite in {when}; {kept}. Type a smaller learning"
        " rate in settings., and another out= folder"
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
        log.warning("going on, although %s", ", ".join(around.changed))
    return state


class Resumable:
    """A training whose state is that of its parts, its generator of random numbers, and what it
    counts; `average` is the mean of the weights that are exported.
    """

    average: AveragedModel

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

    def averaged_at(self, state: dict[str, Any] | None) -> nn.Module | None:
        """The average of the weights in a checkpoint's state; None where there is none."""
        if state is None:
            return None
        self.load_state_dict(state)
        return self.average.module.eval()


class Log:
    """``log.csv``: one row for each report; the columns are fixed by the first row. It is written
    whole, so that it agrees with the checkpoint that holds the same rows.

    Args:
        path: of the file.
        rows: those of the checkpoint that the training goes on from.
    """

    def __init__(self, path: Path, rows: Sequence[Mapping[str, float]] = ()) -> None:
        self.path = path
        self.rows = [dict(row) for row in rows]
        if rows:
            self._write()
        else:
            path.unlink(missing_ok=True)

    def add(self, row: Mapping[str, float]) -> None:
        """Write one row more."""
        self.rows.append(dict(row))
        self._write()

    def _write(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in self.rows)
        write_whole(self.path, lambda file: file.write_text(text.getvalue(), encoding="utf-8"))

"""A training of a generator from its first step, or its checkpoint, to its last, with a log and
pictures.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from invset.core.ball import send
from invset.core.products import products
from invset.files.images import ImageSet, to_float
from invset.files.sums import short_sum
from invset.nets.network import Network
from invset.nets.upconv import UpConv
from invset.nets.weights import checksum
from invset.progress import Progress, bar
from invset.training.checkpoint import (
    Log,
    NotFinite,
    check_finite,
    load_checkpoint,
    save_checkpoint,
    structure,
    surroundings,
)
from invset.training.inversion import GeneratorTraining
from invset.training.sets import check_sizes

log = logging.getLogger(__name__)


@products("float32")
def train_generator(
    training: GeneratorTraining,
    train: ImageSet,
    val: ImageSet,
    out: Path,
    accept: Sequence[str] = (),
    about: Mapping[str, object] | None = None,
) -> UpConv:
    """Train to the end, from the checkpoint in `out` if there is one.

    Writes ``checkpoint.pt``, ``log.csv`` and ``pictures/STEP.png`` every ``report_every`` steps.

    Args:
        training: a generator and what trains it.
        train: pictures to learn from.
        val: pictures to measure on; never learnt from.
        out: a folder.
        accept: what may differ from an interrupted training: versions, device, threads.
        about: what else makes it another training, by name: what it began with.

    Returns:
        The average of the generator's weights.

    Raises:
        InvsetError: pictures of other sizes than the generator's, or `out` holds a training with
            other settings, pictures or networks.
        NotFinite: a loss or a weight is not finite.
    """
    s = training.settings
    check_sizes(train, val, training.generator.size)
    config = {**_config(training, train, val), **(about or {})}
    around = surroundings(config, training.network.device)
    state = load_checkpoint(out / "checkpoint.pt", around, accept)
    _begin(training, train, state)
    rows = Log(out / "log.csv", state["log"] if state else ())
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    with bar("training generator", "image") as progress:
        progress(training.step * s.batch_size, s.steps * s.batch_size)
        while training.step < s.steps:
            start = time.monotonic()
            losses = _train_some(training, train, progress)
            training.seconds += time.monotonic() - start
            row = losses | training.validate(val)
            try:
                when = f"step {training.step}"
                check_finite(row, training.averaged, when, out / "checkpoint.pt")
            except NotFinite as ended:
                ended.last = training.averaged_at(
                    load_checkpoint(out / "checkpoint.pt", around, accept)
                )
                raise
            _write(training, row, val, rows, out)
            held = {**training.state_dict(), "log": rows.rows}
            save_checkpoint(out / "checkpoint.pt", held, around)
    return training.averaged.eval()


def _config(training: GeneratorTraining, train: ImageSet, val: ImageSet) -> dict[str, object]:
    """What a checkpoint has to agree with."""
    settings = {**asdict(training.settings), "layers": list(training.settings.layers)}
    comparator = training.comparator
    compared = (
        {"comparator": _told(comparator.network), "comparator_layers": comparator.layers}
        if comparator is not None
        else {}
    )
    return {
        **settings,
        **compared,
        "train's pictures": short_sum(train.images),
        "val's pictures": short_sum(val.images),
        "network": _told(training.network),
        "encoder": training.encoder,
        "model": structure(training.generator),
        "discriminator": structure(training.discriminator),
    }


def _told(network: Network) -> str:
    """What a network computes: its layers, its weights, and how it takes pictures."""
    module = network.module
    return f"{checksum(module)} {structure(module)} {network.output} {network.medium}"


def _begin(training: GeneratorTraining, train: ImageSet, state: dict[str, Any] | None) -> None:
    """Go on from a checkpoint's state; without, measure the scale of codes, and what the comparator
    makes of photographs.
    """
    if state:
        training.load_state_dict(state)
        return
    if training.comparator is not None:
        training.comparator.measure(_some(training, train), training.rng)
    if training.generator.code_scale == 1:  # else it is a generator from an earlier training
        training.generator.code_scale.copy_(_code_scale(training, train))
        training.averaged.code_scale.copy_(training.generator.code_scale)


def _train_some(
    training: GeneratorTraining, train: ImageSet, progress: Progress
) -> dict[str, float]:
    """Steps up to the next report; return the mean of each loss."""
    s = training.settings
    if training.comparator is not None:
        index = torch.randint(len(train), (s.batch_size,), generator=training.rng)
        training.balance(train.images[index])
    sums: dict[str, Tensor] = {}
    counted = 0
    while not counted or (training.step % s.report_every and training.step < s.steps):
        index = torch.randint(len(train), (s.batch_size,), generator=training.rng)
        losses = training.train_step(train.images[index])
        sums = {name: sums.get(name, 0) + one.detach().float() for name, one in losses.items()}
        counted += 1
        progress(training.step * s.batch_size, s.steps * s.batch_size)
    totals = torch.stack(list(sums.values())).tolist()  # one read
    return {name: total / counted for name, total in zip(sums, totals, strict=True)}


def _write(
    training: GeneratorTraining, row: dict[str, float], val: ImageSet, rows: Log, out: Path
) -> None:
    """A row of the log, and pictures."""
    step = training.step
    images = step * training.settings.batch_size
    rows.add({"step": step, "images": images, "seconds": training.seconds, **row})
    pictures = training.pictures(val).permute(1, 2, 0).numpy()
    Image.fromarray(pictures).save(out / "pictures" / f"{step:06d}.png")
    told = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
    log.info("step %d/%d  %s", step, training.settings.steps, told)


@torch.no_grad()
def _code_scale(training: GeneratorTraining, train: ImageSet) -> Tensor:
    """Root mean square of the codes of a few hundred real pictures."""
    codes = training.network.taps(_some(training, train), [training.encoder])[training.encoder]
    return codes.square().mean().sqrt()


def _some(training: GeneratorTraining, train: ImageSet) -> Tensor:
    """A few hundred real pictures, as floats with shape (N, 3, H, W)."""
    spread = torch.linspace(0, len(train) - 1, min(512, len(train))).long()
    return to_float(send(train.images[spread], training.network.device))

"""Train the embedded network: SGD with Nesterov momentum, one-cycle rate, augmentation, an average
of the weights.

One file of settings (``configs/train_network.yaml``), one folder of results; the same seed gives
the same weights on the same machine, also when the run was interrupted and resumed.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.core.ball import send
from invset.core.options import check_options, option
from invset.core.products import products
from invset.errors import InvsetError
from invset.files.images import ImageSet, to_float
from invset.files.sums import short_sum
from invset.nets.fast import channels_last
from invset.progress import Progress, bar, quiet
from invset.training.augment import cutout, random_crop, random_flip, random_zoom
from invset.training.average import WarmAverage
from invset.training.checkpoint import (
    Log,
    NotFinite,
    Resumable,
    check_finite,
    load_checkpoint,
    save_checkpoint,
    structure,
    surroundings,
)
from invset.training.sets import check_classes, check_sizes

log = logging.getLogger(__name__)

#: What seeds of two epochs differ by: far more than those that people type.
_FAR = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class NetworkSettings:
    """How to train a classifier.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: pictures a step.
        lr: highest learning rate of the one-cycle schedule.
        weight_decay: of convolutions and matrices; biases and batch norm have none.
        label_smoothing: in [0, 1).
        crop: random shift in pixels, less than the pictures' side.
        flip: mirror half of the pictures left to right, which digits and letters do not bear.
        zoom: smallest share of a picture's area that a random part of it has; 1 is off.
        cutout: side in pixels of the grey square, less than the pictures'; 0 is off.
        ema: decay a step of the average of the weights that is exported.
        seed: of everything random.
        autocast: "bf16" computes convolutions in bfloat16, "off" in float32.
    """

    epochs: int = option(30, at_least=1)
    batch_size: int = option(250, at_least=2)
    lr: float = option(0.25, above=0, below=math.inf)
    weight_decay: float = option(5e-4, at_least=0, below=math.inf)
    label_smoothing: float = option(0.0, at_least=0, below=1)
    crop: int = option(4, at_least=0)
    flip: bool = True
    zoom: float = option(1.0, above=0, at_most=1)
    cutout: int = option(8, at_least=0)
    ema: float = option(0.998, at_least=0, below=1)
    seed: int = option(0, at_least=0)
    autocast: str = option("bf16", words=("bf16", "off"))

    def __post_init__(self) -> None:
        check_options(self, "settings")


@torch.no_grad()
@products("float32")
def predict(net: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """Logits of 8-bit pictures, with shape (N, n_out), on the CPU."""
    device = next(net.parameters()).device
    batches = images.split(batch_size)
    return torch.cat([net(to_float(send(batch, device))) for batch in batches]).cpu()


def accuracy(net: nn.Module, data: ImageSet) -> float:
    """Share of pictures whose highest logit is their class, in [0, 1]."""
    return (predict(net, data.images).argmax(1) == data.labels).float().mean().item()


class NetworkTraining(Resumable):
    """A network, the average of its weights, its optimiser and schedule: what a checkpoint holds.

    Args:
        net: float images in [0, 1], with shape (N, channels, H, W), to logits.
        settings: see `NetworkSettings`.
        steps: optimiser steps an epoch.
        device: where pictures are augmented and the network is trained; all draws are the CPU's.
    """

    _parts = ("net", "average", "optimizer", "schedule")
    _counters = ("epoch", "seconds")

    def __init__(
        self,
        net: nn.Module,
        settings: NetworkSettings,
        steps: int,
        device: str | torch.device = "cpu",
    ) -> None:
        s = settings
        self.settings = s
        self.steps = steps
        self.device = torch.device(device)
        self.net = channels_last(net.to(self.device))
        self.average = WarmAverage(net, s.ema)
        decay = [p for p in net.parameters() if p.ndim > 1]
        plain = [p for p in net.parameters() if p.ndim <= 1]
        groups = [
            {"params": decay, "weight_decay": s.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        # the one-cycle schedule moves the momentum between 0.95 and 0.85, against the rate
        self.optimizer = torch.optim.SGD(
            groups, lr=s.lr, momentum=0.95, nesterov=True, foreach=True
        )
        total = s.epochs * steps + 1
        warmup = max(0.2, 2 / total)  # at least one step: torch divides by its length
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, max_lr=s.lr, total_steps=total, pct_start=warmup
        )
        self.rng = torch.Generator().manual_seed(s.seed)
        self.epoch = 0
        self.seconds = 0.0

    def augmented(self, images: Tensor) -> Tensor:
        """8-bit pictures, with shape (N, channels, H, W), as the network gets them: floats on its
        device, each with its own draws.
        """
        s = self.settings
        rng = self.rng
        sent = send(images, self.device)  # a byte a pixel, not four
        x = random_zoom(random_crop(to_float(sent), s.crop, rng), s.zoom, rng)
        return cutout(random_flip(x, rng) if s.flip else x, s.cutout, rng)

    def train_epoch(self, train: ImageSet, progress: Progress = quiet) -> float:
        """One pass over the pictures; return the mean loss in nats.

        Args:
            train: the pictures.
            progress: told how many were looked at, of all epochs.
        """
        start = time.monotonic()
        self.net.train()
        order = torch.randperm(len(train), generator=self.rng)
        with self._own_draws():
            total = self._train_on(train, order, progress)
        self.average.eval()
        self.epoch += 1
        self.seconds += time.monotonic() - start
        return total.item() / self.steps

    @contextmanager
    def _own_draws(self) -> Iterator[None]:
        """Let dropout, which knows torch's global generator alone, draw as it would have drawn in a
        training that was not interrupted; nobody else's draws change.
        """
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed((self.settings.seed + (self.epoch + 1) * _FAR) % 2**63)
            yield

    def _train_on(self, train: ImageSet, order: Tensor, progress: Progress = quiet) -> Tensor:
        """Steps on pictures in an order; return the sum of the losses."""
        s = self.settings
        total = torch.zeros((), device=self.device)
        before, whole = self.epoch * self.steps, s.epochs * self.steps
        for step in range(self.steps):
            progress((before + step) * s.batch_size, whole * s.batch_size)
            index = order[step * s.batch_size : (step + 1) * s.batch_size]
            x = self.augmented(train.images[index]).contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=s.autocast == "bf16"):
                logits = self.net(x)
            loss = F.cross_entropy(
                logits.float(),
                send(train.labels[index], self.device),
                label_smoothing=s.label_smoothing,
            )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            self.average.update_parameters(self.net)
            total += loss.detach()
        return total


@products("float32")
def train_network(
    net: nn.Module,
    train: ImageSet,
    val: ImageSet,
    settings: NetworkSettings,
    out: Path,
    device: str | torch.device = "cpu",
    accept: Sequence[str] = (),
) -> nn.Module:
    """Train `net` in place of its random weights and return the average of its weights, in
    evaluation mode.

    Args:
        net: float images in [0, 1], with shape (N, channels, H, W), to logits.
        train: pictures to learn from.
        val: pictures to measure on after every epoch; never learnt from.
        settings: see `NetworkSettings`.
        out: folder for ``checkpoint.pt`` (resumed from if it is there) and ``log.csv``.
        device: where the network is trained.
        accept: what may differ from an interrupted training: versions, device, threads.

    Raises:
        InvsetError: sets of other classes or sizes, fewer pictures than a batch, or `out` holds a
            run with other settings.
        NotFinite: a loss or a weight is not finite.
    """
    s = settings
    _check(train, val, s)
    training = NetworkTraining(net, s, len(train) // s.batch_size, device)
    checkpoint = out / "checkpoint.pt"
    sums = {
        f"{name}'s {what}": short_sum(values)
        for name, part in (("train", train), ("val", val))
        for what, values in (("pictures", part.images), ("labels", part.labels))
    }
    around = surroundings({**asdict(s), **sums, "model": structure(net)}, device)
    state = load_checkpoint(checkpoint, around, accept)
    if state:
        training.load_state_dict(state)
    out.mkdir(parents=True, exist_ok=True)
    rows = Log(out / "log.csv", state["log"] if state else ())
    with bar("training network", "image") as progress:
        while training.epoch < s.epochs:
            loss = training.train_epoch(train, progress)
            row: dict[str, float] = {
                "epoch": training.epoch,
                "seconds": training.seconds,
                "lr": float(training.schedule.get_last_lr()[0]),
                "train_loss": loss,
                "val_accuracy": accuracy(training.average.module, val),
            }
            try:
                when = f"epoch {training.epoch}"
                check_finite({"train_loss": loss}, training.average.module, when, checkpoint)
            except NotFinite as ended:
                ended.last = training.averaged_at(load_checkpoint(checkpoint, around, accept))
                raise
            rows.add(row)
            log.info(
                "epoch %d/%d  loss %.3f  top-1 %.2f%%",
                training.epoch,
                s.epochs,
                loss,
                100 * row["val_accuracy"],
            )
            save_checkpoint(checkpoint, {**training.state_dict(), "log": rows.rows}, around)
    return training.average.module.eval()


def _check(train: ImageSet, val: ImageSet, settings: NetworkSettings) -> None:
    """Raise `InvsetError` for sets that can't be trained on so."""
    check_classes(train, val)
    check_sizes(train, val)
    if len(train) < settings.batch_size:
        raise InvsetError(
            f"batch_size={settings.batch_size} is more than the {len(train)} training pictures;"
            f" give batch_size={len(train)} or less"
        )
    side = min(train.images.shape[2:])
    for key in ("crop", "cutout"):
        if getattr(settings, key) >= side:
            raise InvsetError(
                f"settings.{key} must be less than the pictures' side of {side} pixels, not"
                f" {getattr(settings, key)}"
            )

"""Train an autoencoder: an encoder and a generator together, G(E(x)) ≈ x, on no network's layers.

    minimise  |G(E(x)) - x|² / var(x)        over the weights of E and G

Codes have no scale of their own: E times 2 and G of half the code are the same. So what is exported
has codes whose variance is 1, on average over their numbers (`with_unit_codes`); a step or a noise
of 0.1 in code space is then a tenth of a standard deviation.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.utils import make_grid

from invset.core.ball import send
from invset.core.options import check_options, option
from invset.core.products import products
from invset.errors import InvsetError
from invset.files.images import ImageSet, to_float, to_uint8
from invset.files.sums import short_sum
from invset.nets.downconv import DownConv
from invset.nets.fast import channels_last
from invset.nets.upconv import UpConv
from invset.progress import Progress, bar, quiet
from invset.training.augment import random_crop
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
from invset.training.losses import gaussian_codes
from invset.training.sets import check_sizes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AutoencoderSettings:
    """How to train an autoencoder.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: pictures a step.
        lr: Adam's rate, cosine to zero.
        crop: random shift in pixels, less than the pictures' side; 0 is off.
        ema: decay a step of the average of the weights that is exported.
        seed: of everything random.
        autocast: "bf16" computes convolutions in bfloat16, "off" in float32.
    """

    epochs: int = option(40, at_least=1)
    batch_size: int = option(64, at_least=2)
    lr: float = option(1e-3, above=0, below=math.inf)
    crop: int = option(0, at_least=0)
    ema: float = option(0.998, at_least=0, below=1)
    seed: int = option(0, at_least=0)
    autocast: str = option("bf16", words=("bf16", "off"))

    def __post_init__(self) -> None:
        check_options(self, "settings")


class Autoencoder(nn.Module):
    """An encoder and the generator of its codes: pictures to pictures.

    Args:
        encoder: pictures to codes.
        generator: codes to pictures.
    """

    def __init__(self, encoder: DownConv, generator: UpConv) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        return self.generator(self.encoder(x))

    @torch.no_grad()
    @products("float32")
    def encoded(self, images: Tensor, batch_size: int = 500) -> Tensor:
        """Codes of 8-bit pictures, with shape (N, code_dim), on their device."""
        device = next(self.parameters()).device
        parts = (self.encoder(to_float(send(some, device))) for some in images.split(batch_size))
        return torch.cat(list(parts))


@torch.no_grad()
def with_unit_codes(model: Autoencoder, codes: Tensor) -> Autoencoder:
    """Scale the codes, in place, so that their numbers have variance 1 on average; what is made of
    a picture stays the same.

    Args:
        model: in evaluation mode.
        codes: of real pictures, with shape (N, code_dim).
    """
    deviation = codes.var(0).mean().sqrt()
    layer = cast(nn.Linear, model.encoder.code)
    layer.weight.div_(deviation)
    layer.bias.div_(deviation)
    model.generator.code_scale.div_(deviation)
    return model


class AutoencoderTraining(Resumable):
    """An autoencoder, the average of its weights, and its optimiser: what a checkpoint holds.

    Args:
        model: trained in place.
        settings: how to train.
        steps: optimiser steps an epoch.
        device: where it is trained; all draws are the CPU's.
    """

    _parts = ("model", "average", "optimizer")
    _counters = ("epoch", "seconds")

    def __init__(
        self,
        model: Autoencoder,
        settings: AutoencoderSettings,
        steps: int,
        device: str | torch.device = "cpu",
    ) -> None:
        self.settings = settings
        self.steps = steps
        self.device = torch.device(device)
        self.model = channels_last(model.to(self.device))
        self.average = WarmAverage(model, settings.ema)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=settings.lr, foreach=True)
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.epoch = 0
        self.seconds = 0.0

    @property
    def averaged(self) -> Autoencoder:
        """The autoencoder with the average of its weights: what is exported."""
        return cast(Autoencoder, self.average.module)

    def train_epoch(self, train: ImageSet, progress: Progress = quiet) -> float:
        """One pass over the pictures; return the mean loss.

        Args:
            train: the pictures.
            progress: told how many were looked at, of all epochs.
        """
        s = self.settings
        start = time.monotonic()
        order = torch.randperm(len(train), generator=self.rng)
        total = torch.zeros((), device=self.device)
        for step in range(self.steps):
            index = order[step * s.batch_size : (step + 1) * s.batch_size]
            number = self.epoch * self.steps + step
            progress(number * s.batch_size, s.epochs * self.steps * s.batch_size)
            total += self._step(train.images[index], number)
        self.epoch += 1
        self.seconds += time.monotonic() - start
        return total.item() / self.steps

    def _step(self, images: Tensor, number: int) -> Tensor:
        """One optimiser step on 8-bit pictures, with shape (B, channels, H, W); its loss."""
        s = self.settings
        factor = 0.5 * (1 + math.cos(math.pi * number / (s.epochs * self.steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = s.lr * min(1.0, (number + 1) / 100) * factor
        x = random_crop(to_float(send(images, self.device)), s.crop, self.rng)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=s.autocast == "bf16"):
            y = self.model(x)
        loss = F.mse_loss(y.float(), x) / x.var()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.average.update_parameters(self.model)
        return loss.detach()

    @torch.no_grad()
    @products("float32")
    def validate(self, val: ImageSet, batch_size: int = 500) -> dict[str, float]:
        """Root mean square error of pixels, and squared error as a share of their variance."""
        total = torch.zeros((), device=self.device)
        for images in val.images.split(batch_size):
            x = to_float(send(images, self.device))
            total += F.mse_loss(self.averaged(x), x, reduction="sum")
        mean = total.item() / val.images.numel()
        return {"val_rmse": math.sqrt(mean), "val_image": mean / to_float(val.images).var().item()}

    @torch.no_grad()
    def pictures(self, val: ImageSet, count: int = 20) -> Tensor:
        """Originals, their reconstructions, and pictures of drawn codes: three rows of `count`, as
        one 8-bit picture.
        """
        codes = self.averaged.encoded(val.images)
        shown = torch.linspace(0, len(val) - 1, count).long()
        drawn = gaussian_codes(codes, count, torch.Generator().manual_seed(1))
        x = to_float(send(val.images[shown], self.device))
        generator = self.averaged.generator
        rows = torch.cat([x, generator(codes[send(shown, codes.device)]), generator(drawn)])
        return to_uint8(make_grid(rows, nrow=count, padding=2, pad_value=1.0)).cpu()


@products("float32")
def train_autoencoder(
    model: Autoencoder,
    data: tuple[ImageSet, ImageSet],
    settings: AutoencoderSettings,
    out: Path,
    device: str | torch.device = "cpu",
    accept: Sequence[str] = (),
) -> AutoencoderTraining:
    """Train to the end, from the checkpoint in `out` if there is one; its `averaged` is what was
    learnt.

    Args:
        model: trained in place.
        data: pictures to learn from, and to measure on, which are never learnt from.
        settings: see `AutoencoderSettings`.
        out: folder for ``checkpoint.pt`` and ``log.csv``.
        device: where it is trained.
        accept: what may differ from an interrupted training: versions, device, threads.

    Raises:
        InvsetError: pictures of other sizes, fewer than a batch, or `out` holds a training with
            other settings.
        NotFinite: a loss or a weight is not finite.
    """
    train, val = data
    _check(train, val, settings, model.generator.size)
    training = AutoencoderTraining(model, settings, len(train) // settings.batch_size, device)
    checkpoint = out / "checkpoint.pt"
    sums = {"train's pictures": short_sum(train.images), "val's pictures": short_sum(val.images)}
    around = surroundings({**asdict(settings), **sums, "model": structure(model)}, device)
    state = load_checkpoint(checkpoint, around, accept)
    if state:
        training.load_state_dict(state)
    out.mkdir(parents=True, exist_ok=True)
    rows = Log(out / "log.csv", state["log"] if state else ())
    with bar("training autoencoder", "image") as progress:
        while training.epoch < settings.epochs:
            loss = training.train_epoch(train, progress)
            row = {"epoch": float(training.epoch), "seconds": training.seconds, "image": loss}
            row |= training.validate(val)
            try:
                check_finite(row, training.averaged, f"epoch {training.epoch}", checkpoint)
            except NotFinite as ended:
                ended.last = training.averaged_at(load_checkpoint(checkpoint, around, accept))
                raise
            rows.add(row)
            names = ("image", "val_image", "val_rmse")
            told = "  ".join(f"{name} {row[name]:.4f}" for name in names)
            log.info("epoch %d/%d  %s", training.epoch, settings.epochs, told)
            save_checkpoint(checkpoint, {**training.state_dict(), "log": rows.rows}, around)
    training.averaged.eval()
    return training


def _check(train: ImageSet, val: ImageSet, settings: AutoencoderSettings, size: int) -> None:
    """Raise `InvsetError` for sets that can't be trained on so."""
    check_sizes(train, val, size)
    if len(train) < settings.batch_size:
        raise InvsetError(
            f"batch_size={settings.batch_size} is more than the {len(train)} training pictures;"
            f" give batch_size={len(train)} or less"
        )
    if settings.crop >= size:
        raise InvsetError(
            f"settings.crop must be less than the pictures' side of {size} pixels, not"
            f" {settings.crop}"
        )

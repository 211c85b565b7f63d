"""Train the embedded network: SGD with Nesterov momentum, one-cycle rate, augmentation, an average of the weights.

One file of settings (``configs/train_network.yaml``), one folder of results; the same seed gives the same weights on the
same machine, also when the run was interrupted and resumed.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from invset.errors import InvsetError
from invset.images import ImageSet, to_float
from invset.training.augment import cutout, random_crop, random_flip, random_zoom
from invset.training.average import warm_ema
from invset.training.checkpoint import Log, fingerprint, load_checkpoint, save_checkpoint, shapes
from invset.training.settings import at_least, below_one, check_autocast, positive


@dataclass(frozen=True)
class NetworkSettings:
    """How to train a classifier.

    Attributes:
        epochs: passes over the training pictures.
        batch_size: pictures a step.
        lr: highest learning rate of the one-cycle schedule.
        weight_decay: of convolutions and matrices; biases and batch norm have none.
        label_smoothing: in [0, 1).
        crop: random shift in pixels.
        zoom: smallest share of a picture's area that a random part of it has; 1 is off.
        cutout: side in pixels of the grey square; 0 is off.
        ema: decay a step of the average of the weights that is exported.
        seed: of everything random.
        autocast: "bf16" computes convolutions in bfloat16, "off" in float32.
    """

    epochs: int = 30
    batch_size: int = 250
    lr: float = 0.25
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    crop: int = 4
    zoom: float = 1.0
    cutout: int = 8
    ema: float = 0.998
    seed: int = 0
    autocast: str = "bf16"

    def __post_init__(self) -> None:
        at_least(1, self, "epochs")
        at_least(2, self, "batch_size")
        at_least(0, self, "weight_decay", "crop", "cutout", "seed")
        positive(self, "lr", "zoom")
        if self.zoom > 1:
            raise InvsetError(f"zoom must be at most 1, not {self.zoom}")
        below_one(self, "label_smoothing", "ema")
        check_autocast(self.autocast)


@torch.no_grad()
def predict(net: nn.Module, images: Tensor, batch_size: int = 500) -> Tensor:
    """Logits of 8-bit pictures, with shape (N, n_out)."""
    return torch.cat([net(to_float(batch)) for batch in images.split(batch_size)])


def accuracy(net: nn.Module, data: ImageSet) -> float:
    """Share of pictures whose highest logit is their class, in [0, 1]."""
    return (predict(net, data.images).argmax(1) == data.labels).float().mean().item()


def _optimizer(net: nn.Module, s: NetworkSettings) -> torch.optim.SGD:
    decay = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": s.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    # the one-cycle schedule moves the momentum between 0.95 and 0.85, against the rate
    return torch.optim.SGD(groups, lr=s.lr, momentum=0.95, nesterov=True, foreach=True)


def train_network(net: nn.Module, train: ImageSet, val: ImageSet, settings: NetworkSettings, out: Path) -> nn.Module:
    """Train `net` in place of its random weights and return the average of its weights, in evaluation mode.

    Args:
        net: float RGB images in [0, 1], with shape (N, 3, H, W), to logits.
        train: pictures to learn from.
        val: pictures to measure on after every epoch; never learnt from.
        settings: see `NetworkSettings`.
        out: folder for ``checkpoint.pt`` (resumed from if it is there) and ``log.csv``.

    Raises:
        InvsetError: fewer pictures than a batch, or `out` holds a run with other settings.
    """
    s = settings
    if len(train) < s.batch_size:
        raise InvsetError(
            f"batch_size={s.batch_size} is more than the {len(train)} training pictures; give batch_size={len(train)} or less"
        )
    rng = torch.Generator().manual_seed(s.seed)
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(net, avg_fn=warm_ema(s.ema), use_buffers=True)
    optimizer = _optimizer(net, s)
    steps = len(train) // s.batch_size
    total_steps = s.epochs * steps + 1
    warmup = max(0.2, 2 / total_steps)  # at least one step: torch divides by its length
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=s.lr, total_steps=total_steps, pct_start=warmup)
    parts: dict[str, Any] = {"net": net, "average": average, "optimizer": optimizer, "schedule": schedule}

    checkpoint = out / "checkpoint.pt"
    config = {**asdict(s), "pictures": fingerprint(train.images), "model": shapes(net)}
    state = load_checkpoint(checkpoint, config)
    first, seconds = 0, 0.0
    if state:
        for name, part in parts.items():
            part.load_state_dict(state[name])
        rng.set_state(state["rng"])
        first, seconds = state["epoch"], state["seconds"]
    out.mkdir(parents=True, exist_ok=True)
    log = Log(out / "log.csv", rows=first)

    for epoch in range(first, s.epochs):
        start = time.monotonic()
        net.train()
        order = torch.randperm(len(train), generator=rng)
        total = torch.zeros(())
        bar = tqdm(range(steps), desc=f"epoch {epoch + 1}/{s.epochs}", unit="image", unit_scale=s.batch_size, leave=False)
        for step in bar:
            index = order[step * s.batch_size : (step + 1) * s.batch_size]
            x = random_zoom(random_crop(to_float(train.images[index]), s.crop, rng), s.zoom, rng)
            x = random_flip(x, rng)
            x = cutout(x, s.cutout, rng).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=s.autocast == "bf16"):
                logits = net(x)
            loss = F.cross_entropy(logits.float(), train.labels[index], label_smoothing=s.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            average.update_parameters(net)
            total += loss.detach()
        average.eval()
        seconds += time.monotonic() - start
        row: dict[str, float] = {
            "epoch": epoch + 1,
            "seconds": seconds,
            "lr": float(schedule.get_last_lr()[0]),
            "train_loss": total.item() / steps,
            "val_accuracy": accuracy(average.module, val),
        }
        log.write(row)
        left = seconds / (epoch + 1) * (s.epochs - epoch - 1)
        tqdm.write(
            f"epoch {epoch + 1}/{s.epochs}  loss {row['train_loss']:.3f}  top-1 {row['val_accuracy']:.2%}  "
            f"{steps * s.batch_size / (time.monotonic() - start):.0f} images/s  {left / 60:.0f} min left"
        )
        saved = {name: part.state_dict() for name, part in parts.items()}
        save_checkpoint(checkpoint, {**saved, "rng": rng.get_state(), "epoch": epoch + 1, "seconds": seconds, "config": config})
    return average.module.eval()

"""``invset train network``: the small CaffeNet on a folder or archive of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import hydra
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor

from invset.commands.pictures import read_pictures
from invset.config import build
from invset.core.checks import is_number
from invset.errors import InvsetError
from invset.files.images import ImageSet, to_float
from invset.files.rundir import RunDir
from invset.nets.mini import MiniNet, fold_batch_norm
from invset.nets.weights import save_mini
from invset.report.curves import plot_log
from invset.training.classification import accuracy, train_network


def main(cfg: DictConfig) -> None:
    """Train, fold the batch norm, and write ``network.safetensors``."""
    out = RunDir(cfg.out).path
    device = build.choose_device(cfg.device)
    settings = hydra.utils.instantiate(cfg.settings)
    train, val = (read_pictures(cfg.data[part], cfg.data.size) for part in ("train", "val"))
    check_classes(train, val)
    # a file that can't be read is told before training
    labels = class_names(cfg.data.names, train.classes)
    pixels = to_float(train.images[:10_000])
    arguments = {
        "widths": list(cfg.model.widths),
        "fc6": cfg.model.fc6,
        "fc7": cfg.model.fc7,
        "n_out": len(train.classes),
        "size": cfg.data.size,
        "first": list(cfg.model.first),
        "mean": channels("mean", cfg.model.mean, pixels.mean((0, 2, 3))),
        "std": channels("std", cfg.model.std, pixels.std((0, 2, 3))),
    }
    torch.manual_seed(
        settings.seed
    )  # torch draws a module's first weights from its global generator alone
    net = MiniNet(**arguments, batch_norm=True, dropout=cfg.model.dropout)
    trained = train_network(net, train, val, settings, out, device, cfg.accept)
    folded = fold_batch_norm(cast(MiniNet, trained.cpu()))
    save_mini(out / "network.safetensors", folded, {**arguments, "labels": labels})
    panels = {
        "loss (nats)": ["train_loss"],
        "top-1 on held-out pictures": ["val_accuracy"],
        "learning rate": ["lr"],
    }
    plot_log(out / "log.csv", "epoch", panels, out / "curves.png", "network")
    (out / "config.yaml").write_text(OmegaConf.to_yaml(cfg, resolve=True), encoding="utf-8")
    print(
        f"top-1 on {Path(cfg.data.val).name}:"
        f" {accuracy(folded, val):.2%}\n{out / 'network.safetensors'}"
    )


def check_classes(train: ImageSet, val: ImageSet) -> None:
    """Raise `InvsetError` for sets whose classes are not the same, or are one alone."""
    if len(train.classes) < 2:
        raise InvsetError(
            "data.train has one class, so that a network could learn nothing and its accuracy would"
            " say nothing; give a folder of folders, one a class"
        )
    for name, some, others in (("val", val, train), ("train", train, val)):
        more = sorted(set(some.classes) - set(others.classes))
        if more:
            raise InvsetError(
                f"data.{name} has the class {more[0]}, which the other set has not"
                f" ({len(more)} such); labels are folders' names, so give both sets the same"
                " folders"
            )


def channels(key: str, given: ListConfig | None, measured: Tensor) -> list[float]:
    """A number for each channel, as typed or as measured.

    Raises:
        InvsetError: other numbers than three, or a standard deviation that is not above 0.
    """
    values = measured.tolist() if given is None else list(given)
    fits = len(values) == 3 and all(map(is_number, values))
    if not fits or (key == "std" and min(values) <= 0):
        what = "numbers above 0" if key == "std" else "numbers"
        raise InvsetError(
            f"model.{key} is three {what}, one a channel, not {given}; null measures them"
        )
    return [float(value) for value in values]  # whole ones would make a buffer of whole numbers


def class_names(file: str | None, folders: list[str]) -> list[str]:
    """Names of the classes, in the order of their folders.

    Raises:
        InvsetError: the file can't be read, or lacks a folder.
    """
    if file is None:
        return folders
    try:
        lines = Path(file).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvsetError(f"can't read data.names={file} ({error})") from error
    names = {
        folder.strip(): name.strip()
        for folder, tab, name in (line.partition("\t") for line in lines)
        if tab and name.strip()
    }
    lacking = [folder for folder in folders if folder not in names]
    if lacking:
        raise InvsetError(
            f'{file} has no line "{lacking[0]}<tab>names", and {len(lacking) - 1} more are lacking;'
            " give each folder a line"
        )
    return [names[folder] for folder in folders]

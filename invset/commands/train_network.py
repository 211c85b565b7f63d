"""``invset train network``: the small CaffeNet on a folder, archive or IDX file of pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, cast

import hydra
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch import Tensor, nn

from invset.commands.pictures import read_pictures
from invset.config.device import training_device
from invset.config.validate import check_several
from invset.core.checks import is_number
from invset.errors import InvsetError
from invset.files.images import to_float
from invset.files.owner import locked
from invset.files.run_log import log_in
from invset.files.rundir import RunDir
from invset.nets.mini import MiniNet, fold_batch_norm
from invset.nets.weights import save_mini
from invset.report.curves import plot_log
from invset.training.checkpoint import NotFinite
from invset.training.classification import NetworkSettings, accuracy, train_network


def main(cfg: DictConfig) -> None:
    """Train, fold the batch norm, and write ``network.safetensors``."""
    out = RunDir(cfg.out)
    check_several(cfg, "model", "settings")
    settings = hydra.utils.instantiate(cfg.settings)
    device = training_device(cfg.device, settings.autocast)
    _check_model(cfg)  # before pictures are read, which takes a while
    with locked(out.path, "or type out= and another folder"):
        log_in(out)
        _train(cfg, settings, out, device)


def _train(cfg: DictConfig, settings: NetworkSettings, out: RunDir, device: torch.device) -> None:
    count = _channels(cfg)
    train, val = (
        read_pictures(cfg.data[part], cfg.data.size, channels=count) for part in ("train", "val")
    )
    # a file that can't be read is told before training
    labels = class_names(cfg.data.names, train.classes)
    pixels = to_float(train.images[:10_000])
    arguments = {
        **_shape(cfg),
        "n_out": len(train.classes),
        "mean": channels("mean", cfg.model.mean, pixels.mean((0, 2, 3))),
        "std": channels("std", cfg.model.std, pixels.std((0, 2, 3))),
    }
    torch.manual_seed(
        settings.seed
    )  # torch draws a module's first weights from its global generator alone
    net = MiniNet(**arguments, batch_norm=True, dropout=cfg.model.dropout)
    weights = out / "network.safetensors"
    try:
        trained = train_network(net, train, val, settings, out.path, device, cfg.accept)
    except NotFinite as ended:
        if ended.last is not None:
            _write(weights, ended.last, {**arguments, "labels": labels})
        raise
    folded = _write(weights, trained, {**arguments, "labels": labels})
    panels = {
        "loss (nats)": ["train_loss"],
        "top-1 on held-out pictures": ["val_accuracy"],
        "learning rate": ["lr"],
    }
    plot_log(out / "log.csv", "epoch", panels, out / "curves.png", "network")
    text = OmegaConf.to_yaml(cfg, resolve=True)
    out.write("config.yaml", lambda path: path.write_text(text, encoding="utf-8"))
    print(f"top-1 on {Path(cfg.data.val).name}: {accuracy(folded, val):.2%}\n{weights}")


def _write(path: Path, trained: nn.Module, arguments: dict[str, Any]) -> MiniNet:
    """Write a trained network without its batch norm, and return it."""
    folded = fold_batch_norm(cast(MiniNet, trained.cpu()))
    save_mini(path, folded, arguments)
    return folded


def _shape(cfg: DictConfig) -> dict[str, Any]:
    """Arguments of `MiniNet` that are typed."""
    model = {key: cfg.model[key] for key in ("widths", "first", "fc6", "fc7")}
    plain = {key: list(one) if OmegaConf.is_list(one) else one for key, one in model.items()}
    return {**plain, "size": cfg.data.size}


def _check_model(cfg: DictConfig) -> None:
    """Raise `InvsetError` for a network that can't be built, or channels that are no numbers."""
    with torch.device("meta"):
        MiniNet(**_shape(cfg), dropout=cfg.model.dropout)
    for key in ("mean", "std"):
        channels(key, cfg.model[key], torch.ones(_channels(cfg)))


def _channels(cfg: DictConfig) -> int:
    return 1 if cfg.data.grey else 3


def channels(key: str, given: ListConfig | None, measured: Tensor) -> list[float]:
    """A number for each channel, as typed or as measured.

    Raises:
        InvsetError: another number of them than channels, or a standard deviation that is not
            above 0.
    """
    values = measured.tolist() if given is None else given
    count = len(measured)
    fits = not isinstance(values, str) and hasattr(values, "__len__") and len(values) == count
    fits = fits and all(is_number(value) and math.isfinite(value) for value in values)
    if not fits or (key == "std" and min(values) <= 0):
        what = ("number" if count == 1 else "numbers") + (" above 0" if key == "std" else "")
        many = {1: "one", 3: "three"}[count]
        raise InvsetError(
            f"model.{key} is {many} {what}, one a channel, not {given}; null measures them"
        )
    return [float(value) for value in values]  # whole ones would make a buffer of whole numbers


def class_names(given: str | ListConfig | None, folders: list[str]) -> list[str]:
    """Names of the classes, in the order of their folders.

    Args:
        given: the names in that order; a file with a line "folder<tab>names" for each; or None.
        folders: of the classes.

    Raises:
        InvsetError: another number of names, or the file can't be read, or lacks a folder.
    """
    if given is None:
        return folders
    if not isinstance(given, str):
        if not isinstance(given, ListConfig) or len(given) != len(folders):
            raise InvsetError(
                f"data.names is a file, or a list of {len(folders)} names, one for each class in"
                f" the order of the folders, not {given}"
            )
        return [str(name) for name in given]
    return _read_names(given, folders)


def _read_names(file: str, folders: list[str]) -> list[str]:
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

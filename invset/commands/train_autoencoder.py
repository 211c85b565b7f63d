"""``invset train autoencoder``: an encoder, the generator of its codes, and the natural region of
these.
"""

from __future__ import annotations

from typing import Any, cast

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from invset.commands.pictures import read_pictures
from invset.config.device import training_device
from invset.config.validate import check_several
from invset.core.space import CodePrior
from invset.files.owner import locked
from invset.files.run_log import log_in
from invset.files.rundir import RunDir
from invset.nets.downconv import DownConv
from invset.nets.natural import save_prior
from invset.nets.upconv import UpConv
from invset.nets.weights import save_downconv, save_upconv
from invset.report.curves import plot_log
from invset.training.autoencoder import Autoencoder, train_autoencoder, with_unit_codes
from invset.training.checkpoint import NotFinite


def main(cfg: DictConfig) -> None:
    """Train, and write ``encoder.safetensors``, ``generator.safetensors`` and
    ``prior.safetensors``.
    """
    out = RunDir(cfg.out)
    check_several(cfg, "model", "settings")
    settings = hydra.utils.instantiate(cfg.settings)
    device = training_device(cfg.device, settings.autocast)
    arguments = _arguments(cfg)
    with torch.device("meta"):  # before pictures are read, which takes a while
        DownConv(**arguments[0])
        UpConv(**arguments[1])
    with locked(out.path, "or type out= and another folder"):
        log_in(out)
        _train(cfg, settings, out, device, arguments)


def _arguments(cfg: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments of encoder and generator."""
    model: Any = OmegaConf.to_container(cfg.model, resolve=True)
    both = {
        "code_dim": model["code_dim"],
        "size": cfg.data.size,
        "channels": 1 if cfg.data.grey else 3,
    }
    return {**both, "widths": model["down"]}, {**both, **model["up"]}


def _train(
    cfg: DictConfig,
    settings: Any,
    out: RunDir,
    device: torch.device,
    arguments: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    channels = 1 if cfg.data.grey else 3
    train, val = (
        read_pictures(cfg.data[part], cfg.data.size, channels=channels) for part in ("train", "val")
    )
    torch.manual_seed(
        settings.seed
    )  # torch draws a module's first weights from its global generator alone
    encoder = DownConv(**arguments[0])
    generator = UpConv(**arguments[1]).initialize(torch.Generator().manual_seed(settings.seed))
    model = Autoencoder(encoder, generator)
    try:
        training = train_autoencoder(model, (train, val), settings, out.path, device, cfg.accept)
    except NotFinite as ended:
        if ended.last is not None:
            _write(out, cast(Autoencoder, ended.last), arguments)
        raise
    trained = with_unit_codes(training.averaged, training.averaged.encoded(train.images))
    _write(out, trained, arguments)
    codes = trained.encoded(train.images).cpu()
    prior = CodePrior.fit(codes, cfg.prior.variance, cfg.prior.share)
    save_prior(out / "prior.safetensors", prior)
    panels = {"loss (share of the spread)": ["image", "val_image"], "pixels": ["val_rmse"]}
    plot_log(out / "log.csv", "epoch", panels, out / "curves.png", "autoencoder")
    pictures = Image.fromarray(training.pictures(val).permute(1, 2, 0).numpy())
    out.write("reconstructions.png", lambda path: pictures.save(path, "PNG"))
    text = OmegaConf.to_yaml(cfg, resolve=True)
    out.write("config.yaml", lambda path: path.write_text(text, encoding="utf-8"))
    told = training.validate(val)
    print(f"held-out pixels: root mean square error {told['val_rmse']:.4f}")
    print("\n".join(str(out / f"{part}.safetensors") for part in ("encoder", "generator", "prior")))


def _write(
    out: RunDir, model: Autoencoder, arguments: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """Write both halves."""
    save_downconv(out / "encoder.safetensors", model.encoder, arguments[0])
    save_upconv(out / "generator.safetensors", model.generator, arguments[1])

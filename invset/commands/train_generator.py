"""``invset train generator``: a generator, and the natural region of its codes, for any network and
layer.
"""

from __future__ import annotations

import math
from typing import Any, cast

import hydra
import torch
from omegaconf import DictConfig, OmegaConf

from invset.commands.pictures import look_at, read_pictures
from invset.config import build
from invset.config.device import training_device
from invset.config.validate import check_several
from invset.core.checks import check_widths
from invset.core.space import CodePrior
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.files.owner import locked
from invset.files.readers import read_weights
from invset.files.run_log import log_in
from invset.files.rundir import RunDir
from invset.files.sums import short_sum
from invset.nets.natural import save_prior
from invset.nets.network import Network
from invset.nets.upconv import UpConv
from invset.nets.weights import load_state, save_upconv
from invset.report.curves import plot_log
from invset.training.checkpoint import NotFinite
from invset.training.comparator import Comparator
from invset.training.discriminator import Discriminator
from invset.training.inversion import GeneratorTraining
from invset.training.inversion_run import train_generator


def main(cfg: DictConfig) -> None:
    """Train, and write ``generator.safetensors`` and ``prior.safetensors``."""
    out = RunDir(cfg.out)
    check_several(cfg, "model", "settings")
    settings = hydra.utils.instantiate(cfg.settings)
    device = training_device(cfg.device, settings.autocast)
    _check_parts(cfg)  # before networks and pictures are read, which takes a while
    network = build.network(cfg.network, device)
    encoder = network.encoder if cfg.encoder is None else str(cfg.encoder)
    comparator = _comparator(cfg, device)
    for layer in [encoder, *(settings.layers if comparator is None else [])]:
        network.resolve(layer)
    code_dim = math.prod(network.shape(encoder))
    channels = _channels(network)
    arguments = {
        "code_dim": code_dim,
        "channels": channels,
        **OmegaConf.to_container(cfg.model, resolve=True),  # type: ignore[dict-item]
    }
    generator = UpConv(**arguments).initialize(torch.Generator().manual_seed(settings.seed))
    begun = None if cfg.init is None else read_weights(cfg.init)
    if begun is not None:
        load_state(generator, begun, cfg.init)
    torch.manual_seed(
        settings.seed
    )  # torch draws a module's first weights from its global generator alone
    discriminator = Discriminator(code_dim, list(cfg.discriminator), channels)
    training = GeneratorTraining(network, encoder, generator, discriminator, settings, comparator)
    with locked(out.path, "or type out= and another folder"):
        log_in(out)
        _train(cfg, training, out, arguments, {"init": None if begun is None else short_sum(begun)})


def _train(
    cfg: DictConfig,
    training: GeneratorTraining,
    out: RunDir,
    arguments: dict[str, Any],
    about: dict[str, Any],
) -> None:
    channels = arguments["channels"]
    train = read_pictures(cfg.data.train, cfg.model.size, cfg.data.limit, channels)
    val = read_pictures(cfg.data.val, cfg.model.size, channels=channels)
    weights = out / "generator.safetensors"
    try:
        trained = train_generator(training, train, val, out.path, cfg.accept, about)
    except NotFinite as ended:
        if ended.last is not None:
            save_upconv(weights, cast(UpConv, ended.last), arguments)
        raise
    save_upconv(weights, trained, arguments)

    encoder = training.encoder
    codes = look_at(
        training.network,
        train.images[:: max(1, len(train) // 20_000)],
        [encoder],
        flatten=[encoder],
    )[encoder]
    prior = CodePrior.fit(codes, cfg.prior.variance, cfg.prior.share)
    save_prior(out / "prior.safetensors", prior)
    settings = training.settings
    panels = {
        "loss (share of the spread)": ["image", "features", "cycle"],
        **({"divergence of the decision (nats)": ["decision"]} if settings.decision else {}),
        **({"hinge loss of the discriminator": ["discriminator"]} if settings.adversarial else {}),
        "held-out pictures": ["val_rmse", "val_code_error", "val_same_class"],
    }
    plot_log(out / "log.csv", "images", panels, out / "curves.png", "generator")
    text = OmegaConf.to_yaml(cfg, resolve=True)
    out.write("config.yaml", lambda path: path.write_text(text, encoding="utf-8"))
    print(f"{weights}\n{out / 'prior.safetensors'}")


def _channels(network: Network) -> int:
    """Channels of a network's pictures: 3 for RGB, 1 for grey."""
    medium = network.medium
    if not isinstance(medium, Image8Bit) or medium.channels not in (1, 3):
        raise InvsetError(
            f"a generator is trained on pictures in RGB or grey, but {network.name} takes other"
            f" {medium.noun}s; type another network="
        )
    return medium.channels


def _check_parts(cfg: DictConfig) -> None:
    """Raise `InvsetError` for parts that can't be built."""
    with torch.device("meta"):
        UpConv(1, **OmegaConf.to_container(cfg.model, resolve=True))  # type: ignore[arg-type]
    check_widths("discriminator", cfg.discriminator)


def _comparator(cfg: DictConfig, device: torch.device) -> Comparator | None:
    """The network of ``comparator=`` and its layers."""
    if cfg.comparator is None:
        if cfg.comparator_layers:
            raise InvsetError(
                "comparator_layers= names layers of a comparator, but there is none; type"
                " comparator= and an option of configs/network"
            )
        return None
    if not isinstance(cfg.comparator, DictConfig):
        raise InvsetError(
            "comparator holds a whole network; type comparator= and an option of configs/network,"
            f" such as comparator=mini64, not {cfg.comparator!r}"
        )
    return Comparator(build.network(cfg.comparator, device), list(cfg.comparator_layers or ()))

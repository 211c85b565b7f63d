"""``invset fit prior``: the natural region of the codes of real pictures."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from invset.commands.pictures import encoded
from invset.config import build
from invset.config.device import choose_device
from invset.core.space import CodePrior
from invset.files.image8bit import of_size
from invset.files.rundir import folder_of
from invset.nets.natural import save_prior


def main(cfg: DictConfig) -> None:
    """Encode the pictures, fit, and write one file."""
    out = Path(cfg.out)
    folder = folder_of(out)
    network = build.network(cfg.network, choose_device(cfg.device))
    encoder = cfg.encoder or network.encoder
    network.resolve(encoder)
    medium = of_size(network.medium, cfg.size)
    prior = CodePrior.fit(
        encoded(network, medium, cfg.data, cfg.limit, encoder), cfg.variance, cfg.share
    )
    folder.write(out.name, lambda path: save_prior(path, prior))
    print(
        f"{encoder} of {network.name}: {prior.dim} of {len(prior.mean)} directions, radius"
        f" {prior.radius.item():.2f}\n{out}"
    )

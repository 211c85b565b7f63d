"""``invset fit prior``: the natural region of the codes of real pictures."""

from __future__ import annotations

from omegaconf import DictConfig

from invset.config import build
from invset.core.space import CodePrior
from invset.files.image8bit import of_size
from invset.files.rundir import RunDir
from invset.nets.encode import activations


def main(cfg: DictConfig) -> None:
    """Encode the pictures, fit, and write one file."""
    from pathlib import Path

    network = build.network(cfg.network, build.choose_device(cfg.device))
    encoder = cfg.encoder or network.encoder
    network.resolve(encoder)
    data = of_size(network.medium, cfg.size).load(cfg.data, cfg.limit)
    prior = CodePrior.fit(
        activations(network, data, [encoder], flatten=[encoder])[encoder],
        cfg.variance,
        cfg.share,
    )
    out = Path(cfg.out)
    RunDir(out.parent).write(out.name, prior.save)
    print(
        f"{encoder} of {network.name}: {prior.dim} of {len(prior.mean)} directions, radius"
        f" {prior.radius.item():.2f}\n{out}"
    )

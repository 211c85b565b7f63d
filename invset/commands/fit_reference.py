"""``invset fit reference``: what real pictures do, to read samples beside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig
from torch import Tensor, nn

from invset.analysis.reference import Reference
from invset.commands.pictures import judged, look_at, read_inputs
from invset.config import build
from invset.config.device import choose_device
from invset.config.judging import judging
from invset.config.validate import check_layers
from invset.files.image8bit import Image8Bit, of_size
from invset.files.rundir import folder_of
from invset.nets.network import Network
from invset.problem.encode import in_views
from invset.progress import bar

#: Numbers in an input up to which the inputs are stored, if nothing else is said.
SMALL = 1024


def main(cfg: DictConfig) -> None:
    """Look at the pictures and write one file."""
    check_layers(cfg)
    out = Path(cfg.out)
    folder = folder_of(out)
    network = build.network(cfg.network, choose_device(cfg.device))
    judge = judging(cfg, network)
    encoder = cfg.encoder or network.encoder
    data = read_inputs(of_size(network.medium, cfg.size), cfg.data, cfg.limit)
    judge.check(tuple(data.shape[1:]))
    keep = list(cfg.keep or [network.output])
    layers = list(dict.fromkeys([*(cfg.layers or _neuron_layers(network)), *keep]))
    seen = look_at(network, data, layers)
    encodings = look_at(network, data, [encoder], flatten=[encoder])[encoder]
    about: dict[str, Any] = {
        "network": network.name,
        "encoder": encoder,
        "data": Path(cfg.data).name,
        "images": len(data),
    }
    views = None
    robust = hydra.utils.instantiate(cfg.robust).resolved(True, _has_views(network))
    if robust is not None:
        about["robust"] = robust.about()
        with bar(f"{network.name} looks at views", network.medium.noun) as progress:
            views = in_views(network, data, keep, robust, progress=progress)
    inputs = data if _kept(cfg.inputs, data) else None
    reference = Reference.fit(encodings, seen, keep, cfg.variance, about, views, inputs)
    reference = replace(reference, judged=judged(judge, data))
    folder.write(out.name, reference.save)
    print(
        f"{len(data)} {network.medium.noun}s, {len(layers)} layers, encodings in"
        f" {reference.encodings.shape[1]} directions\n{out}"
    )
    if judge.why:
        print(judge.why)


def _kept(asked: bool | None, data: Tensor) -> bool:
    """Whether the inputs themselves are stored."""
    return data[0].numel() <= SMALL if asked is None else asked


def _has_views(network: Network) -> bool:
    return isinstance(network.medium, Image8Bit)


def _neuron_layers(network: Network) -> list[str]:
    """Layers that people name: convolutions, and linear layers or what an alias makes of them."""
    hidden = set(network.aliases.values())
    named = [*network.aliases]
    for path, module in network.module.named_modules():
        if (
            path
            and path not in hidden
            and path not in network.aliases
            and isinstance(module, (nn.Conv2d, nn.Linear))
        ):
            named.append(path)
    return named

"""The real images that samples are compared with: from a configuration to a `Reference`."""

from __future__ import annotations

from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from invset.analysis.reference import Reference
from invset.config.kept_parts import of_file
from invset.errors import InvsetError
from invset.nets.embedded import ASSETS
from invset.problem.encode import activations
from invset.problem.problem import Problem


def load_reference(cfg: DictConfig, problem: Problem) -> Reference | None:
    """The file of ``reference=``, or the embedded one that fits; None where there is none. Of
    robust neurons it holds what has to lie in the ranges, in views or in the whole.

    Raises:
        InvsetError: a file that can't be read, or that was made with another encoder.
    """
    reference = _load(cfg, problem)
    robust = problem.robust
    if reference is None or robust is None or robust.range != "views":
        return reference
    return reference.in_views(robust.about())


def _load(cfg: DictConfig, problem: Problem) -> Reference | None:
    if cfg.reference is None:
        return None
    if cfg.reference == "auto" and problem.network.real is not None:
        return _of_its_own(problem, problem.network.real)
    if cfg.reference == "auto":
        return (
            _read(ASSETS / f"{problem.network.name}-reference.safetensors") if _own(cfg) else None
        )
    reference = _read(Path(cfg.reference))
    encoder = reference.about.get("encoder")
    network = reference.about.get("network")
    if (encoder, network) != (problem.encoder, problem.encoder_network.name):
        raise InvsetError(
            f"{cfg.reference} was made with {encoder} of {network}, but E is {problem.encoder} of"
            f" {problem.encoder_network.name}; make one with: invset fit reference, or type"
            " reference=null"
        )
    return reference


def _read(path: Path) -> Reference:
    return of_file(path, lambda: Reference.load(path))


@torch.no_grad()
def _of_its_own(problem: Problem, real: Tensor) -> Reference:
    """Of the few real inputs that a network brings along, which are looked at each time."""
    layers = sorted({problem.network.output, *(neuron.layer for neuron in problem.neurons)})
    seen = activations(problem.network, real, layers)
    encoder = problem.encoder
    e = activations(problem.encoder_network, real, [encoder], flatten=[encoder])[encoder]
    about = {
        "network": problem.encoder_network.name,
        "encoder": encoder,
        "data": f"that of {problem.network.name}",
        "images": len(real),
        "own": True,
    }
    return Reference.fit(e, seen, layers, 1.0, about, inputs=real)


def _own(cfg: DictConfig) -> bool:
    """Whether network and encoder are those that a reference of the package was made with."""
    target = cfg.network.get("_target_", "")
    lite = target.endswith(".efficientnet_lite") and cfg.network.get("image_size") is None
    published = "DEFAULT" if lite else None
    if not (lite or target.endswith(".mini_network")) or cfg.network.get("weights") != published:
        return False
    known = ASSETS / f"{cfg.network.name}-reference.safetensors"
    encoders = (None, "pool" if lite else "fc6")
    return known.is_file() and cfg.encoder in encoders and cfg.encoder_network is None

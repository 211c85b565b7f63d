"""From a configuration to objects: what several commands do alike."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import hydra
import torch
from omegaconf import DictConfig
from torch import Tensor

from invset.config.device import choose_device
from invset.config.directions import given_parts
from invset.config.kept_parts import fact, part
from invset.config.published import is_published
from invset.config.validate import asked, check_given, ends
from invset.core.checks import goal_of
from invset.errors import InvsetError
from invset.files.reading import read_text, reading
from invset.nets.caffe.load import caffe_layers
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.neuron import ANY, Neuron
from invset.problem.problem import Problem
from invset.problem.runtime import Runtime

log = logging.getLogger(__name__)

#: Codes at a time on a GPU, where ``K=auto``: up to there a step waits for launches, not for
#: operations (docs/speed.md).
WIDE = 100


def follow_device(cfg: DictConfig, device: torch.device) -> None:
    """Give ``K=auto`` a number: the sampler's own on a CPU, `WIDE` elsewhere, and at most n.

    Args:
        cfg: ``configs/run.yaml``, which is changed.
        device: where the networks are.
    """
    if cfg.get("K") != "auto":
        return
    if device.type != "cpu":
        cfg.sampler.K = min(WIDE, cfg.sampler.get("n") or WIDE)
    cfg.K = None


def network(cfg: DictConfig, device: torch.device) -> Network:
    """The network of ``configs/network``."""
    return hydra.utils.instantiate(cfg, device=device)


def blank_network(cfg: DictConfig, device: torch.device) -> Network:
    """The same, to see its layers: published weights, which have to be fetched, are left out."""
    if is_published(cfg):
        return caffe_layers(cfg.name, cfg.order, cfg.labels, cfg.fc6, cfg.size)
    if cfg.get("weights") == "DEFAULT":  # a library's
        blank = hydra.utils.instantiate(cfg, device=device, weights=None)
        log.info(
            "A list needs no weights: random ones stand in the place of network.weights=DEFAULT."
        )
        return blank
    return network(cfg, device)


def generator(cfg: DictConfig, device: torch.device) -> Generator:
    """The generator of ``configs/generator``."""
    return hydra.utils.instantiate(cfg, device=device)


def neurons(cfg: DictConfig, net: Network, ranged: bool = True) -> list[Neuron]:
    """One neuron from ``neuron= z1= z2=`` (or ``range=``), or several from the list ``neurons=``.

    Args:
        cfg: ``configs/run.yaml`` or ``configs/probe.yaml``.
        net: where they live.
        ranged: whether they need ranges; without, ``neuron=[horse,ship]`` is several, too.

    Raises:
        InvsetError: none, a range that is missing or given twice, or a key that is unknown.
    """
    return [_neuron(one, net, ranged, goal_of(cfg.get("sampler"))) for one in asked(cfg, ranged)]


def _neuron(one: dict[str, Any], net: Network, ranged: bool, goal: str) -> Neuron:
    layer = (
        net.output if one.get("layer") is None else str(one["layer"])
    )  # in a Sequential layers are called 0, 1, 2
    check_given(one, net.labels)
    position = one.get("position")
    direction, bias, feature, name = given_parts(one, net, layer)
    return Neuron(
        layer,
        one.get("neuron"),
        ends(one, goal) if ranged else ANY,
        "center" if position is None else position,
        direction,
        None if name is None else f"{layer}:{name}",
        bias,
        feature,
    )


def bounds(clip: Any, code_dim: int) -> tuple[float | Tensor, float | Tensor] | None:
    """Lowest and highest code value for ``prior=clip``: two numbers, or 0 and those of a file, one
    a unit; None: the generator's.

    The file is text with `code_dim` numbers, as DGN-AM's act_range/3x/fc6.txt (Nguyen et al. 2016).

    Raises:
        InvsetError: no such file, or not one number a unit.
    """
    if clip is None:
        return None
    if not isinstance(clip, str):
        low, high = clip
        return low, high
    hint = "type for example 'clip=[0,30]'"
    text = read_text(clip, "bounds of codes", hint)
    with reading(clip, "bounds of codes", hint):
        upper = torch.tensor([float(word) for word in text.split()])
    if len(upper) != code_dim or not (upper >= 0).all():
        raise InvsetError(
            f"{clip} holds {len(upper)} numbers; bounds are {code_dim}, one for each number of a"
            " code, and at least 0"
        )
    return 0.0, upper


def problem(cfg: DictConfig, ranged: bool = True) -> Problem:
    """Network, generator and neurons of a configuration, checked against each other; `ranged` as in
    `neurons`.
    """
    device = choose_device(cfg.device, float64=True)
    how = cfg.get("runtime")
    net = part(cfg.network, how, device, lambda: network(cfg.network, device))
    chosen = neurons(cfg, net, ranged)
    of_e = cfg.encoder_network
    encoder_network = (
        part(of_e, how, device, lambda: network(of_e, device)) if of_e is not None else None
    )
    encoder = None if cfg.encoder is None else str(cfg.encoder)
    made = part(cfg.generator, how, device, lambda: generator(cfg.generator, device))
    parts = [net, made] if encoder_network is None else [net, made, encoder_network]
    return Problem(
        net,
        made,
        encoder,
        chosen,
        encoder_network,
        cfg.eight_bit,
        Runtime.of(how),
        hydra.utils.instantiate(cfg.get("robust")),
        cfg.get("stochastic", False),  # a run that is resumed may be older than the option
        cfg.get("clamp", True),
        partial(fact, parts),
    )

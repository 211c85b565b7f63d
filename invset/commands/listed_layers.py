"""``invset list layers``: of each layer its kind, size, neurons and uses, and the command that
looks at its first neuron.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from invset.commands.own_folder import words_of_job
from invset.errors import InvsetError

if TYPE_CHECKING:
    from invset.nets.network import Network

#: Axes of one input's activations -> what a layer has.
_KINDS = {1: "units", 2: "tokens", 3: "maps"}


def layers(cfg: DictConfig) -> list[str]:
    """Every name of a layer and what is known of it, one a line."""
    from invset.config import build
    from invset.config.device import choose_device

    network = build.blank_network(cfg.network, choose_device(cfg.device))
    typed = [word for word in words_of_job() if word.lstrip("+").startswith("network")]
    known = _shapes(network)
    rows: list[tuple[str, str, str, str]] = []
    for layer in network.layers:
        try:
            shape = known.get(layer) or network.shape(layer)
        except InvsetError as error:
            # a module that is not called, or gives no tensor: a name that can't be typed
            rows.append((layer, "-", "-", str(error)))
            continue
        uses = [_neurons_of(network, layer, shape), "encoder"]
        uses += ["(layer= by default)"] if layer == network.output else []
        uses += ["(encoder= by default)"] if layer == network.encoder else []
        told = ", ".join(uses[:2]) + " ".join(["", *uses[2:]])
        sides = "x".join(map(str, shape))
        rows.append(
            (
                layer,
                sides,
                _KINDS.get(len(shape), "-"),
                told + _command(network, layer, shape, typed),
            )
        )
    width = max(len(row[0]) for row in rows)
    return [f"{layer:<{width}}  {sides:<12}  {kind:<6}  {use}" for layer, sides, kind, use in rows]


def _shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Shapes of all layers that give a tensor, of one pass, which a large network needs seconds
    for; the rest are looked at one by one.
    """
    import torch

    calls = network.traced.calls
    named = [layer for layer in network.layers if network.resolve(layer).split("#")[0] in calls]
    blank = network.medium.blank().to(network.device)
    try:
        with torch.no_grad():
            found = network.taps(blank, named)
    except InvsetError:  # what is wrong with which layer, each says itself
        return {}
    return {layer: tuple(value.shape[1:]) for layer, value in found.items()}


def _neurons_of(network: Network, layer: str, shape: tuple[int, ...]) -> str:
    """How many neurons a layer has, and on which axis where that is not the usual one."""
    if len(shape) not in _KINDS:
        return "no neurons"
    axis = network.axis(layer) if len(shape) > 1 else None
    if len(shape) > 1 and axis is None:
        return "its channels lie on the first axis or the last: network.axes= says it"
    usual = (None, "last") if len(shape) == 2 else ("first",)
    where = f" on the {axis} axis" if len(shape) > 1 and axis not in usual else ""
    return f"{network.channels(layer, shape)} neurons{where}"


def _command(network: Network, layer: str, shape: tuple[int, ...], typed: Sequence[str]) -> str:
    """What is typed to look at a layer's first neuron; nothing where it has none."""
    from invset.problem.position import default_position

    if len(shape) not in _KINDS or (len(shape) > 1 and network.axis(layer) is None):
        return ""
    words = ["invset", "probe", *typed, f"layer={layer}", "neuron=1"]
    position = default_position(shape, network.tokens)
    if position != "center":
        words.append(f"position={position}")
    return f"  {shlex.join(words)}"

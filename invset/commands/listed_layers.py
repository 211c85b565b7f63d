"""``invset list layers``: of each layer its size, kind and neurons, and a command that looks at
one.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from invset.commands.own_folder import words_of_job
from invset.errors import InvsetError
from invset.files.own_options import own_words

if TYPE_CHECKING:
    from invset.nets.network import Network

#: Axes of one input's activations -> what a layer has.
_KINDS = {1: "units", 2: "tokens", 3: "maps"}


def layers(cfg: DictConfig) -> tuple[list[str], Callable[[list[str]], str]]:
    """Every name of a layer and what is known of it, one a line, and what tells of some of these
    lines what is typed with a name.
    """
    from invset.config import build
    from invset.config.device import choose_device

    network = build.blank_network(cfg.network, choose_device(cfg.device))
    known = _shapes(network)
    shapes: dict[str, tuple[int, ...]] = {}
    rows: list[tuple[str, str, str, str]] = []
    for layer in network.layers:
        try:
            shape = known.get(layer) or network.shape(layer)
        except InvsetError as error:
            # a module that is not called, or gives no tensor: a name that can't be typed
            rows.append((layer, "-", "-", str(error)))
            continue
        shapes[layer] = shape
        told = [_neurons_of(network, layer, shape)]
        told += ["(layer= by default)"] if layer == network.output else []
        told += ["(encoder= by default)"] if layer == network.encoder else []
        sides = "x".join(map(str, shape))
        rows.append((layer, sides, _KINDS.get(len(shape), "-"), " ".join(told)))
    width = max(len(row[0]) for row in rows)
    lines = [f"{layer:<{width}}  {sides:<12}  {kind:<6}  {of}" for layer, sides, kind, of in rows]
    return lines, partial(_closing, network, shapes)


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


def _closing(network: Network, shapes: dict[str, tuple[int, ...]], lines: list[str]) -> str:
    """What is typed with a name of the list; the example is a layer of tokens, which need a
    position, or else the output, or the last that is listed.
    """
    from invset.problem.position import default_position

    listed = [name for line in lines if (name := line.split()[0]) in shapes] or [network.output]
    last = network.output if network.output in listed else listed[-1]
    example = next((one for one in reversed(listed) if len(shapes[one]) == 2), last)
    typed = [word for word in words_of_job() if word.lstrip("+").startswith("network")]
    words = [
        "invset",
        "probe",
        *own_words(HydraConfig.get()),
        *typed,
        f"layer={example}",
        "neuron=1",
    ]
    position = default_position(shapes[example], network.tokens)
    if position != "center":
        words.append(f"position={position}")
    return (
        "Each name can follow layer=, whose neurons are read, or encoder=, in which diversity is"
        f" measured. To look at a neuron, type: {shlex.join(words)}"
    )

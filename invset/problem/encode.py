"""Activations of many real inputs, in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from invset.core.products import products
from invset.nets.network import Network
from invset.problem.batches import at_once
from invset.problem.neuron import locate, read_all
from invset.problem.robust import Robust
from invset.progress import Progress, quiet


@torch.no_grad()
def activations(
    network: Network,
    inputs: Tensor,
    layers: Sequence[str],
    flatten: Sequence[str] = (),
    batch_size: int = 100,
    progress: Progress = quiet,
) -> dict[str, Tensor]:
    """Activations of every neuron of some layers.

    Args:
        network: any network.
        inputs: in the stored form of the network's medium, uint8 RGB with shape (N, 3, H, W) of
            pictures.
        layers: names; channels are read at the centre.
        flatten: layers of which all positions are wanted (encodings).
        batch_size: inputs a pass, or as many as half of the free memory holds.
        progress: told how many inputs were looked at, and how many there are.

    Returns:
        layer -> float32 on the CPU, with shape (N, units).
    """

    def read(x: Tensor) -> dict[str, Tensor]:
        return {
            layer: value.flatten(1) if layer in flatten else _centre(network, layer, value)
            for layer, value in network.taps(x, layers).items()
        }

    return in_batches(network, inputs, read, batch_size, progress)


@torch.no_grad()
def in_views(
    network: Network,
    inputs: Tensor,
    layers: Sequence[str],
    robust: Robust,
    batch_size: int = 100,
    progress: Progress = quiet,
) -> dict[str, Tensor]:
    """The same of robust neurons: means over the fixed views.

    Args:
        network: any network of pictures.
        inputs: as in `activations`, all of one size.
        layers: names; channels are read at the centre.
        robust: the views.
        batch_size: inputs a pass, or as many as half of the free memory holds.
        progress: told how many inputs were looked at, and how many there are.
    """
    size = network.medium.shape or tuple(inputs.shape[1:])

    def read(x: Tensor) -> dict[str, Tensor]:
        total = dict.fromkeys(layers, torch.zeros(()))
        for view in robust.views(x, (size[1], size[2])):
            for layer, value in network.taps(view, layers).items():
                total[layer] = total[layer] + _centre(network, layer, value).float().cpu()
        return {layer: value / robust.count for layer, value in total.items()}

    return in_batches(network, inputs, read, batch_size, progress)


@products("float32")
def in_batches(
    network: Network,
    inputs: Tensor,
    read: Callable[[Tensor], dict[str, Tensor]],
    batch_size: int,
    progress: Progress,
) -> dict[str, Tensor]:
    """What `read` gives for restored inputs, by name: float32 on the CPU.

    Args:
        network: that looks.
        inputs: in the stored form of its medium.
        read: restored inputs on the network's device to tensors with a row each, by name.
        batch_size: inputs a pass, or as many as half of the free memory holds.
        progress: told how many inputs were looked at, and how many there are.
    """

    def look(batch: Tensor) -> dict[str, Tensor]:
        return read(network.medium.restore(batch.to(network.device)))

    parts: list[dict[str, Tensor]] = []
    done = 0
    progress(done, len(inputs))
    for batch in inputs.split(at_once(look, inputs, batch_size, network.device)):
        values = look(batch)
        parts.append({layer: value.float().cpu() for layer, value in values.items()})
        done += len(batch)
        progress(done, len(inputs))
    return {layer: torch.cat([part[layer] for part in parts]) for layer in parts[0]}


def _centre(network: Network, layer: str, value: Tensor) -> Tensor:
    """Every channel at the centre, with shape (B, channels)."""
    return read_all(value, locate("center", value.shape[1:], layer, network.tokens))

"""Activations of many real pictures, in batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from invset.files.images import to_float
from invset.nets.network import Network
from invset.problem.problem import read_all
from invset.progress import Progress, quiet


@torch.no_grad()
def activations(
    network: Network,
    images: Tensor,
    layers: Sequence[str],
    flatten: Sequence[str] = (),
    batch_size: int = 100,
    progress: Progress = quiet,
) -> dict[str, Tensor]:
    """Activations of every neuron of some layers.

    Args:
        network: any network.
        images: uint8 RGB, with shape (N, 3, H, W).
        layers: names; channels are read at the centre.
        flatten: layers of which all positions are wanted (encodings).
        batch_size: pictures a pass.
        progress: told how many pictures were looked at, and how many there are.

    Returns:
        layer -> float32 on the CPU, with shape (N, units).
    """
    parts: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    done = 0
    progress(done, len(images))
    for batch in images.split(batch_size):
        taps = network.taps(to_float(batch).to(network.device), layers)
        for layer, value in taps.items():
            read = value.flatten(1) if layer in flatten else read_all(value, "center")
            parts[layer].append(read.float().cpu())
        done += len(batch)
        progress(done, len(images))
    return {layer: torch.cat(values) for layer, values in parts.items()}

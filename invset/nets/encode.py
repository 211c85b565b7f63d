"""Activations of many real inputs, in batches, with a progress bar."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from invset.nets.network import Network
from invset.problem.neuron import locate, read_all


@torch.no_grad()
def activations(
    network: Network,
    inputs: Tensor,
    layers: Sequence[str],
    flatten: Sequence[str] = (),
    batch_size: int = 100,
) -> dict[str, Tensor]:
    """Activations of every neuron of some layers.

    Args:
        network: any network.
        inputs: in the stored form of the network's medium, uint8 RGB with shape (N, 3, H, W) of
            pictures.
        layers: names; channels are read at the centre.
        flatten: layers of which all positions are wanted (encodings).
        batch_size: inputs a pass.

    Returns:
        layer -> float32 on the CPU, with shape (N, units).
    """
    parts: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for batch in tqdm(
        inputs.split(batch_size),
        desc=f"{network.name} looks at {len(inputs)} {network.medium.noun}s",
        unit="batch",
        leave=False,
    ):
        taps = network.taps(network.medium.restore(batch.to(network.device)), layers)
        for layer, value in taps.items():
            whole = layer in flatten or value.ndim == 2
            parts[layer].append((value.flatten(1) if whole else centre(value)).float().cpu())
    return {layer: torch.cat(values) for layer, values in parts.items()}


def centre(value: Tensor) -> Tensor:
    """Every channel at the centre: (B, channels, H, W) or (B, tokens, channels) to (B,
    channels).
    """
    return read_all(value, locate("center", value.shape[1:], "of encodings"))

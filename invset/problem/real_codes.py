"""Coordinates of real inputs: what a sampler may begin at."""

from __future__ import annotations

import torch
from torch import Tensor

from invset.core.space import Region
from invset.errors import InvsetError
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.encode import activations


def coordinates(
    generator: Generator, network: Network, encoder: str, region: Region, inputs: Tensor | None
) -> Tensor | None:
    """Coordinates of the codes of real inputs, with shape (N, dim), inside the region.

    The codes of pixels are the pixels. A trained generator's are encodings.

    Args:
        generator: whose codes they are.
        network: where the encoder lives.
        encoder: layer whose activations are E(x).
        region: whose coordinates they are.
        inputs: in stored form, with shape (N, ...); None where there are none.

    Raises:
        InvsetError: the generator's codes are no encodings by this encoder.
    """
    if inputs is None:
        return None
    size = generator.picture_of(region)
    if size is not None:
        codes = generator.medium.restore(inputs).flatten(1)
        found = f"pictures of {tuple(inputs.shape[1:])}"
    else:
        codes = activations(network, inputs, [encoder], [encoder])[encoder]
        found = f"encodings by {encoder} of {network.name}, of {codes.shape[1]} numbers"
    if codes.shape[1] != generator.code_dim:
        raise InvsetError(
            f"images= gives {found}, and {generator.name} takes codes of {generator.code_dim}"
            " numbers; choose a generator trained for E, or generator=pixels"
        )
    with torch.no_grad():
        return region.project(region.encode(codes.to(network.device)))

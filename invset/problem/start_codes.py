"""Codes to begin at without a natural region (paper, section 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from invset.core.products import products
from invset.errors import InvsetError
from invset.nets.generator import Generator
from invset.nets.network import Network


@products("float32")
def begin(
    generator: Generator,
    network: Network,
    encoder: str,
    shape: tuple[int, ...],
    count: int,
    rng: torch.Generator,
    part: int,
) -> Tensor:
    """The generator's own start codes, or E of uniformly random inputs.

    Args:
        generator: whose codes they are.
        network: where the encoder lives.
        encoder: layer whose activations are E(x).
        shape: of one input.
        count: codes.
        rng: of the draws.
        part: inputs that are encoded at a time.

    Raises:
        InvsetError: the generator's codes are no encodings by this encoder, and it has no start of
            its own.
    """
    if generator.start is not None:
        return generator.start(count, rng).to(network.device)
    x = network.medium.random(count, shape, rng).to(network.device)
    with torch.no_grad():
        codes = torch.cat(
            [network.taps(some, [encoder])[encoder].flatten(1) for some in x.split(part)]
        )
    if codes.shape[1] != generator.code_dim:
        raise InvsetError(
            f"{generator.name} takes codes of {generator.code_dim} numbers, but {encoder} of"
            f" {network.name} gives {codes.shape[1]}; choose a generator trained for it, or"
            " encoder= its layer"
        )
    return codes


def foreign(generator: Generator, network: Network, told: list[str]) -> list[str]:
    """A sentence where codes are encodings by another network than the one that E is of; none if it
    was `told`.
    """
    if generator.start is not None or generator.inverts in (None, network.name):
        return []
    sentence = (
        f"{generator.name} takes encodings by {generator.inverts}, but starting codes are encodings"
        f" by {network.name}; the paper takes {generator.inverts} for both: type"
        f" +network@encoder_network={generator.inverts}"
    )
    return [] if sentence in told else [sentence]

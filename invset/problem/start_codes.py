"""Codes to begin at without a natural region (paper, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.options import check_options, option
from invset.core.products import products
from invset.errors import InvsetError
from invset.nets.generator import Generator
from invset.nets.network import Network

#: Draws for each code that is wanted, before a filter is given up.
_DRAWS = 100


@dataclass(frozen=True)
class Starts:
    """Codes that samplers begin at with prior=none and prior=clip.

    Attributes:
        count: how many there are; samplers take theirs out of them.
        z1: lowest activation of each neuron that a code to begin at has; None: any.
        z2: the highest; None: any.
    """

    count: int = option(256, at_least=1)
    z1: float | None = option(None)
    z2: float | None = option(None)

    def __post_init__(self) -> None:
        check_options(self, "starts")

    def check_unused(self) -> None:
        """Raise `InvsetError` unless all options are as they are by default."""
        if self != Starts():
            raise InvsetError(
                "starts. chooses codes to begin at with prior=none and prior=clip; samplers draw"
                " those of the natural region themselves: type prior=none, or leave starts. out"
            )

    @torch.no_grad()
    def drawn(
        self,
        draw: Callable[[int, torch.Generator], Tensor],
        evaluate: Callable[[Tensor], tuple[Tensor, Tensor]],
        rng: torch.Generator,
    ) -> Tensor:
        """Codes to begin at, with shape (count, code_dim).

        Args:
            draw: count -> codes.
            evaluate: codes -> activations, with shape (B, p), and encodings.
            rng: of the draws.

        Raises:
            InvsetError: hardly any code has such activations.
        """
        if self.z1 is None and self.z2 is None:
            return draw(self.count, rng)
        low = -torch.inf if self.z1 is None else self.z1
        high = torch.inf if self.z2 is None else self.z2
        kept: list[Tensor] = []
        found = 0
        for _ in range(_DRAWS):
            codes = draw(self.count, rng)
            activations = evaluate(codes)[0]
            fits = ((activations >= low) & (activations <= high)).all(1)
            kept.append(codes[fits.to(codes.device)])
            found += len(kept[-1])
            if found >= self.count:
                return torch.cat(kept)[: self.count]
        raise InvsetError(
            f"{found} of {_DRAWS * self.count} codes have activations in [{low:g}, {high:g}], and"
            f" starts.count={self.count} are wanted; type other starts.z1= and starts.z2="
        )


#: No filter.
ANY = Starts()


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
            f" {network.name} gives {codes.shape[1]}; type generator.prior=, another encoder=, or"
            " generator.gaussian=true for generator=custom"
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

"""Feature losses in another network than the one whose codes are inverted.

A generator that learns what its own network sees learns grain that only this network sees. A
comparator is a network that took no part: pictures y and photographs x are enlarged to its side, a
random part of each is shown to it, and the loss of a layer l is

    |(φ_l(y) - φ_l(x)) / s_l|² / 2        s_l: the spread of each channel over photographs

so that two photographs that have nothing to do with each other have a loss of 1 in every layer.
Gradients of layers at the picture differ in length by orders of magnitude. Each layer has a
weight that gives all the same length; the weights are measured anew between reports.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.errors import InvsetError
from invset.nets.network import Network

#: How many layers are compared where none are named, beside the encoder and the output.
MAPS = 6

#: Largest part by which a picture is enlarged beyond the comparator's side, of that side: the part
#: that is seen moves, so that no grid of the generator's can hide between the comparator's strides.
LOOSE = 0.25


class Comparator(nn.Module):
    """A network that compares pictures with photographs.

    Args:
        network: takes RGB pictures of any content; its own side is what pictures are enlarged to.
        layers: compared; none: `MAPS` maps evenly spread over the order of execution, its encoder
            and its output. One that is named twice counts once.

    Raises:
        InvsetError: a layer that does not exist.
    """

    weights: Tensor

    def __init__(self, network: Network, layers: Sequence[str] = ()) -> None:
        super().__init__()
        default = [*network.traced.evenly(MAPS), network.encoder, network.output]
        self.layers = list(dict.fromkeys(layers or default))
        self.network = network
        for layer in self.layers:
            network.resolve(layer)
        self.register_buffer("weights", torch.full((len(self.layers),), torch.nan))
        for i, layer in enumerate(self.layers):
            self.register_buffer(f"spread{i}", torch.ones(network.units(layer)))
        self.to(network.device)

    @torch.no_grad()
    def measure(self, images: Tensor, rng: torch.Generator) -> None:
        """Take the spread of channels over photographs, floats with shape (N, 3, H, W)."""
        parts = [self._seen(part, rng) for part in images.split(64)]
        for i, layer in enumerate(self.layers):
            values = torch.cat([_channels_last(part[layer]) for part in parts])
            deviation = values.flatten(0, -2).std(0)
            if not deviation.any():
                raise InvsetError(
                    f"layer {layer} of {self.network.name} is the same for every picture; name"
                    " other layers in comparator_layers="
                )
            # a channel that hardly ever speaks would outweigh all others when it does
            floor = 0.1 * deviation.square().mean().sqrt()
            getattr(self, f"spread{i}").copy_(deviation.clamp_min(floor))

    def balance(self, picture: Tensor, x: Tensor, rng: torch.Generator) -> None:
        """Weigh layers so that their gradients at the pictures have equal lengths; the geometric
        mean of new weights and old ones counts. They sum to 1.
        """
        y = picture.detach().requires_grad_()
        losses = self.losses(y, x, rng)
        lengths = [
            torch.autograd.grad(loss, y, retain_graph=True)[0].norm().clamp_min(1e-12)
            for loss in losses
        ]
        new = 1 / torch.stack(lengths)
        new = new / new.sum()
        old = torch.where(self.weights.isnan(), new, self.weights)
        mean = (new * old).sqrt()
        self.weights.copy_(mean / mean.sum())

    def forward(self, picture: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
        """The weighted mean of the layers' losses."""
        return (self.weights * self.losses(picture, x, rng)).sum()

    def losses(self, picture: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
        """The loss of each layer, with shape (layers,), on the same parts of both.

        Args:
            picture: what the generator made, with shape (N, 3, H, W), in [0, 1].
            x: photographs of the same shape.
            rng: draws the part that is seen.
        """
        state = rng.get_state()
        with torch.no_grad():
            real = self._seen(x, rng)
        rng.set_state(state)
        seen = self._seen(picture, rng)
        errors = []
        for i, layer in enumerate(self.layers):
            difference = _channels_last(seen[layer]) - _channels_last(real[layer])
            errors.append((difference / getattr(self, f"spread{i}")).square().mean() / 2)
        return torch.stack(errors)

    def _seen(self, images: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        return self.network.taps(enlarged(images, self._side(images), rng), self.layers)

    def _side(self, images: Tensor) -> tuple[int, int]:
        shape = self.network.medium.shape
        return (shape or tuple(images.shape[1:]))[1:]  # type: ignore[return-value]


def enlarged(images: Tensor, side: tuple[int, int], rng: torch.Generator) -> Tensor:
    """A random part of `images`, enlarged a little beyond `side` = (height, width)."""
    loose = [int(torch.randint(0, int(LOOSE * n) + 1, (), generator=rng)) for n in side]
    first = [int(torch.randint(0, more + 1, (), generator=rng)) for more in loose]
    height, width = (n + more for n, more in zip(side, loose, strict=True))
    big = F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
    top, left = first
    part = big[:, :, top : top + side[0], left : left + side[1]]
    return part.contiguous(memory_format=torch.channels_last)


def _channels_last(value: Tensor) -> Tensor:
    """Maps with shape (N, channels, …) as (N, …, channels); tokens and units are so."""
    return (value.movedim(1, -1) if value.ndim == 4 else value).float()

"""Compositional pattern-producing networks (Stanley 2007): small networks that grow, and that give
a picture pixel by pixel.

A network maps the place of a pixel, (x, y, distance from the centre, 1), to its value. It begins
without hidden nodes, every input linked to every output; `invset.core.cppn_growth` lets it grow. B
networks are tensors of one shape: inputs come first, then room for hidden nodes, then outputs. A
link leads from a lower level to a higher one, so that there is no circle.

Functions and the colours of three outputs are those of the code for Nguyen, Yosinski & Clune 2015
(Evolving-AI-Lab/fooling).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.options import check_options, option

#: x, y, distance from the centre, and the bias.
INPUTS = 4

#: What a node may make of the sum of its inputs: `bent`.
KINDS = ("sine", "sigmoid", "gaussian", "linear")

#: Weights lie in [-LARGEST, LARGEST].
LARGEST = 10.0

#: Numbers of all nodes that are rendered at a time.
_AT_A_TIME = 2**24


@dataclass(frozen=True)
class Growth:
    """How networks grow; chances are of one mutation of a network.

    Attributes:
        hidden: most hidden nodes of a network.
        add_link: chance of a new link.
        drop_link: chance that a link goes.
        move_link: chance that one end of a link goes to another node.
        add_node: chance of a new node in the middle of a link.
        drop_node: chance that a hidden node goes.
        new_kind: chance of each node to get a function anew.
        grid: what x and y are: "unit": from -1 to 1; "pixels": numbers of pixels from 0 (Nguyen et
            al. 2015).
    """

    hidden: int = option(20, at_least=1, at_most=200)
    add_link: float = option(0.5, at_least=0, at_most=1)
    drop_link: float = option(0.3, at_least=0, at_most=1)
    move_link: float = option(0.5, at_least=0, at_most=1)
    add_node: float = option(0.5, at_least=0, at_most=1)
    drop_node: float = option(0.2, at_least=0, at_most=1)
    new_kind: float = option(0.1, at_least=0, at_most=1)
    grid: str = option("unit", words=("unit", "pixels"))

    def __post_init__(self) -> None:
        check_options(self, "sampler.cppn")


@dataclass(frozen=True)
class Cppns:
    """B networks of M nodes: 4 inputs, H hidden ones, and as many outputs as channels.

    Attributes:
        weight: of each link, from the node of the row to that of the column, with shape (B, M, M);
            0 where there is none.
        linked: which links there are, a boolean with shape (B, M, M).
        kind: number in `KINDS` of each node's function, with shape (B, M).
        used: which hidden nodes there are, a boolean with shape (B, H).
        rank: place of each hidden node in the order of evaluation, from 0, with shape (B, H).
    """

    weight: Tensor
    linked: Tensor
    kind: Tensor
    used: Tensor
    rank: Tensor

    @property
    def hidden(self) -> int:
        """Room for hidden nodes, H."""
        return self.used.shape[1]

    def levels(self) -> Tensor:
        """Where in the order each node is, inputs -1 and outputs H, with shape (B, M)."""
        inputs = self.rank.new_full((len(self.rank), INPUTS), -1)
        outputs = self.weight.shape[1] - INPUTS - self.hidden
        last = self.rank.new_full((len(self.rank), outputs), self.hidden)
        return torch.cat([inputs, self.rank, last], 1)

    def free(self) -> Tensor:
        """Links that there could be, and are not, a boolean with shape (B, M, M)."""
        level = self.levels()
        there = torch.ones_like(self.kind, dtype=torch.bool)
        there[:, INPUTS : INPUTS + self.hidden] = self.used
        pairs = there.unsqueeze(2) & there.unsqueeze(1)
        return pairs & (level.unsqueeze(2) < level.unsqueeze(1)) & ~self.linked


def begun(count: int, outputs: int, growth: Growth, rng: torch.Generator) -> Cppns:
    """Networks without hidden nodes, on the device of `rng`; weights are uniform.

    Args:
        count: of networks.
        outputs: channels of a picture.
        growth: how much room there is.
        rng: of the draws.
    """
    nodes = INPUTS + growth.hidden + outputs
    linked = torch.zeros(count, nodes, nodes, dtype=torch.bool, device=rng.device)
    linked[:, :INPUTS, -outputs:] = True
    used = torch.zeros(count, growth.hidden, dtype=torch.bool, device=rng.device)
    rank = torch.arange(growth.hidden, device=rng.device).repeat(count, 1)
    kind = torch.randint(len(KINDS), (count, nodes), generator=rng, device=rng.device)
    return Cppns(drawn_weights(linked.shape, rng) * linked, linked, kind, used, rank)


def rendered(nets: Cppns, picture: tuple[int, int, int], grid: str) -> Tensor:
    """Pictures with pixels in [0, 1], with shape (B, channels · H · W).

    Args:
        nets: with as many outputs as channels.
        picture: (channels, H, W).
        grid: see `Growth`.
    """
    _, height, width = picture
    places = inputs_of(height, width, grid, nets.weight)
    part = max(1, _AT_A_TIME // (nets.weight.shape[1] * places.shape[1]))
    parts = []
    for start in range(0, len(nets.weight), part):
        some = Cppns(*(value[start : start + part] for value in vars(nets).values()))
        parts.append(_colours(outputs_of(some, places)).flatten(1))
    return torch.cat(parts)


def inputs_of(height: int, width: int, grid: str, like: Tensor) -> Tensor:
    """What the networks are told of each pixel, with shape (4, H · W)."""
    device, dtype = like.device, like.dtype
    y = torch.linspace(-1, 1, height, device=device, dtype=dtype).repeat_interleave(width)
    x = torch.linspace(-1, 1, width, device=device, dtype=dtype).repeat(height)
    far = (x.square() + y.square()).sqrt()
    if grid == "pixels":
        y = (y + 1) / 2 * (height - 1)
        x = (x + 1) / 2 * (width - 1)
    return torch.stack([x, y, far, torch.ones_like(x)])


def outputs_of(nets: Cppns, places: Tensor) -> Tensor:
    """Values of the outputs in [-1, 1] at P places, with shape (B, outputs, P).

    Args:
        nets: B networks.
        places: inputs, with shape (4, P).
    """
    count, nodes, _ = nets.weight.shape
    order = nets.levels().argsort(dim=1, stable=True)
    weight = nets.weight.gather(1, order.unsqueeze(2).expand(-1, -1, nodes))
    weight = weight.gather(2, order.unsqueeze(1).expand(-1, nodes, -1))
    kind = nets.kind.gather(1, order)
    last = INPUTS + nets.hidden
    values = places.new_zeros(count, last, places.shape[1])
    values[:, :INPUTS] = places
    for node in range(INPUTS, last):
        total = torch.bmm(weight[:, :node, node].unsqueeze(1), values[:, :node])
        values[:, node] = bent(total, kind[:, node, None, None]).squeeze(1)
    total = torch.bmm(weight[:, :last, last:].transpose(1, 2), values)
    return bent(total, kind[:, last:].unsqueeze(2))


def bent(total: Tensor, kind: Tensor) -> Tensor:
    """A node's function of the sum of its inputs, in [-1, 1]: sin t, 2 / (1 + exp(-t)) - 1,
    exp(-t²), or t / 3 cut at ±1, by the number in `KINDS`.
    """
    value = torch.where(kind == 0, total.sin(), (total / 2).tanh())
    value = torch.where(kind == 2, (-total.square()).exp(), value)
    return torch.where(kind == 3, total.clamp(-3, 3) / 3, value)


def _colours(outputs: Tensor) -> Tensor:
    """Outputs in [-1, 1], with shape (B, channels, P), to pixels: their absolute values; of three
    they are hue, lightness and saturation.
    """
    value = outputs.abs()
    if value.shape[1] != 3:
        return value
    hue, light, saturation = value.unbind(1)
    spread = saturation * torch.minimum(light, 1 - light)
    channels = []
    for offset in (0, 8, 4):
        k = (offset + 12 * hue) % 12
        channels.append(light - spread * torch.minimum(k - 3, 9 - k).clamp(-1, 1))
    return torch.stack(channels, 1)


def drawn_weights(shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Uniform weights, on the device of `rng`."""
    return (2 * torch.rand(shape, generator=rng, device=rng.device) - 1) * LARGEST

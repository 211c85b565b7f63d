"""Where in a layer a neuron is: units, maps and tokens, single, pooled and along a direction."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import seeded
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.nets.network import Network
from invset.nets.tokens import Tokens as Tokened
from invset.problem.neuron import At, Neuron, Position, find, locate, read, read_all
from invset.problem.position import described

#: A layer's maps, of which height and width differ.
CHANNELS, HEIGHT, WIDTH = 5, 6, 8
#: Tokens of a layer: one for the class, then patches of a 3x3 grid.
TOKENS = 10


def maps() -> Tensor:
    return torch.randn(2, CHANNELS, HEIGHT, WIDTH, generator=seeded())


def tokens() -> Tensor:
    return torch.randn(2, TOKENS, CHANNELS, generator=seeded())


def units() -> Tensor:
    return torch.randn(2, CHANNELS, generator=seeded())


def at(x: Tensor, position: Position, prefix: int | None = None) -> At:
    return locate(position, x.shape[1:], "layer", prefix)


#: Activations, a position, and what is read there of every channel, worked out by other means.
PLACES: list[tuple[Tensor, Position, Tensor]] = [
    (units(), "center", units()),
    # the middle of 6 rows and 8 columns is (3, 4)
    (maps(), "center", maps()[:, :, 3, 4]),
    (maps(), (1, 5), maps()[:, :, 1, 5]),
    (maps(), "max", torch.stack([torch.stack([c.max() for c in x]) for x in maps()])),
    (maps(), "mean", torch.stack([torch.stack([c.mean() for c in x]) for x in maps()])),
    (tokens(), "cls", tokens()[:, 0]),
    (tokens(), 7, tokens()[:, 7]),
    # behind the class token, row 2 and column 0 of 3x3 is token 1 + 2 * 3
    (tokens(), (2, 0), tokens()[:, 7]),
    (tokens(), "center", tokens()[:, 5]),
    (tokens(), "max", torch.stack([torch.stack([c.max() for c in x.T]) for x in tokens()])),
    (tokens(), "mean", torch.stack([torch.stack([c.mean() for c in x.T]) for x in tokens()])),
]
NAMES = [f"{x.ndim}-{position}" for x, position, _ in PLACES]


@pytest.mark.parametrize(("x", "position", "expected"), PLACES, ids=NAMES)
def test_one_neuron_and_all_of_them(x: Tensor, position: Position, expected: Tensor) -> None:
    where = at(x, position)
    torch.testing.assert_close(read_all(x, where), expected)
    for index in range(CHANNELS):
        torch.testing.assert_close(read(x, where, index, None), expected[:, index])


@pytest.mark.parametrize(("x", "position", "expected"), PLACES, ids=NAMES)
def test_a_direction_is_an_inner_product(x: Tensor, position: Position, expected: Tensor) -> None:
    where = at(x, position)
    d = torch.randn(CHANNELS, generator=seeded(1))
    if position == "max":  # of the products at each position
        products = torch.einsum("bchw,c->bhw" if x.ndim == 4 else "btc,c->bt", x, d)
        product = torch.stack([p.max() for p in products])
    else:
        product = sum(d[c] * expected[:, c] for c in range(CHANNELS))
    torch.testing.assert_close(read(x, where, None, d), product)
    # the k-th axis is the k-th neuron
    axis = read(x, where, None, torch.eye(CHANNELS)[2])
    torch.testing.assert_close(axis, read(x, where, 2, None))


@pytest.mark.parametrize(
    ("count", "prefix", "position", "token"),
    [
        (9, None, (0, 0), 0),
        (10, None, (0, 0), 1),
        (21, None, (0, 0), 5),  # a class token, four registers and 4x4 patches
        (21, 5, (1, 2), 11),
        (21, None, "register4", 4),
        (12, 3, "cls", 0),
        (12, 0, 11, 11),
    ],
)
def test_tokens_before_the_patches(
    count: int, prefix: int | None, position: Position, token: int
) -> None:
    assert locate(position, (count, 7), "block", prefix) == (token,)


@pytest.mark.parametrize(
    ("shape", "position", "message"),
    [
        ((7,), "max", "layer x has units, which have no positions; leave position=max out"),
        ((7,), (1, 1), "has units"),
        ((5, 6, 8), "cls", r"maps, whose position is center, max, mean or \[y, x\], not cls"),
        ((5, 6, 8), 3, "not 3"),
        ((5, 6, 8), (6, 0), r"\[6, 0\] lies outside layer x, whose maps are 6x8"),
        ((10, 5), 10, r"10 tokens; position is cls, center, a patch \[y, x\] below \[3, 3\]"),
        ((10, 5), "register1", "a token's number from 0 to 9, max or mean, not register1"),
        ((10, 5), (3, 0), "lies outside layer x, whose patches are 3x3"),
        ((9, 5), "cls", "network.prefix_tokens="),
    ],
)
def test_positions_that_a_layer_lacks(shape: Any, position: Position, message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        locate(position, shape, "x")


def test_tokens_that_are_no_grid_have_no_patches() -> None:
    with pytest.raises(InvsetError, match="position is cls, register1, a token's number"):
        locate("center", (12, 5), "x", 2)


@pytest.mark.parametrize(
    "position", ["middle", "register0", 1.5, True, None, (1.5, 1), (-1, 0), []]
)
def test_no_positions(position: Any) -> None:
    with pytest.raises(InvsetError, match="position"):
        Neuron("conv", 1, position=position)


def test_a_list_is_a_pair() -> None:
    assert Neuron("conv", 1, position=[0, 3]).position == (0, 3)  # type: ignore[arg-type]


class Tokens(nn.Module):
    """A transformer in small: 4x4 patches of an 8x8 picture and a class token, in 6 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 2, stride=2)
        self.cls = nn.Parameter(torch.randn(1, 1, 6, generator=seeded(3)))
        self.block = nn.TransformerEncoderLayer(6, 2, 12, 0.0, batch_first=True)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        seen = self.block(torch.cat([self.cls.expand(len(x), -1, -1), patches], 1))
        return self.head(seen[:, 0])


def test_a_transformer() -> None:
    torch.manual_seed(0)
    network = Network(Tokens(), image_size=8, output="head", encoder="block")
    x = torch.rand(3, 3, 8, 8, generator=seeded())
    block = network.taps(x, ["block"])["block"]
    assert block.shape == (3, 17, 6)
    assert network.units("block") == 6
    head = network.module.head
    torch.testing.assert_close(
        head(read_all(block, find(network, Neuron("block", 1, position="cls")).at)),
        network.taps(x, ["head"])["head"],
    )
    patch = find(network, Neuron("block", 6, position=(3, 3)))
    assert torch.equal(patch.read(block), block[:, 16, 5])
    with pytest.raises(InvsetError, match="layer block of network has neurons 1 to 6"):
        find(network, Neuron("block", 7, position="cls"))
    with pytest.raises(InvsetError, match=r"a direction in layer block has 6 numbers, not \(17,\)"):
        find(network, Neuron("block", None, position="cls", direction=torch.ones(17)))


def test_prefix_tokens_are_an_option_of_the_network() -> None:
    torch.manual_seed(0)
    network = Network(Tokens(), image_size=8, output="head", encoder="block", prefix_tokens=8)
    assert find(network, Neuron("block", 1, position=(0, 0))).at == (8,)


@pytest.mark.parametrize(
    ("position", "shape", "words"),
    [
        ("center", (7,), ""),
        ("center", (12, 4, 5), "at the centre [2,2] of 4x5"),
        ((3, 1), (12, 4, 5), "at [3,1] of 4x5"),
        ("max", (12, 4, 5), "as the largest of 4x5"),
        ("mean", (17, 8), "as the mean of 17 tokens"),
        ("cls", (17, 8), "at cls, token 0 of 17"),
        ("center", (17, 8), "at the centre, token 11 of 17"),
        (5, (17, 8), "at token 5 of 17"),
    ],
)
def test_where_a_neuron_is_read_in_words(
    position: Position, shape: tuple[int, ...], words: str
) -> None:
    at = locate(position, shape, "layer", Tokened.named(["cls"], (4, 4)))
    assert described(position, at, shape) == words

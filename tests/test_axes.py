"""Where the channels of a layer lie: found by what made it, and asked for where nobody knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from invset import InvsetError, Network, Neuron
from invset.problem.neuron import find


class Net(nn.Module):
    """Maps with channels first, then last, then first again; tokens both ways."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 24, 4, stride=4)
        self.act = nn.ReLU()
        self.norm = nn.LayerNorm(24)
        self.mlp = nn.Linear(24, 48)
        self.gelu = nn.GELU()
        self.drop = nn.Dropout(0.1)
        self.back = nn.Conv2d(48, 24, 1)
        self.sum = nn.Identity()
        self.line = nn.Conv1d(24, 7, 1)
        self.tokens = nn.Linear(7, 9)
        self.fc = nn.Linear(9, 10)

    def forward(self, x: Tensor) -> Tensor:
        first = self.act(self.stem(x))
        x = self.norm(first.permute(0, 2, 3, 1))
        x = self.drop(self.gelu(self.mlp(x)))
        x = self.back(x.permute(0, 3, 1, 2))
        x = self.sum(x + first)
        x = self.line(x.flatten(2))
        return self.fc(self.act(self.tokens(x.transpose(1, 2))).mean(1))


FIRST_OR_LAST = {
    **dict.fromkeys(("stem", "act", "act#1", "back", "sum", "line"), "first"),
    **dict.fromkeys(("norm", "mlp", "gelu", "drop", "mlp.input", "tokens", "act#2"), "last"),
}


@pytest.mark.parametrize("size", [(32, 32), (16, 48)])
def test_channels_lie_where_the_modules_say(size: tuple[int, int]) -> None:
    network = Network(Net(), image_size=size)
    assert {layer: network.axis(layer) for layer in FIRST_OR_LAST} == FIRST_OR_LAST
    height, width = size[0] // 4, size[1] // 4
    assert network.shape("mlp") == (48, height, width)
    assert network.shape("sum") == (24, height, width)
    assert network.shape("line") == (height * width, 7)  # as tokens
    assert network.shape("tokens") == (height * width, 9)
    x = torch.rand(2, 3, *size)
    taps = network.taps(x, ["drop", "line"])
    given: dict[str, Tensor] = {}
    module = Net().eval()
    for name in ("drop", "line"):
        getattr(module, name).register_forward_hook(
            lambda _m, _i, out, name=name: given.__setitem__(name, out)
        )
    module(x)
    assert torch.equal(taps["drop"], given["drop"].permute(0, 3, 1, 2))
    assert torch.equal(taps["line"], given["line"].transpose(1, 2))
    place = find(network, Neuron("mlp", 40, position=(1, 2)))
    assert (place.index, place.at) == (39, (1, 2))
    with pytest.raises(InvsetError, match="neurons 1 to 48"):
        find(network, Neuron("mlp", 49))


class Bare(nn.Module):
    """Maps that no module of PyTorch made."""

    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.maps = nn.Module()
        self.maps.forward = how  # type: ignore[method-assign,assignment]
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.maps(x).mean((2, 3)))


def test_square_maps_are_known_and_others_are_asked_for() -> None:
    def doubled(x: Tensor) -> Tensor:
        return torch.cat([x, x], 1)[:, :3]

    assert Network(Bare(doubled), image_size=8).axis("maps") == "first"
    assert Network(Bare(doubled), image_size=(8, 12)).axis("maps") == "first"
    network = Network(Bare(doubled), image_size=3)
    with pytest.raises(InvsetError, match=r"network\.axes=\{maps: last\}', or first"):
        find(network, Neuron("maps", 1))
    known = Network(Bare(doubled), image_size=(8, 12), axes={"maps": "first"})
    assert known.units("maps") == 3
    assert Network(Bare(doubled), image_size=(8, 12), axes={"maps": "last"}).units("maps") == 12
    with pytest.raises(InvsetError, match="on the first or the last axis, not 'third'"):
        Network(Bare(doubled), image_size=8, axes={"maps": "third"})


def test_every_call_of_a_module_is_a_layer() -> None:
    network = Network(Net(), image_size=32)
    assert [one for one in network.layers if one.startswith("act")] == ["act#1", "act#2"]
    x = torch.rand(2, 3, 32, 32)
    taps = network.taps(x, ["act", "act#1", "act#2", "act#2.input", "tokens", "stem"])
    assert torch.equal(taps["act"], taps["act#1"])
    assert torch.equal(taps["act#1"], taps["stem"].relu())
    assert torch.equal(taps["act#2"], taps["tokens"].relu())
    assert torch.equal(taps["act#2.input"], taps["tokens"])
    with pytest.raises(InvsetError, match="act#3 of network is not part of its forward pass"):
        network.taps(x, ["act#3"])


class Product(nn.Module):
    """A linear layer of one's own, on the last axis."""

    def __init__(self, n: int, units: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n, units))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Mixed(nn.Module):
    """Only the first layer is PyTorch's own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, stride=4)
        self.mlp = Product(24, 48)
        self.pool = nn.Module()
        self.pool.forward = lambda x: x[:, ::2, ::2]  # type: ignore[method-assign,assignment]
        self.row = nn.Flatten(2)
        self.fc = Product(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.pool(self.mlp(x.permute(0, 2, 3, 1)))
        return self.fc(self.row(x).mean(2)) + y.mean()


@pytest.mark.parametrize("size", [(32, 32), (16, 48), (30, 41)])
def test_sides_of_maps_tell_what_modules_do_not(size: tuple[int, int]) -> None:
    network = Network(Mixed(), image_size=size)
    height, width = size[0] // 4, size[1] // 4
    assert {name: network.axis(name) for name in ("mlp", "pool", "row")} == {
        "mlp": "last",
        "pool": "last",
        "row": "first",
    }
    assert network.shape("mlp") == (48, height, width)
    assert network.shape("pool") == (48, -(-height // 2), -(-width // 2))
    assert network.shape("row") == (height * width, 24)


class Own(nn.Module):
    """Code of a person's own, without parts."""

    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(x)


def behind(channels: int, how: Callable[[Tensor], Tensor]) -> Network:
    """Maps of 8x8 by a convolution, then somebody's own code."""
    mean = Own(lambda x: x.flatten(1).mean(1, keepdim=True))
    stem = nn.Conv2d(3, channels, 4, stride=4)
    return Network(nn.Sequential(stem, Own(how), mean, nn.Linear(1, 4)), image_size=32)


@pytest.mark.parametrize(
    ("channels", "how", "axis", "units"),
    [
        (16, lambda x: x.permute(0, 2, 3, 1) @ torch.ones(16, 24), "last", 24),
        (9, lambda x: x * x.sigmoid(), "first", 9),
        (16, lambda x: x.flatten(2), "first", 16),
        (16, lambda x: x.flatten(2).transpose(1, 2), "last", 16),
    ],
)
def test_sides_of_known_maps_tell_of_code_of_ones_own(
    channels: int, how: Callable[[Tensor], Tensor], axis: str, units: int
) -> None:
    network = behind(channels, how)
    assert network.axis("1") == axis
    assert network.units("1") == units


@pytest.mark.parametrize(
    ("channels", "how"),
    [
        (8, lambda x: x.permute(0, 2, 3, 1).relu()),
        (8, lambda x: x.permute(0, 2, 3, 1).contiguous()),
        (64, lambda x: x.flatten(2)),
    ],
)
def test_equal_sides_from_code_of_ones_own_are_asked_for(
    channels: int, how: Callable[[Tensor], Tensor]
) -> None:
    with pytest.raises(InvsetError, match=r"network\.axes=\{1: last\}', or first"):
        behind(channels, how).units("1")


def test_equal_sides_behind_modules_of_pytorch_are_not_asked_for() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 1)
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(x + self.conv(x))

    stem = nn.Conv2d(3, 8, 4, stride=4)
    network = Network(nn.Sequential(stem, Residual(), nn.ReLU()), image_size=32)
    assert [network.axis(layer) for layer in ("1", "1.act", "2")] == ["first"] * 3


def test_default_layer_is_the_call_that_makes_the_output() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 6, 4, stride=4)
            self.act = nn.ReLU()
            self.fc = nn.Linear(6, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.fc(self.act(self.conv(x)).mean((2, 3))))

    module = Shared()
    network = Network(module, image_size=32)
    assert (network.output, network.encoder) == ("act#2", "fc.input")
    assert network.units(network.output) == 10
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(network.taps(x, [network.output])["act#2"], module(x))
    with pytest.raises(InvsetError, match="2 labels, but its output act#2 has 10 units"):
        Network(module, image_size=32, labels=["a", "b"])

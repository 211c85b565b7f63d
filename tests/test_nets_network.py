"""Reading a network's layers in one pass, and folding batch norm."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.errors import InvsetError
from invset.nets.mini import LAYER_ALIASES, MiniNet, fold_batch_norm
from invset.nets.network import Network


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 3, size: int = 8) -> Tensor:
    return torch.rand(count, 3, size, size, generator=seeded())


class Residual(nn.Module):
    """Everything that works in place: a ReLU module, relu_, a sum; and a layer that passes its
    input on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.mix = nn.Conv2d(4, 4, 3, padding=1)
        self.same = nn.Identity()
        self.branch = nn.Conv2d(4, 4, 3, padding=1)
        self.pair = nn.LSTM(8, 2)
        self.unused = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5)
        self.calls: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix(self.relu(self.conv(x)))
        y = self.branch(x)
        self.calls.append("branch")
        self.same(y)
        y += x
        F.relu_(y)
        self.pair(y[:, 0])
        self.calls.append("pair")
        return self.head(y.mean((2, 3)))


@pytest.fixture
def residual() -> Network:
    torch.manual_seed(0)
    return Network(Residual(), image_size=8, name="residual", aliases={"start": "conv"})


def by_hand(net: Residual, x: Tensor) -> dict[str, Tensor]:
    conv = net.conv(x)
    relu = conv.clamp_min(0)
    mix = net.mix(relu)
    branch = net.branch(mix)
    head = net.head((mix + branch).clamp_min(0).mean((2, 3)))
    return {"conv": conv, "relu": relu, "mix": mix, "branch": branch, "same": branch, "head": head}


LAYERS = ("conv", "relu", "mix", "branch", "same", "head")


@pytest.mark.parametrize(
    "layers",
    [LAYERS, LAYERS[::-1], *[(layer,) for layer in LAYERS], ("relu", "head"), ("same", "head")],
)
def test_taps_are_not_overwritten_by_what_follows(residual, layers):
    x = images()
    expected = by_hand(residual.module, x)
    found = residual.taps(x, layers)
    assert list(found) == list(layers)
    for layer in layers:
        torch.testing.assert_close(found[layer], expected[layer])


@pytest.mark.parametrize("layer", LAYERS)
def test_gradient_through_a_tap(residual, layer):
    x = images().requires_grad_()
    (expected,) = torch.autograd.grad(by_hand(residual.module, x)[layer].square().sum(), x)
    (found,) = torch.autograd.grad(residual.taps(x * 1, [layer, "head"])[layer].square().sum(), x)
    torch.testing.assert_close(found, expected)


def test_one_backward_through_two_taps(residual):
    x = images().requires_grad_()
    taps = residual.taps(x * 1, ["relu", "head"])
    (both,) = torch.autograd.grad(taps["relu"].sum() + taps["head"].sum(), x)
    expected = by_hand(residual.module, x)
    (wanted,) = torch.autograd.grad(expected["relu"].sum() + expected["head"].sum(), x)
    torch.testing.assert_close(both, wanted)


@pytest.mark.parametrize(
    ("layers", "calls"),
    [(("conv",), []), (("conv", "branch"), []), (("head", "conv"), ["branch", "pair"])],
)
def test_stops_at_the_deepest_tap(residual, layers, calls):
    residual.taps(images(), ["conv"])  # the first look at maps finds where channels lie
    residual.module.calls.clear()
    residual.taps(images(), layers)
    assert residual.module.calls == calls


@pytest.mark.parametrize("layers", [["conv"], ["head"], ["unused"], ["pair"]])
def test_leaves_no_hooks(residual, layers):
    with contextlib.suppress(InvsetError):
        residual.taps(images(), layers)
    assert not any(module._forward_hooks for module in residual.module.modules())


def test_an_alias_is_the_layer(residual):
    taps = residual.taps(images(), ["start", "conv"])
    assert torch.equal(taps["start"], taps["conv"])
    assert residual.resolve("start") == "conv"
    assert residual.layers[0] == "start"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("brunch", "Did you mean branch"),
        ("", "has no layer ''"),
        ("unused", "not part of its forward pass"),
        ("pair", "gives tuple, not one tensor"),
    ],
)
def test_layers_that_cannot_be_read(residual, layer, message):
    with pytest.raises(InvsetError, match=message):
        residual.taps(images(), [layer])


@pytest.mark.parametrize(
    ("layer", "shape"), [("conv", (4, 8, 8)), ("start", (4, 8, 8)), ("head", (5,))]
)
def test_shape_is_that_of_one_image(residual, layer, shape):
    assert residual.shape(layer) == shape


def test_is_frozen_in_evaluation_mode(residual):
    assert not any(p.requires_grad for p in residual.module.parameters())
    assert not any(m.training for m in residual.module.modules())


def test_default_layers_of_small_modules():
    one = Network(nn.Sequential(nn.Flatten()))
    assert (one.output, one.encoder) == ("0", "0")
    two = Network(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), image_size=1)
    assert (two.output, two.encoder) == ("1", "1.input")
    with pytest.raises(InvsetError, match="no layers with a name"):
        Network(nn.Linear(3, 2))


class OutOfOrder(nn.Module):
    """Layers that are registered in another order than they run in."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 5)
        self.conv = nn.Conv2d(3, 4, 3)
        self.spare = nn.Linear(2, 2)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.conv(x).mean((2, 3))))


class Ends(OutOfOrder):
    """The same, with something behind the head."""

    def __init__(self, end) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: Tensor):
        return self.end(super().forward(x))


def spectral() -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 5))
    nn.utils.parametrizations.spectral_norm(net[3])
    return net


@pytest.mark.parametrize(
    ("module", "output", "encoder"),
    [
        (OutOfOrder(), "head", "head.input"),
        (spectral(), "3", "3.input"),
        # what a dropout passes on, or only loses axes of length 1, is what the layer gave
        (nn.Sequential(OutOfOrder(), nn.Dropout(0.5)), "0.head", "0.head.input"),
        (
            nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten()),
            "0",
            "0",
        ),
        # what a function makes of it is not, in place or by a view of a part
        (Ends(lambda x: x.softmax(1)), "output", "head.input"),
        (Ends(F.relu_), "output", "head.input"),
        (Ends(lambda x: x[:, :3]), "output", "head.input"),
        (Ends(lambda x: (x, x)), "output", "head.input"),
        # no linear layer: the part before the last
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 5, 6)), "2", "1"),
    ],
)
def test_default_layers_are_those_that_run_last(module, output, encoder):
    network = Network(module, image_size=8)
    assert (network.output, network.encoder) == (output, encoder)


def test_what_a_network_returns_can_be_tapped():
    torch.manual_seed(0)
    module = Ends(lambda x: x.softmax(1))
    network = Network(module, image_size=8)
    x = images()
    taps = network.taps(x, ["output", "head.input", "head"])
    assert torch.equal(taps["output"], taps["head"].softmax(1))
    assert torch.equal(taps["output"], module.eval()(x))
    assert torch.equal(taps["head.input"], module.conv(x).mean((2, 3)))
    assert network.shape("output") == (5,)
    assert network.layers[-2:] == ["head.input", "output"]
    with pytest.raises(InvsetError, match="layer 'output' of network gives tuple, not one tensor"):
        Network(Ends(lambda x: (x, x)), image_size=8).shape("output")


@pytest.mark.parametrize("count", [4, 6])
def test_as_many_labels_as_units(count):
    with pytest.raises(InvsetError, match=f"{count} labels, but its output head has 5 units"):
        Network(OutOfOrder(), image_size=8, labels=["a"] * count)


def test_a_module_that_does_not_take_pictures_is_told_with_its_line():
    class Mine(OutOfOrder):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("too dark.")

    with pytest.raises(
        InvsetError,
        match=r"image of 3x8x8: ValueError: too dark \(test_nets_network.py, line \d+, in",
    ):
        Network(Mine(), image_size=8).shape("head")


def test_shared_layer_is_read_at_its_first_call():
    twice = nn.Linear(3, 3)
    torch.nn.init.eye_(twice.weight)
    torch.nn.init.ones_(twice.bias)
    network = Network(nn.Sequential(nn.Sequential(twice, twice), nn.Identity()))
    # the first call adds one, the second another
    taps = network.taps(torch.zeros(1, 3), ["0.0", "1"])
    assert taps["0.0"].tolist() == [[1, 1, 1]]
    assert taps["1"].tolist() == [[2, 2, 2]]


def trained_like(size: int = 16) -> MiniNet:
    """A small net whose batch norms are far from the identity."""
    torch.manual_seed(0)
    net = MiniNet(widths=(4, 6, 5, 7, 4), fc6=12, fc7=8, n_out=3, size=size, batch_norm=True)
    rng = seeded(1)
    for module in net.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.normal_(0, 0.3, generator=rng)
            module.running_var.uniform_(0.3, 2, generator=rng)
            nn.init.uniform_(module.weight, 0.5, 2, generator=rng)
            nn.init.normal_(module.bias, 0, 0.3, generator=rng)
    return net.eval()


CAFFENET = (
    "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5 flatten fc6"
    " relu6 fc7 relu7 fc8"
)


def test_folding_batch_norm_keeps_the_function():
    net = trained_like()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold_batch_norm(net)
    x = images(5, 16)
    torch.testing.assert_close(folded(x), net(x), atol=1e-5, rtol=1e-5)
    assert [name for name, _ in folded.named_children()] == ["normalize", *CAFFENET.split()]
    assert not any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in folded.modules())
    assert all(
        torch.equal(before[name], value) for name, value in net.state_dict().items()
    )  # the original is untouched


@pytest.mark.parametrize("layer", ["relu1", "relu3", "pool5", "relu6", "fc8"])
def test_folded_layers_are_the_same(layer):
    net = trained_like()
    x = images(5, 16)
    folded = Network(fold_batch_norm(net), aliases=LAYER_ALIASES)
    torch.testing.assert_close(
        folded.taps(x, [layer])[layer], Network(net).taps(x, [layer])[layer], atol=1e-5, rtol=1e-5
    )


def test_folding_while_training_is_an_error():
    with pytest.raises(ValueError, match="eval"):
        fold_batch_norm(trained_like().train())


class Overwrites(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.add_(1).relu_()


def chain() -> tuple[nn.Sequential, list[str]]:
    """Children in turn: one that is there twice, one that works in place, and a record of those
    that were called.
    """
    torch.manual_seed(0)
    square, calls = nn.Sequential(nn.Linear(6, 6), nn.Tanh()), []
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 6), Overwrites(), square, nn.Identity(), square, nn.Linear(6, 3)
    )
    for name, child in module.named_children():
        child.register_forward_hook(lambda *_, name=name: calls.append(name))
    return module, calls


@pytest.mark.parametrize(
    ("layers", "calls"), [(["1"], "01"), (["3", "1"], "0123"), (["1", "4", "6"], "0123436")]
)
def test_a_chain_is_walked_child_by_child(monkeypatch, layers, calls):
    module, called = chain()
    network, x = Network(module), torch.rand(2, 3, 2, 2, generator=seeded())
    assert network._passes._is_chain(set(layers))
    network.taps(x, layers)
    called.clear()
    found = network.taps(x, layers)
    assert "".join(called) == calls
    monkeypatch.setattr(network._passes, "_is_chain", lambda _: False)
    hooked = network.taps(x, layers)
    assert list(found) == list(hooked) == layers
    for layer in layers:
        assert torch.equal(found[layer], hooked[layer])
    expected = module[1](x.flatten(1))
    if "1" in layers:
        assert torch.equal(found["1"], expected)


@pytest.mark.parametrize("layers", [{"3.0"}, {"1", "3.1"}])
def test_layers_inside_a_child_are_no_chain(layers):
    network = Network(chain()[0])
    assert not network._passes._is_chain(layers)
    assert network.taps(torch.rand(2, 12, generator=seeded()), layers).keys() == layers


def test_hooks_on_the_module_are_called():
    module = chain()[0]
    plain, x = Network(module).taps(torch.ones(1, 12), ["6"])["6"], torch.zeros(1, 12)
    module.register_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1,))
    torch.testing.assert_close(Network(module).taps(x, ["6"])["6"], plain)

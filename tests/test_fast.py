"""Fast layers give the values of PyTorch's, packed or not, and one switch exchanges them."""

from __future__ import annotations

import copy
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from fake_device import FakeCuda, on_host
from torch import Tensor, nn
from torch.nn import functional as F

from invset.nets import fast
from invset.nets.caffe.caffenet import CaffeNet
from invset.nets.embedded import mini_generator, mini_network
from invset.nets.fast import BlockConv2d, ChannelNorm, Dense, accelerate, can_pack


@pytest.fixture(params=[False, True], ids=["as it is", "packed"])
def layer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Dense:
    """A frozen layer, on any kind of processor."""
    if request.param and not fast.CAN_PACK:
        pytest.skip("needs oneDNN, and a PyTorch that packs weights for it")
    monkeypatch.setattr(fast, "PACKING_PAYS", request.param)
    torch.manual_seed(0)
    return Dense(70, 50).requires_grad_(False)


def agrees(layer: Dense, x: Tensor) -> None:
    torch.testing.assert_close(
        layer(x), F.linear(x.double(), layer.weight.double(), layer.bias.double()).float()
    )


@pytest.mark.parametrize("rows", [0, 1, 3, 10, 65])
def test_forward_and_backward_are_those_of_float64(layer: Dense, rows: int) -> None:
    x = torch.randn(rows, 70, requires_grad=True)
    weight = torch.randn(rows, 50)
    agrees(layer, x)
    gradient = torch.autograd.grad((layer(x) * weight).sum(), x)[0]
    torch.testing.assert_close(gradient, (weight.double() @ layer.weight.double()).float())


def test_without_a_gradient_the_numbers_are_the_same(layer: Dense) -> None:
    x = torch.randn(4, 70)
    assert torch.equal(layer(x), layer(x.clone().requires_grad_()))


def test_other_weights_are_noticed(layer: Dense) -> None:
    x = torch.randn(4, 70)
    layer(x)
    layer.weight.mul_(2)
    agrees(layer, x)
    layer.load_state_dict({"weight": torch.randn(50, 70), "bias": torch.randn(50)})
    agrees(layer, x)
    layer.weight = nn.Parameter(torch.randn(50, 70), requires_grad=False)
    agrees(layer, x)


def test_weights_are_trained_copied_and_converted(layer: Dense) -> None:
    x = torch.randn(4, 70)
    layer(x)
    agrees(copy.deepcopy(layer), x)
    assert set(layer.state_dict()) == {"weight", "bias"}
    layer.requires_grad_(True)(x).sum().backward()
    torch.testing.assert_close(layer.weight.grad, x.sum(0).expand(50, 70))
    assert layer.double()(x.double()).dtype == torch.float64


def test_other_shapes_and_bfloat16(layer: Dense) -> None:
    agrees(layer, torch.randn(2, 3, 70))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(4, 70)).dtype == torch.bfloat16


def test_a_pytorch_without_the_private_names_cannot_pack() -> None:
    both = {"_reorder_linear_weight": None, "_linear_pointwise": None}
    if torch.backends.mkldnn.is_available():
        assert can_pack(SimpleNamespace(**both))
    for name in both:
        assert not can_pack(SimpleNamespace(**{name: None}))
    assert not can_pack(SimpleNamespace())
    assert not can_pack(SimpleNamespace(**both), tensor=object)  # without `_version`


FALLBACK = """
import sys, torch
from torch.nn import functional as F
real = torch.ops.mkldnn
class Without:
    def __getattr__(self, name):
        if name in sys.argv[1:]:
            raise AttributeError(name)
        return getattr(real, name)
torch.ops.mkldnn = Without()
torch.backends.cpu.get_cpu_capability = lambda: "AVX512"
from invset.nets import fast
assert not fast.CAN_PACK and not fast.PACKING_PAYS
layer, x = fast.Dense(7, 5).requires_grad_(False), torch.randn(3, 7, requires_grad=True)
found, expected = layer(x), F.linear(x, layer.weight, layer.bias)
slopes, expected_slopes = (torch.autograd.grad(y.sum(), x)[0] for y in (found, expected))
assert torch.equal(found, expected) and torch.equal(slopes, expected_slopes)
assert layer._packed is None
"""


@pytest.mark.parametrize("missing", ["_reorder_linear_weight", "_linear_pointwise"])
def test_without_an_operator_the_layer_is_pytorchs(missing: str) -> None:
    # in a process of its own: what is there is found at import
    done = subprocess.run([sys.executable, "-c", FALLBACK, missing], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# The switch


def kinds(module: nn.Module) -> set[type[nn.Module]]:
    return {type(child) for child in module.modules()}


def test_the_switch_goes_both_ways_and_keeps_weights_and_values() -> None:
    torch.manual_seed(0)
    net = CaffeNet(5, (4, 4, 4, 4, 4), (6, 6)).eval().requires_grad_(False)
    x = torch.rand(2, 3, 227, 227, requires_grad=True)
    state = {name: t.clone() for name, t in net.state_dict().items()}
    found, gradients = [], []
    for on in (False, True):
        assert accelerate(net, on) is net
        assert ({Dense, BlockConv2d, ChannelNorm} <= kinds(net)) is on
        assert bool({nn.Linear, nn.LocalResponseNorm} & kinds(net)) is not on
        found.append(net(x))
        gradients.append(torch.autograd.grad(found[-1].sum(), x)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)
    assert all(torch.equal(net.state_dict()[name], t) for name, t in state.items())
    assert type(net.conv1) is BlockConv2d
    assert type(net.conv2) is nn.Conv2d  # stride 1: blocks of one pixel


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 4, 5, stride=1),
        nn.Conv2d(3, 4, 5, stride=2, padding=2),
        nn.Conv2d(4, 4, 5, stride=2, groups=2),
        nn.Conv2d(3, 4, 3, stride=2, dilation=2),
        nn.Conv2d(3, 4, 3, stride=(2, 1)),
        nn.Conv2d(3, 4, (3, 5), stride=2),
    ],
)
def test_convolutions_that_blocks_do_not_compute_stay(conv: nn.Conv2d) -> None:
    assert type(accelerate(conv)) is nn.Conv2d


class Own(nn.Linear):
    """A user's layer, which may do anything."""


def test_layers_of_others_stay() -> None:
    assert type(accelerate(Own(2, 2))) is Own


def test_embedded_pair_is_fast() -> None:
    assert Dense in kinds(mini_network().module)
    assert Dense in kinds(mini_generator().module)


@pytest.mark.parametrize("inside", [False, True], ids=["after autocast", "in autocast"])
def test_normalisation_is_differentiated_under_the_autocast_of_cuda(inside: bool) -> None:
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.LocalResponseNorm(5, alpha=0.5, beta=0.75, k=1.0),
        nn.Conv2d(8, 4, 3),
    ]
    torch.manual_seed(0)
    net = accelerate(nn.Sequential(*layers)).requires_grad_(False)
    x = torch.randn(2, 3, 9, 9)
    there = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(there).square().sum(), there)
    with FakeCuda():
        net.to("cuda")
        here = x.to("cuda").requires_grad_()
        with torch.autocast("cuda", torch.bfloat16):
            found = net(here)
            scalar = found.float().square().sum()
            if inside:
                (gradient,) = torch.autograd.grad(scalar, here)
        if not inside:
            (gradient,) = torch.autograd.grad(scalar, here)
        assert found.dtype is torch.bfloat16
        assert gradient.dtype is torch.float32
        near = (on_host(gradient) - expected).norm() / expected.norm()
        assert near < 0.02, "bfloat16 has 8 bits"


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_frozen_weights_are_cast_once_for_autocast(device: str, bias: bool) -> None:
    torch.manual_seed(0)
    dense = Dense(7, 5, bias=bias).requires_grad_(False)
    x = torch.randn(3, 7)

    def low(layer: nn.Linear) -> tuple[Tensor, Tensor]:
        here = x.to(device).requires_grad_()
        with torch.autocast(device, torch.bfloat16):
            y = layer(here)
        return on_host((y.detach(), torch.autograd.grad(y.float().square().sum(), here)[0]))

    with FakeCuda() as cuda:
        dense.to(device)
        plain = nn.Linear(7, 5, bias=bias).to(device).requires_grad_(False)
        plain.load_state_dict(dense.state_dict())
        for _ in range(2):
            assert all(map(torch.equal, low(dense), low(plain)))
        if device == "cuda":
            cuda.clear()
            low(dense)
            kept = cuda.kernels["_to_copy"]
            low(plain)
            assert cuda.kernels["_to_copy"] - kept == kept + 1 + bias
    if device == "cpu":
        dense.weight.mul_(2)
        assert torch.equal(low(dense)[0], low(dense.requires_grad_())[0]), "the present weights"
        with torch.autocast("cpu", torch.bfloat16):
            dense(x).float().sum().backward()
        assert dense.weight.grad is not None
        assert torch.equal(dense(x), F.linear(x, dense.weight, dense.bias)), "float32 again"

"""`Dense` is `nn.Linear`, packed or not."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.nets import fast as dense
from invset.nets.fast import Dense


@pytest.fixture(params=[False, True], ids=["as it is", "packed"])
def layer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Dense:
    """A frozen layer, on any kind of processor."""
    if request.param and not torch.backends.mkldnn.is_available():
        pytest.skip("needs oneDNN")
    monkeypatch.setattr(dense, "packing_pays", lambda: request.param)
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

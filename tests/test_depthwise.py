"""Depthwise convolutions with a stride: the gradient is autograd's own, in every type."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from invset.nets.depthwise import Depthwise, _Depthwise
from invset.nets.fast import accelerate


def conv(kernel: int, stride: int, padding: int, kind: torch.dtype = torch.float64) -> nn.Conv2d:
    torch.manual_seed(0)
    made = nn.Conv2d(6, 6, kernel, stride, padding, groups=6)
    return made.to(kind).requires_grad_(False)


def gradient(layer: nn.Module, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    return y, torch.autograd.grad((y * weight[:, :, : y.shape[2], : y.shape[3]]).sum(), x)[0]


@pytest.mark.parametrize("sides", [(8, 8), (9, 8), (7, 11)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("kernel", "padding"), [(3, 0), (3, 1), (5, 2), (5, 0)])
def test_gradient_is_autograds_in_float64(
    kernel: int, padding: int, stride: int, sides: tuple[int, int]
) -> None:
    plain = conv(kernel, stride, padding)
    geometry = plain.stride, plain.padding, plain.dilation
    x = torch.randn(2, 6, *sides, dtype=torch.float64)
    weight = torch.randn(2, 6, *sides, dtype=torch.float64)
    y, found = gradient(
        lambda x: _Depthwise.apply(x, plain.weight, plain.bias, geometry),  # type: ignore[arg-type]
        x,
        weight,
    )
    expected, wanted = gradient(plain, x, weight)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("sides", [(8, 8), (9, 7)])
@pytest.mark.parametrize("autocast", [True, False])
def test_in_bfloat16_it_is_float64s_rounded(autocast: bool, sides: tuple[int, int]) -> None:
    kind = torch.float32 if autocast else torch.bfloat16
    layer = accelerate(conv(3, 2, 1, kind))
    assert type(layer) is Depthwise
    x = torch.randn(2, 6, *sides).bfloat16()
    weight = torch.randn(2, 6, *sides).bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y, found = gradient(layer, x.to(kind), weight)
    assert y.dtype == torch.bfloat16
    assert found.dtype == kind
    wide = accelerate(layer, on=False).double()
    _, wanted = gradient(wide, x.double(), weight.double())
    # weights are not rounded: what is left is the rounding of the result, to 8 bits
    torch.testing.assert_close(found.double(), wanted, rtol=2**-8, atol=1e-6)


def test_what_else_there_is_goes_the_way_of_pytorch() -> None:
    layer = accelerate(conv(3, 2, 1, torch.float32))
    x = torch.randn(2, 6, 8, 8, requires_grad=True)
    assert "Depthwise" not in type(layer(x).grad_fn).__name__
    assert "Depthwise" in type(layer.bfloat16()(x.bfloat16()).grad_fn).__name__
    trained = layer.requires_grad_(True)
    assert "Depthwise" not in type(trained(x.bfloat16()).grad_fn).__name__
    trained(x.bfloat16()).sum().backward()
    assert trained.weight.grad is not None
    assert layer(torch.zeros(0, 6, 8, 8).bfloat16()).shape == (0, 6, 4, 4)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(6, 6, 3, padding=1, groups=6),  # PyTorch's is fast enough
        nn.Conv2d(6, 12, 3, 2, 1, groups=6),
        nn.Conv2d(6, 6, 3, 2, 1, groups=3),
        nn.Conv2d(1, 1, 3, 2, 1),
        nn.Conv2d(6, 6, 3, 2, 1, groups=6, padding_mode="reflect"),
    ],
)
def test_other_convolutions_stay(other: nn.Conv2d) -> None:
    assert type(accelerate(other)) is nn.Conv2d

"""Generators and networks of other forms and types are adapted where it is certain how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import seeded
from torch import Tensor, nn

from invset.core.ball import Ball
from invset.errors import InvsetError
from invset.nets.custom import module_generator, module_network
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem

DIM = 4
SIDE = 4


class Maker(nn.Module):
    """Codes to pictures, and what a function makes of both."""

    def __init__(self, function: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(DIM, 3 * SIDE * SIDE)
        nn.init.normal_(self.linear.weight, generator=seeded(1))
        nn.init.zeros_(self.linear.bias)
        self.function = function

    def forward(self, codes: Tensor) -> Any:
        made = self.linear(codes.flatten(1)).sigmoid()
        return self.function(made.unflatten(1, (3, SIDE, SIDE)), codes)


def made(function: Callable[[Tensor, Tensor], Any], **options: Any) -> Generator:
    return Generator(Maker(function), DIM, name="maker", prior=Ball.holding(DIM), **options)


def network(channels: int = 3, **options: Any) -> Network:
    """Sums of pixels: one number a channel, one a row and one a column."""
    module = nn.Sequential(nn.Conv2d(channels, 2, 3), nn.Flatten(), nn.LazyLinear(5))
    module(torch.zeros(1, channels, SIDE, SIDE))
    return module_network(module, image_size=SIDE, channels=channels, **options)


def problem(generator: Generator, net: Network | None = None) -> Problem:
    net = net or network()
    return Problem(net, generator, neurons=[Neuron(net.output, 1, (-9, 9))])


def square(made: Tensor, codes: Tensor) -> Tensor:
    assert codes.shape[1:] == (DIM, 1, 1)
    return made


@pytest.mark.parametrize(
    "function",
    [
        lambda made, codes: (made, codes),
        lambda made, codes: [codes, made],
        lambda made, codes: {"w": codes, "image": made},
        lambda made, codes: (made, 9 * made - 4),  # the other is none by its pixels
        lambda made, codes: made.double(),
        square,
    ],
)
def test_other_forms_give_the_same_pictures(function: Callable[[Tensor, Tensor], Any]) -> None:
    codes = torch.randn(3, DIM, generator=seeded())
    plain = made(lambda made, codes: made)(codes)
    generator = problem(made(function)).generator
    torch.testing.assert_close(generator(codes), plain)
    assert generator(codes).dtype is torch.float32
    (slope,) = torch.autograd.grad(generator(codes.requires_grad_()).sum(), codes)
    assert slope.abs().sum() > 0


def test_grey_pictures_become_rgb_and_rgb_becomes_grey() -> None:
    codes = torch.randn(3, DIM, generator=seeded())
    plain = made(lambda made, codes: made)(codes)
    rgb = problem(made(lambda made, codes: made[:, :1])).generator(codes)
    torch.testing.assert_close(rgb, plain[:, :1].expand(-1, 3, -1, -1))
    grey = problem(made(lambda made, codes: made), network(1)).generator(codes)
    by_hand = 0.299 * plain[:, 0] + 0.587 * plain[:, 1] + 0.114 * plain[:, 2]
    torch.testing.assert_close(grey[:, 0], by_hand)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_other_types_are_copied_to_float32(dtype: torch.dtype) -> None:
    own = Maker(lambda made, codes: made).to(dtype)
    generator = Generator(own, DIM, prior=Ball.holding(DIM))
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 5)).to(dtype)
    net = module_network(module, image_size=SIDE)
    one = problem(generator, net)
    codes = torch.randn(2, DIM, generator=seeded())
    f, _ = one.look(generator(codes))
    assert f.dtype is torch.float32
    weight = module[1].weight
    assert weight.dtype is own.linear.weight.dtype is dtype  # a person's own stays as it is
    by_hand = generator(codes).flatten(1) @ weight[0].float() + module[1].bias[0].float()
    torch.testing.assert_close(f[:, 0], by_hand)


class Casts(nn.Module):
    """Brings its inputs to its own type."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(48, 5).half()

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1).half())


def test_a_module_that_takes_float32_stays_as_it_is() -> None:
    own = Casts()
    net = module_network(own, image_size=SIDE, in_place=True)
    assert net.module is own
    assert (
        problem(made(lambda made, codes: made), net)
        .look(torch.rand(2, 3, 4, 4))[0]
        .isfinite()
        .all()
    )


def test_pixels_outside_of_black_and_white_are_said() -> None:
    wide = made(lambda made, codes: 1.6 * made - 0.3)
    (note,) = problem(wide).notes
    assert "maker gives pixels from -0.2" in note
    assert "lie outside [0, 1] and are cut off" in note
    assert "generator.pixel_range=" in note
    assert problem(made(lambda made, codes: made)).notes == []
    assert problem(made(lambda made, codes: 1.6 * made - 0.3, pixel_range=(-0.3, 1.3))).notes == []


def test_pixel_range_says_which_values_are_black_and_white() -> None:
    codes = torch.randn(3, DIM, generator=seeded())
    plain = made(lambda made, codes: made)(codes)
    tanh = Maker(lambda made, codes: (2 * made - 1, codes))
    generator = module_generator(tanh, DIM, gaussian=True, pixel_range=[-1, 1])
    torch.testing.assert_close(problem(generator).generator(codes), plain)


@pytest.mark.parametrize("ends", [3, (1,), (0, 0), (0, float("nan")), "ab", None])
def test_what_is_no_pixel_range(ends: Any) -> None:
    with pytest.raises(InvsetError, match="pixel_range is two numbers, black and white, not"):
        made(lambda made, codes: made, pixel_range=ends)

"""What does not fit is told in one sentence before anything is sampled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import seeded
from torch import Tensor, nn
from typed import typed

from invset.core.space import CodePrior
from invset.errors import InvsetError
from invset.files.tabular import Table
from invset.nets.custom import module_network
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.nets.rows import table_generator
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem

DIM = 12


class Call(nn.Module):
    """A module that calls a function, with a layer so that there is a name."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.layer = nn.Identity()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.layer(self.function(x))


def made(function: Callable[[Tensor], Any], **options: Any) -> Generator:
    return Generator(Call(function), DIM, name="maker", **options)


def picture(codes: Tensor) -> Tensor:
    return codes.sigmoid().view(-1, 3, 2, 2)


def network(function: Callable[[Tensor], Any] = lambda x: x.flatten(1), **options: Any) -> Network:
    return Network(Call(function), name="mine", output="layer", encoder="layer", **options)


def fails(x: Tensor) -> Tensor:
    raise ValueError("far too dark.\nand more")


def problem(net: Network, generator: Generator) -> Problem:
    return Problem(net, generator, neurons=[Neuron("layer", 1, (0, 1))])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            fails,
            r"can't take float32 codes of shape \(2, 12\): ValueError: far too dark \(test_dry",
        ),
        (lambda c: c @ torch.ones(16, 3), "generator.code_dim=12 says how many numbers"),
        (lambda c: (picture(c), picture(c)), "tuple of 2 values, 2 that may be images; let its"),
        (lambda c: {"z": c}, "gives dict of 1 values, none that may be images"),
        (lambda c: "picture", "generator maker gives str, not one tensor"),
        (
            lambda c: picture(c).mul(255).byte(),
            r"gives uint8 values.*generator.pixel_range=\[0,255",
        ),
        (lambda c: picture(c)[:1], r"of shape \(1, 3, 2, 2\) for 2 codes, not one image for each"),
        (lambda c: picture(c)[:, :2], "network takes pictures with 3 channels.* network.channels="),
        (lambda c: c.sigmoid(), r"gives values of shape \(2, 12\)"),
        (lambda c: picture(c) / 0 * 0, "gives values that are infinite or not a number"),
        (lambda c: picture(c).detach(), "gives images without slopes in its codes; leave no_grad"),
        (lambda c: 255 * picture(c), r"of which 100% lie outside \[0, 1\].*pixel_range=\[0,255\]'"),
        (
            lambda c: 2 * picture(9 * c) - 1,
            r"lie outside \[0, 1\].*'generator.pixel_range=\[-1,1\]'",
        ),
        (lambda c: 5 - picture(c), r"generator.pixel_range=\[4"),
    ],
)
def test_a_generator_that_does_not_fit(function: Callable[[Tensor], Any], message: str) -> None:
    generator = made(function, prior=CodePrior.gaussian(DIM))
    with pytest.raises(InvsetError, match=message):
        problem(network(), generator)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            fails,
            r"network mine can't take float32 images of 3x2x2: ValueError: far too dark \(test",
        ),
        (lambda x: x.flatten(1) @ torch.ones(5, 2), "network.image_size= and network.channels="),
        (lambda x: x.flatten(), r"of shape \(24,\) for 2 inputs, not a row for each"),
        (lambda x: x.flatten(1) / 0, "layer layer of mine gives activations that are infinite or"),
        (lambda x: x.flatten(1).log() * 0, None),
    ],
)
def test_a_network_that_does_not_fit(function: Callable[[Tensor], Any], message: Any) -> None:
    generator = made(picture, prior=CodePrior.gaussian(DIM))
    if message is None:
        assert problem(network(function), generator).input_shape == (3, 2, 2)
        return
    with pytest.raises(InvsetError, match=message) as error:
        problem(network(function), generator)
    assert "\n" not in str(error.value)


def test_sizes_that_do_not_fit() -> None:
    def strict(x: Tensor) -> Tensor:
        return x.flatten(1) @ torch.ones(48, 2)

    with pytest.raises(InvsetError, match="takes images of 3x4x4, and maker makes 3x2x2, which"):
        problem(network(strict, image_size=4), made(picture))


def test_codes_are_those_that_sampling_starts_at() -> None:
    """A generator that divides by the length of its code has no image of zeros."""

    def unit(codes: Tensor) -> Tensor:
        return picture(codes / codes.norm(dim=1, keepdim=True))

    with pytest.raises(InvsetError, match="not a number"):
        problem(network(), made(unit))
    problem(network(), made(unit, prior=CodePrior.gaussian(DIM)))
    problem(network(), made(unit, start=lambda n, rng: torch.rand(n, DIM, generator=rng)))


def test_a_pass_draws_no_random_number_of_the_run() -> None:
    before = torch.get_rng_state()
    problem(network(), made(picture, prior=CodePrior.gaussian(DIM)))
    assert torch.equal(before, torch.get_rng_state())


def test_maps_are_as_large_as_the_generator_makes_them() -> None:
    """The centre of 2x2 maps, though a blank image would have had 64x64."""
    maps = network(lambda x: x)
    f, _ = problem(maps, made(picture)).look(torch.rand(3, 3, 2, 2, generator=seeded()))
    x = torch.rand(3, 3, 2, 2, generator=seeded())
    assert torch.equal(f[:, 0], x[:, 0, 1, 1])


def test_rows_and_pictures_do_not_mix() -> None:
    table = Table(["a", "b"], {"a": (0, 1), "b": (0, 1)})
    with pytest.raises(InvsetError, match="maker makes images, but the network takes rows"):
        problem(network(medium=table), made(picture))
    with pytest.raises(InvsetError, match="table makes rows, but the network takes images"):
        problem(network(), table_generator(table))
    with pytest.raises(InvsetError, match="type network=table"):
        table_generator(None)
    with pytest.raises(InvsetError, match="image_size= is for pictures; rows have none"):
        network(medium=table, image_size=8)
    wide = Table(["a"], {"a": (0, 1)})
    with pytest.raises(InvsetError, match=r"takes rows of 2 columns, \(N, 2\)"):
        problem(network(medium=table), table_generator(wide))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_module_cannot_be_read() -> None:
    with pytest.raises(InvsetError, match=r"torch\.jit, whose layers can't be read"):
        module_network(torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(12, 4))))


OWN = """
import torch
from torch import nn
class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3072, 4)
    def forward(self, x):
        assert x.mean() < 0, "too bright"
        return self.fc(x.flatten(1))
def lazy(): return nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
def nothing(): pass
def library(): return __import__("json").loads("{")
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mine", "AssertionError: too bright (own_dry.py, line 9, in forward)"),
        ("lazy", "layers that have no weights yet"),
        ("nothing", "network.module gives NoneType, not a torch.nn.Module"),
        ("library", "(own_dry.py, line 13, in library)"),
    ],
)
def test_a_module_of_ones_own_is_told_at_the_terminal(
    name: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "own_dry.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ["network=custom", f"network.module._target_=own_dry.{name}", "network.image_size=32"]
    words += ["generator=pixels", "neuron=1", "z1=0", "z2=1"]
    assert typed(monkeypatch, "run", *words) == 2
    err = capsys.readouterr().err
    assert err.startswith("invset: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "outputs").exists() or not list((tmp_path / "outputs").rglob("*.json"))

"""Pictures of another size or colour than a network was made for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from typed import typed

from invset.errors import InvsetError
from invset.nets.embedded import mini_network, mnist_encoder
from invset.nets.network import Network
from invset.nets.pixels import pixels_generator
from invset.nets.sides import sides
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem
from invset.problem.robust import Robust


@pytest.mark.parametrize("name", ["mini", "mini64", "mnist", "mnist_encoder"])
def test_embedded_networks_bring_pictures_to_their_size(name: str) -> None:
    network = mnist_encoder() if name == "mnist_encoder" else mini_network(name=name)
    assert network.medium.shape is not None
    channels, *size = network.medium.shape
    x = torch.rand(3, channels, 40, 52, generator=torch.Generator().manual_seed(0))
    brought = F.interpolate(x, size, mode="bilinear", antialias=True)
    found = network.taps(x, [network.output])[network.output]
    expected = network.taps(brought, [network.output])[network.output]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_slopes_go_through_the_change_of_size_and_colour() -> None:
    """A grey picture of 12x20 pixels for a network of RGB, 32x32: against finite differences."""
    network = mini_network()
    network.module.double()
    problem = Problem(
        network,
        pixels_generator([12, 20], channels=1),
        neurons=Neuron("fc8", "horse", range=(0, 1)),
        eight_bit=False,
        robust=Robust(M=0),
    )
    assert problem.notes == ["Generator pixels makes grey pictures, which become RGB."]
    rng = torch.Generator().manual_seed(0)
    c = 0.3 + 0.4 * torch.rand(1, 240, generator=rng, dtype=torch.float64)
    way = torch.randn(1, 240, generator=rng, dtype=torch.float64)
    c.requires_grad_()
    (slope,) = torch.autograd.grad(problem.look(problem.made(c))[0].sum(), c)
    with torch.no_grad():
        steps = (problem.made(c + step * way) for step in (1e-8, -1e-8))  # between kinks
        ahead, behind = (problem.look(x)[0].item() for x in steps)
    assert (slope * way).sum().item() == pytest.approx((ahead - behind) / 2e-8, rel=1e-6)


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        (("network=mini", "generator=mini64", "neuron=horse"), (64, 64, 3)),
        (("network=mini", "generator=mnist", "neuron=horse"), (28, 28, 3)),
        (("network=mini64", "generator=pixels", "generator.size=[20,36]", "neuron=5"), (20, 36, 3)),
    ],
)
def test_pairs_of_other_sizes_run(
    words: tuple[str, ...], shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    more = ("z1=-9", "z2=9", "n=2", "K=2", "robust=0", "judge=null", "animation=false")
    out = ("report=false", "progress=false", f"hydra.run.dir={tmp_path}/out")
    assert typed(monkeypatch, "run", *words, *more, *out) == 0
    assert np.array(Image.open(tmp_path / "out" / "samples" / "00001.png")).shape == shape


@pytest.mark.parametrize("size", [0, 1.5, [8], [8, 8, 8], "8", [8, 0], None, True])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(InvsetError, match=r"generator\.size must be at least 1 pixel, or"):
        sides(size)  # type: ignore[arg-type]


def test_sizes() -> None:
    assert sides(16, 16, 8) == (16, 16)
    assert sides(torch.tensor(3)) == (3, 3)  # type: ignore[arg-type]
    assert sides((8, 24), 8, 8) == (8, 24)
    with pytest.raises(InvsetError, match=r"at least 8 pixels, in multiples of 8, or"):
        sides((8, 12), 8, 8)


def test_a_network_that_takes_one_size_and_resizes_nothing_says_so() -> None:
    strict = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))
    with pytest.raises(InvsetError, match="takes images of 3x4x4, and pixels makes 3x2x2, which"):
        Problem(Network(strict, image_size=4), pixels_generator(2), neurons=Neuron("1", 1))

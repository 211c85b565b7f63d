"""Reading neurons of a tiny network, numbers and labels, 8 bits, and what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from cases import seeded
from PIL import Image
from torch import nn

from invset.api import InverseSetSampler
from invset.core.space import Box, CodePrior, Free
from invset.errors import InvsetError
from invset.files.images import to_uint8
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.neuron import Neuron, find
from invset.problem.problem import Problem
from invset.problem.start_codes import Starts

LABELS = [
    "tench, Tinca tinca",
    "horse",
    "sea horse",
    "volcano",
    "crane (bird)",
    "crane (machine)",
    "french_horn",
]
CODE_DIM = 12
CHANNELS = 5


def small_network() -> Network:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, CHANNELS, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 6 * 6, CODE_DIM),
        nn.Linear(CODE_DIM, 7),
    )
    return Network(
        layers,
        name="small",
        image_size=8,
        aliases={"conv": "0", "fc6": "3", "fc8": "4"},
        labels=LABELS,
        output="fc8",
        encoder="fc6",
    )


@pytest.fixture
def network() -> Network:
    return small_network()


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(CODE_DIM, 3 * 8 * 8), nn.Sigmoid(), nn.Unflatten(1, (3, 8, 8)))
    return Generator(module, CODE_DIM, name="maker", prior=CodePrior.gaussian(CODE_DIM))


def test_look_reads_what_the_modules_give(network: Network, generator: Generator) -> None:
    direction = torch.randn(CHANNELS, generator=seeded(2))
    neurons = [
        Neuron("fc8", 4, (0, 1)),
        Neuron("conv", 2, (0, 1), position=(1, 5)),
        Neuron("conv", 2, (0, 1), position="mean"),
        Neuron("conv", None, (0, 1), position="max", direction=direction, name="edge"),
        Neuron("fc8", "volcano", (0, 1)),
    ]
    problem = Problem(network, generator, neurons=neurons)
    images = torch.rand(3, 3, 8, 8, generator=seeded())
    f, e = problem.look(images)
    conv, fc6, fc8 = network.module[0], network.module[3], network.module[4]
    maps = conv(images)
    code = fc6(maps.clamp_min(0).flatten(1))
    torch.testing.assert_close(e, code)
    expected = [fc8(code)[:, 3], maps[:, 1, 1, 5], maps[:, 1].mean((1, 2))]
    expected += [torch.einsum("bchw,c->bhw", maps, direction).amax((1, 2)), fc8(code)[:, 3]]
    torch.testing.assert_close(f, torch.stack(expected, dim=1))
    assert problem.names == ["fc8:4 volcano", "conv:2", "conv:2", "edge", "fc8:4 volcano"]
    assert problem.range.z1.tolist() == [0] * 5


def test_the_encoder_may_live_in_another_network(network: Network, generator: Generator) -> None:
    other = small_network()
    with torch.no_grad():
        other.module[3].bias += 1
    images = torch.rand(3, 3, 8, 8, generator=seeded())
    neurons = [Neuron("fc8", 4, (0, 1))]
    f, e = Problem(network, generator, neurons=neurons).look(images)
    f_other, e_other = Problem(network, generator, neurons=neurons, encoder_network=other).look(
        images
    )
    assert torch.equal(f, f_other)
    torch.testing.assert_close(e_other, e + 1)


@pytest.mark.parametrize(
    ("typed", "index"),
    [
        *[
            (1, 0),
            (7, 6),
            ("4", 3),
            ("volcano", 3),
            ("Volcano", 3),
            ("horse", 1),
            ("sea_horse", 2),
            ("machine", 5),
        ],
        *[("french_horn", 6), ("french horn", 6), ("Tinca tinca", 0), ("tench, Tinca tinca", 0)],
    ],
)
def test_numbers_and_labels(network: Network, typed: int | str, index: int) -> None:
    assert find(network, Neuron("fc8", typed)).index == index


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (0, "neuron=0 is out of range: layer fc8 of small has neurons 1 to 7"),
        (8, "neuron=8 is out of range"),
        ("-1", "neuron=-1 is out of range"),
        (
            "crane",
            (
                r"fits several labels: crane \(bird\) \(neuron=5\), crane \(machine\) \(neuron=6\);"
                r" type one number"
            ),
        ),
        ("volcanoe", r"is called 'volcanoe'\. Did you mean volcano\?"),
        ("zzzz", "Numbers go from 1 to 7"),
        (True, "is a whole number from 1 or a label, not True"),
    ],
)
def test_wrong_numbers_and_labels(network: Network, typed: int | str, message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        find(network, Neuron("fc8", typed))


def test_only_the_output_has_labels(network: Network) -> None:
    with pytest.raises(InvsetError, match="have no names; type a number from 1 to 12"):
        find(network, Neuron("fc6", "volcano"))


@pytest.mark.parametrize(
    ("neuron", "message"),
    [
        ({"layer": "fc9", "number": 1}, r"no layer 'fc9'\. Did you mean fc8"),
        ({"layer": "conv", "number": 6}, "layer conv of small has neurons 1 to 5"),
        (
            {"layer": "conv", "number": 1, "position": "middle"},
            "position must be center, max, mean, cls or",
        ),
        (
            {"layer": "conv", "number": 1, "position": (6, 0)},
            r"position \[6, 0\] lies outside layer conv, whose maps are 6x6",
        ),
        ({"layer": "conv", "number": 1, "position": (0, 6)}, "lies outside"),
        ({"layer": "conv", "number": 1, "position": (0, -1)}, "two whole numbers"),
        ({"layer": "conv", "number": 1, "position": (0, 1, 2)}, "two whole numbers"),
        ({"layer": "conv", "number": None}, "give a number, a label, a direction or a feature"),
        (
            {"layer": "conv", "number": None, "direction": torch.ones(4)},
            r"has 5 numbers, not \(4,\)",
        ),
    ],
)
def test_neurons_that_do_not_fit(
    network: Network, generator: Generator, neuron: dict, message: str
) -> None:
    with pytest.raises(InvsetError, match=message):
        Problem(network, generator, neurons=[Neuron(range=(0, 1), **neuron)])


def test_a_problem_needs_a_neuron_and_a_range(network: Network, generator: Generator) -> None:
    with pytest.raises(InvsetError, match="no neuron"):
        Problem(network, generator)
    with pytest.raises(InvsetError, match="z1 must be below z2"):
        Neuron("fc8", 1, (2, 1))


def test_images_are_clamped(network: Network) -> None:
    generator = Generator(lambda c: c.view(-1, 3, 8, 8), 192)
    images = generator(torch.tensor([[-1.0] * 96 + [2.0] * 96]))
    assert (images.amin().item(), images.amax().item()) == (0, 1)


def test_the_network_sees_what_a_png_holds(
    network: Network, generator: Generator, tmp_path: Path
) -> None:
    problem = Problem(network, generator, neurons=[Neuron("fc8", 4, (0, 1))])
    codes = torch.randn(1, CODE_DIM, generator=seeded())
    picture = generator(codes)
    Image.fromarray(to_uint8(picture)[0].permute(1, 2, 0).numpy()).save(tmp_path / "x.png")
    again = (
        torch.from_numpy(np.asarray(Image.open(tmp_path / "x.png")).copy())
        .permute(2, 0, 1)
        .unsqueeze(0)
        .float()
        / 255
    )
    assert torch.equal(problem.evaluate(codes)[0], problem.look(again)[0])
    exact = Problem(network, generator, neurons=problem.neurons, eight_bit=False)
    assert not torch.equal(exact.evaluate(codes)[0], problem.evaluate(codes)[0])


def test_the_gradient_passes_the_rounding(generator: Generator) -> None:
    # a network that only sums: the gradient is that of the images before they are rounded
    summing = Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 2, bias=False)), image_size=8)
    problem = Problem(summing, generator, neurons=[Neuron("1", 1, (0, 1))])
    codes = torch.randn(2, CODE_DIM, generator=seeded(), requires_grad=True)
    (rounded,) = torch.autograd.grad(problem.evaluate(codes)[0].sum(), codes)
    (plain,) = torch.autograd.grad(problem.look(generator(codes))[0].sum(), codes)
    torch.testing.assert_close(rounded, plain)
    assert plain.abs().max() > 0


def test_a_code_that_is_no_encoding_is_refused(network: Network) -> None:
    generator = Generator(lambda c: c.view(-1, 3, 8, 8), 192, name="pixels")
    problem = Problem(network, generator, neurons=[Neuron("fc8", 4, (0, 1))])
    with pytest.raises(
        InvsetError, match="pixels takes codes of 192 numbers, but fc6 of small gives 12"
    ):
        problem.region("none")
    with pytest.raises(InvsetError, match="pixels has no natural region"):
        problem.region("natural")
    with pytest.raises(InvsetError, match="prior must be auto, natural, clip or none"):
        problem.region("other")


def test_published_codes_start_as_encodings_of_random_images(
    network: Network, generator: Generator
) -> None:
    problem = Problem(network, generator, neurons=[Neuron("fc8", 4, (0, 1))])
    codes = problem.start_codes(5, seeded(3))
    images = torch.rand(5, 3, 8, 8, generator=seeded(3))
    torch.testing.assert_close(codes, problem.look(images)[1].detach())


def test_start_codes_are_filtered_by_activation(network: Network, generator: Generator) -> None:
    """They are the draws, in their order, whose activations lie between the ends."""
    problem = Problem(network, generator, neurons=[Neuron("fc8", 4, (0, 1))])
    every = problem.region("none", seeded(3), starts=Starts(count=40)).sample(40, seeded())
    f = problem.evaluate(every)[0][:, 0]
    low, high = f.quantile(torch.tensor([0.25, 0.75])).tolist()
    region = problem.region("clip", seeded(3), clip=(-9.0, 9.0), starts=Starts(10, low, high))
    assert isinstance(region, Box)
    rng = seeded(3)
    drawn = torch.cat([problem.start_codes(10, rng) for _ in range(6)])
    activations = problem.evaluate(drawn)[0][:, 0]
    kept = drawn[(activations >= low) & (activations <= high)]
    torch.testing.assert_close(region.start, kept[:10])
    half = problem.region("none", seeded(3), starts=Starts(10, z1=low))
    assert isinstance(half, Free)
    assert (problem.evaluate(half.start)[0] >= low - 1e-4).all()


def test_start_codes_that_can_not_be_had(network: Network, generator: Generator) -> None:
    problem = Problem(network, generator, neurons=[Neuron("fc8", 4, (0, 1))])
    with pytest.raises(InvsetError, match=r"^0 of 200 codes have activations in \[1e\+06, inf\]"):
        problem.region("none", starts=Starts(2, z1=1e6))
    with pytest.raises(InvsetError, match=r"type prior=none, or leave starts\. out"):
        problem.region(starts=Starts(z1=0.0))
    with pytest.raises(InvsetError, match=r"starts\.count must be a whole number of at least 1"):
        Starts(count=0)


def test_regions(network: Network, generator: Generator) -> None:
    problem = Problem(network, generator, neurons=[Neuron("fc8", 4, (0, 1))])
    assert problem.region() is generator.prior
    clip = problem.region("clip", clip=(-1.0, 2.0))
    assert type(clip) is Box
    assert (clip.low, clip.high) == (-1.0, 2.0)
    given = problem.region("auto", clip=(-1.0, 2.0))  # bounds that are given are meant
    assert type(given) is Box
    assert given.low == -1.0
    assert type(problem.region("none")) is Free
    assert problem.region(clip) is clip
    high = torch.rand(CODE_DIM, generator=seeded())
    each = problem.region("clip", clip=(0.0, high)).project(torch.full((2, CODE_DIM), 9.0))
    assert torch.equal(each, high.expand(2, -1))


@pytest.mark.parametrize("sampler", ["stream", "two_stage"])
def test_what_is_saved_is_in_the_set(network: Network, generator: Generator, sampler: str) -> None:
    codes = CodePrior.gaussian(CODE_DIM).sample(500, seeded(7))
    blank = Problem(
        network, generator, neurons=[Neuron("fc8", "volcano", (0, 1)), Neuron("conv", 2, (0, 1))]
    )
    with torch.no_grad():
        z = blank.evaluate(codes)[0].quantile(torch.tensor([0.6, 0.9]), dim=0).T.tolist()
    problem = Problem(
        network,
        generator,
        neurons=[Neuron("fc8", "volcano", tuple(z[0])), Neuron("conv", 2, tuple(z[1]))],
    )
    result = InverseSetSampler(k=10, n=30, sampler=sampler).run(problem)
    assert len(result) == 30
    assert result.in_range.all()
    f, e = problem.look(result.images.float() / 255)
    torch.testing.assert_close(result.activations, f)
    torch.testing.assert_close(result.encodings, e)
    assert torch.equal(result.images, to_uint8(generator(result.codes)))
    assert 0 < (result.activations - result.activations_before).abs().max() < 0.05


def test_a_neuron_given_twice_needs_ranges_that_meet(
    network: Network, generator: Generator
) -> None:
    def twice(*ranges: tuple[float, float], position: tuple[int, int] | str = "center") -> Problem:
        return Problem(
            network,
            generator,
            neurons=[
                Neuron("conv", 2, r, p) for r, p in zip(ranges, ("center", position), strict=True)
            ],
        )

    assert twice((0, 2), (2, 3)).centred == [True, True]
    assert twice((0, 2), (5, 6), position=(0, 1)).centred == [True, False]  # at two places it can
    with pytest.raises(
        InvsetError, match=r"neuron 2 of layer conv can't be in \[0, 2\] and in \[5, 6\] at once"
    ):
        twice((0, 2), (5, 6))


def test_pixels_may_be_cut_off_when_saved_alone() -> None:
    """``clamp=false``: the network sees what the generator makes, with a gradient everywhere."""
    glaring = Generator(nn.Unflatten(1, (3, 8, 8)), 192)
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), image_size=8)
    neuron = Neuron("1", 1, range=(-1, 1))
    code = torch.linspace(-2, 3, 192).unsqueeze(0).requires_grad_()
    linear = network.module[1]
    free = Problem(network, glaring, "1", [neuron], eight_bit=False, clamp=False)
    f = free.evaluate(code)[0]
    torch.testing.assert_close(f, linear(code)[:, :1])
    (slope,) = torch.autograd.grad(f.sum(), code)
    torch.testing.assert_close(slope, linear.weight[:1])
    cut = Problem(network, glaring, "1", [neuron], eight_bit=False)
    f = cut.evaluate(code)[0]
    torch.testing.assert_close(f, linear(code.clamp(0, 1))[:, :1])
    (slope,) = torch.autograd.grad(f.sum(), code)
    outside = (code < 0) | (code > 1)
    torch.testing.assert_close(slope, linear.weight[:1].masked_fill(outside, 0))
    with pytest.raises(InvsetError, match="eight_bit=false, too"):
        Problem(network, glaring, "1", [neuron], clamp=False)


def test_start_codes_by_another_network_than_the_generator_inverts_are_told() -> None:
    network, other = (
        Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), image_size=8, name=name)
        for name in ("first", "second")
    )
    module = nn.Sequential(nn.Linear(4, 192), nn.Unflatten(1, (3, 8, 8)), nn.Sigmoid())
    generator = Generator(module, 4, name="inverse", inverts="first")
    neuron = Neuron("1", 1, range=(-1, 1))
    told = Problem(other, generator, "1", [neuron])
    told.region("none")
    told.region("none")
    assert [note for note in told.notes if "encodings by first" in note] == [
        "inverse takes encodings by first, but starting codes are encodings by second; the paper"
        " takes first for both: type +network@encoder_network=first"
    ]
    for quiet in (
        Problem(network, generator, "1", [neuron]),
        Problem(other, generator, "1", [neuron], network),
    ):
        quiet.region("none")
        assert not any("encodings by" in note for note in quiet.notes)

"""PPGN's generator against OpenCV, layer by layer; its pictures; gradients through generator and
network; files that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_files import write_caffemodel
from caffe_oracle import (
    TOLERANCE,
    Blobs,
    caffenet_layers,
    difference,
    generator_layers,
    opencv,
    random_blobs,
)
from cases import seeded
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.files.images import to_uint8
from invset.nets.caffe.caffenet import IMAGENET_MEAN_BGR
from invset.nets.caffe.load import caffe_generator, caffe_network
from invset.nets.caffe.upconv_fc6 import UpConvFc6
from invset.nets.generator import Generator
from invset.problem.problem import Neuron, Problem

WIDTH, CODE_DIM = 32, 512  # an eighth of PPGN's; the file takes 4 MB
LAYERS = generator_layers(WIDTH)
MEAN = np.array(IMAGENET_MEAN_BGR, np.float32)


def blobs() -> Blobs:
    return random_blobs(LAYERS, seed=1, bias=5.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("generator") / "generator.caffemodel"
    write_caffemodel(path, blobs(), dialect="layer")
    return path


@pytest.fixture(scope="module")
def network_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "net.caffemodel"
    net = random_blobs(caffenet_layers("pool-norm", 12, 40), seed=0, bias=5.0)
    write_caffemodel(path, net, dialect="layer")
    return path


def codes(count: int = 2) -> Tensor:
    """As PPGN's: not negative, many zero, up to 30."""
    return (torch.randn(count, CODE_DIM, generator=seeded()) * 30).clamp(0, 30)


def every_layer(module: UpConvFc6, c: Tensor) -> dict[str, np.ndarray]:
    """What each layer gives, by Caffe's name."""
    found, x = {}, c
    with torch.no_grad():
        for name, layer in module.layers.named_children():
            x = layer(x)
            found[name] = x.numpy()
    return found


@pytest.fixture(scope="module")
def theirs(weights: Path) -> dict[str, np.ndarray]:
    return opencv(LAYERS, weights, codes().numpy())


@pytest.fixture
def module(weights: Path) -> UpConvFc6:
    return caffe_generator(weights=weights).module  # type: ignore[return-value]


# Against OpenCV


def test_every_layer_agrees_with_opencv(module: UpConvFc6, theirs: dict[str, np.ndarray]) -> None:
    ours = every_layer(module, codes())
    found = {name: difference(ours[name], theirs[name]) for name in theirs}
    assert set(found) == set(ours)
    assert len(found) == 24
    assert max(found.values()) <= TOLERANCE, found
    assert theirs["deconv0"].shape == (2, 3, 256, 256)
    assert theirs["deconv0"].std() > 30  # the scale of real pictures


def test_dialects_give_the_same_generator(tmp_path: Path, module: UpConvFc6) -> None:
    for dialect in ("v1", "v0"):
        write_caffemodel(tmp_path / "g.caffemodel", blobs(), dialect=dialect)
        found = caffe_generator(weights=tmp_path / "g.caffemodel").module.state_dict()  # type: ignore[attr-defined]
        assert all(torch.equal(found[key], value) for key, value in module.state_dict().items())


def slope(module: UpConvFc6) -> None:
    for layer in module.layers:
        if isinstance(layer, nn.LeakyReLU):
            layer.negative_slope = 0.01


def _weights(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[UpConvFc6], None]:
    def mistake(module: UpConvFc6) -> None:
        layer = module.layers.get_submodule(name)
        layer.weight = nn.Parameter(change(layer.weight).contiguous(), requires_grad=False)  # type: ignore[arg-type, operator]

    return mistake


def relu_after_the_last(module: UpConvFc6) -> None:
    module.layers.append(nn.LeakyReLU(0.3))


MISTAKES: dict[str, Callable[[UpConvFc6], None]] = {
    "slope 0.01": slope,
    "deconv0 flipped": _weights("deconv0", lambda w: w.flip(2, 3)),
    "deconv5 flipped": _weights("deconv5", lambda w: w.flip(2, 3)),
    "conv3_1 flipped, as a convolution": _weights("conv3_1", lambda w: w.flip(2, 3)),
    "conv4_1 in and out swapped": _weights("conv4_1", lambda w: w.transpose(0, 1)),
    "deconv5 in and out swapped": _weights("deconv5", lambda w: w.transpose(0, 1)),
    "deconv2 height and width swapped": _weights("deconv2", lambda w: w.transpose(2, 3)),
    "defc6 transposed": _weights("defc6", lambda w: w.T),
    "4x4 map as height, width, channels": _weights(
        "defc5", lambda w: w.unflatten(0, (4, 4, -1)).permute(2, 0, 1, 3).flatten(0, 2)
    ),
    "colours reversed": _weights("deconv0", lambda w: w.flip(1)),
    "a ReLU after the last layer": relu_after_the_last,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_comparison_sees_mistakes(
    mistake: str, module: UpConvFc6, theirs: dict[str, np.ndarray]
) -> None:
    MISTAKES[mistake](module)
    with torch.no_grad():
        found = module.layers(codes()).numpy()
    assert difference(found, theirs["deconv0"]) > 1000 * TOLERANCE


# Pictures


def test_the_image_is_deconv0_plus_the_mean_cropped(
    weights: Path, theirs: dict[str, np.ndarray]
) -> None:
    bgr = theirs["deconv0"][:, :, 14:241, 14:241] + MEAN[:, None, None]
    generator = caffe_generator(weights=weights)
    np.testing.assert_allclose(generator(codes()), (bgr[:, ::-1] / 255).clip(0, 1), atol=1e-4)
    assert ((bgr < 0) | (bgr > 255)).mean() > 0.001  # clamping does something here
    whole = caffe_generator(weights=weights, crop=256)(codes())
    assert torch.equal(whole[:, :, 14:241, 14:241], generator(codes()))


def test_the_network_sees_deconv0_where_it_is_valid(
    weights: Path, network_weights: Path, theirs: dict[str, np.ndarray]
) -> None:
    network = caffe_network(weights=network_weights, labels=None)
    low, high = -MEAN[:, None, None], 255 - MEAN[:, None, None]
    expected = theirs["deconv0"][:, :, 14:241, 14:241].clip(low, high)
    for crop in (227, 256):
        generator = caffe_generator(weights=weights, crop=crop)
        np.testing.assert_allclose(
            network.taps(generator(codes()), ["data"])["data"], expected, atol=2e-2
        )


def test_stretched_pictures_are_ppgn_s(weights: Path, theirs: dict[str, np.ndarray]) -> None:
    generator = caffe_generator(weights=weights, picture="stretch")
    assert generator.display is not None
    # PPGN's save_image: reverse the channels, clip to ±120, stretch to [0, 1]
    bgr = theirs["deconv0"][:, :, 14:241, 14:241]
    np.testing.assert_allclose(
        generator.display(codes()).clamp(0, 1),
        (bgr[:, ::-1].clip(-120, 120) + 120) / 240,
        atol=1e-4,
    )
    # what the network sees is no matter of taste
    assert torch.equal(generator(codes()), caffe_generator(weights=weights)(codes()))
    assert caffe_generator(weights=weights).display is None
    assert (generator.picture, caffe_generator(weights=weights).picture) == ("stretch", "mean")


# Gradients


def test_gradients_with_respect_to_the_code(weights: Path, network_weights: Path) -> None:
    """Directional finite differences in float64 through generator, clamp and network: neurons of
    fc8 and conv5 and the encoding.
    """
    generator, network = (
        caffe_generator(weights=weights),
        caffe_network(weights=network_weights, labels=None),
    )
    neurons = [Neuron("fc8", 3, (0, 1)), Neuron("conv5", 5, (0, 1))]
    problem = Problem(network, generator, neurons=neurons, eight_bit=False)
    generator.module.double()  # type: ignore[attr-defined]
    network.module.double()
    start = codes(1).double()

    def values(c: Tensor) -> Tensor:
        f, e = problem.evaluate(c)
        return torch.cat([f.flatten(), e.square().mean(1)])

    c = start.clone().requires_grad_()
    outputs = values(c)
    gradients = torch.stack(
        [torch.autograd.grad(out, c, retain_graph=True)[0].flatten() for out in outputs]
    )
    h, errors = 1e-7, []
    with torch.no_grad():
        for seed in range(6):
            direction = torch.randn(start.shape, generator=seeded(seed), dtype=torch.float64)
            direction /= direction.norm()
            numeric = (values(start + h * direction) - values(start - h * direction)) / (2 * h)
            errors.append((numeric - gradients @ direction.flatten()).abs() / gradients.norm(dim=1))
    assert torch.stack(errors).max() < 1e-5
    # ReLUs, pools and the clamp have kinks; so small a step meets none here
    assert gradients.norm(dim=1).min() > 0


def test_the_code_has_no_gradient_from_outside_the_crop(weights: Path) -> None:
    generator = caffe_generator(weights=weights, crop=256)
    c = codes(1).requires_grad_()
    image = generator.module(c)
    edge = torch.ones_like(image)
    edge[:, :, 14:241, 14:241] = 0
    (from_edge,) = torch.autograd.grad((image * edge).sum(), c)
    assert from_edge.abs().sum() > 0
    seen = caffe_generator(weights=weights).module(c)
    (inside,) = torch.autograd.grad(seen.sum(), c)
    (both,) = torch.autograd.grad(generator.module(c).sum(), c)
    torch.testing.assert_close(
        inside + from_edge, both, rtol=1e-3, atol=1e-3 * both.abs().max().item()
    )


# Files


def test_full_width_shapes() -> None:
    with torch.device("meta"):
        generator = UpConvFc6()
        image = generator(torch.zeros(1, 4096))
    shapes = {
        name: tuple(layer.weight.shape)
        for name, layer in generator.layers.named_children()
        if hasattr(layer, "weight")
    }
    assert list(shapes.items()) == [
        ("defc7", (4096, 4096)),
        ("defc6", (4096, 4096)),
        ("defc5", (4096, 4096)),
        ("deconv5", (256, 256, 4, 4)),
        ("conv5_1", (256, 512, 3, 3)),
        ("deconv4", (512, 256, 4, 4)),
        ("conv4_1", (256, 256, 3, 3)),
        ("deconv3", (256, 128, 4, 4)),
        ("conv3_1", (128, 128, 3, 3)),
        ("deconv2", (128, 64, 4, 4)),
        ("deconv1", (64, 32, 4, 4)),
        ("deconv0", (32, 3, 4, 4)),
    ]
    assert sum(p.numel() for p in generator.parameters()) == 56_097_891
    assert image.shape == (1, 3, 227, 227)


def test_the_length_of_a_code_comes_from_the_file(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetched(name: str) -> Path:
        asked.append(name)
        return weights

    monkeypatch.setattr("invset.hub.obtain.weights", fetched)
    generator: Generator = caffe_generator(name="deepsim_fc6")
    assert (generator.name, generator.code_dim, asked) == ("deepsim_fc6", CODE_DIM, ["deepsim_fc6"])
    assert to_uint8(generator(codes())).shape == (2, 3, 227, 227)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "lacks layer conv4_1"),
        ("swapped", r"layer conv5_1: expected shape \(32, 64, 3, 3\), found \(64, 32, 3, 3\)"),
        ("grey", "have 512 and 1 outputs"),
        ("kernel", r"layer deconv5: expected shape \(32, 32, 4, 4\), found \(32, 32, 3, 3\)"),
    ],
)
def test_files_that_do_not_fit(change: str, message: str, tmp_path: Path) -> None:
    found = blobs()
    if change == "missing":
        del found["conv4_1"]
    elif change == "swapped":
        found["conv5_1"][0] = found["conv5_1"][0].transpose(1, 0, 2, 3)
    elif change == "grey":
        found["deconv0"] = [found["deconv0"][0][:, :1], found["deconv0"][1][:1]]
    elif change == "kernel":
        found["deconv5"][0] = found["deconv5"][0][:, :, :3, :3]
    write_caffemodel(tmp_path / "g.caffemodel", found, dialect="layer")
    with pytest.raises(InvsetError, match=message):
        caffe_generator(weights=tmp_path / "g.caffemodel")


@pytest.mark.parametrize("options", [{"picture": "pretty"}, {"crop": 0}, {"crop": 300}])
def test_options_that_do_not_exist(options: dict[str, object], weights: Path) -> None:
    with pytest.raises(InvsetError, match="must be"):
        caffe_generator(weights=weights, **options)  # type: ignore[arg-type]

"""CaffeNet, Places-CNN and AlexNet against OpenCV, layer by layer; preprocessing by hand; files
that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from caffe_files import write_caffemodel
from caffe_oracle import TOLERANCE, Blobs, caffenet_layers, difference, opencv, random_blobs
from cases import seeded
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.nets.caffe.caffenet import (
    IMAGENET_MEAN_BGR,
    CaffeInput,
    CaffeNet,
)
from invset.nets.caffe.load import caffe_network
from invset.nets.fast import BlockConv2d, ChannelNorm, accelerate
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.problem import Neuron, Problem

WIDTH, N_OUT = 12, 40  # an eighth of CaffeNet; the file takes 4 MB
ORDERS = ("pool-norm", "norm-pool")
MEAN = np.array(IMAGENET_MEAN_BGR, np.float32)


def blobs(order: str = "pool-norm", width: int = WIDTH, n_out: int = N_OUT) -> Blobs:
    return random_blobs(caffenet_layers(order, width, n_out), seed=0, bias=5.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("caffenet") / "net.caffemodel"
    write_caffemodel(path, blobs(), dialect="v1")
    return path


def photographs(size: int, count: int = 2) -> np.ndarray:
    """8-bit RGB noise, with shape (count, size, size, 3): as contrasty as a photograph (standard
    deviation 60).
    """
    noise = np.random.default_rng(size).normal(118, 60, (count, size, size, 3))
    return noise.clip(0, 255).round().astype(np.uint8)


def caffe_data(images: np.ndarray) -> np.ndarray:
    """What Caffe takes: (count, 3, H, W), blue, green, red, minus the mean."""
    return np.ascontiguousarray((images[..., ::-1].astype(np.float32) - MEAN).transpose(0, 3, 1, 2))


def rgb(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def differences(
    network: Network, theirs: dict[str, np.ndarray], images: np.ndarray, last: str = "fc8"
) -> dict[str, float]:
    """Difference from OpenCV of every layer up to `last`; Caffe's fc6 is the one before its
    ReLU.
    """
    names = list(theirs)[: list(theirs).index(last) + 1]
    with torch.no_grad():
        ours = network.taps(rgb(images), names)
    return {name: difference(ours[name].numpy(), theirs[name]) for name in names}


# Against OpenCV


@pytest.fixture(
    scope="module",
    params=[(order, size) for order in ORDERS for size in (227, 226, 224)],
    ids=lambda p: f"{p[0]}-{p[1]}",
)
def compared(
    request: pytest.FixtureRequest, weights: Path
) -> tuple[str, int, np.ndarray, dict[str, np.ndarray]]:
    order, size = request.param
    images = photographs(size)
    return (
        order,
        size,
        images,
        opencv(caffenet_layers(order, WIDTH, N_OUT), weights, caffe_data(images)),
    )


def test_every_layer_agrees_with_opencv(
    compared: tuple[str, int, np.ndarray, dict[str, np.ndarray]], weights: Path
) -> None:
    order, size, images, theirs = compared
    network = caffe_network(weights=weights, order=order, size=size, labels=None, fc6="before")
    found = differences(network, theirs, images)
    assert set(found) == {name for name, _ in network.module.named_children()} - {"data", "flatten"}
    assert len(found) == 20
    assert max(found.values()) <= TOLERANCE, found
    # at this scale normalisation does something, and it is before it that numbers are large
    assert np.abs(theirs["conv1"]).max() > 300
    assert difference(theirs["norm1"], theirs["pool1" if order == "pool-norm" else "relu1"]) > 0.5


@pytest.mark.parametrize("dialect", ["layer", "v1"])
def test_opencv_reads_the_same_numbers_in_either_dialect(tmp_path: Path, dialect: str) -> None:
    path = tmp_path / "places.caffemodel"
    write_caffemodel(path, blobs(n_out=205), dialect=dialect)
    images = photographs(227, 1)
    theirs = opencv(caffenet_layers("pool-norm", WIDTH, 205), path, caffe_data(images))
    network = caffe_network(weights=path, labels="places205", fc6="before")
    assert max(differences(network, theirs, images).values()) <= TOLERANCE


def test_all_dialects_give_the_same_network(tmp_path: Path, weights: Path) -> None:
    expected = caffe_network(weights=weights, labels=None).module.state_dict()
    for dialect in ("layer", "v0"):
        write_caffemodel(tmp_path / "net.caffemodel", blobs(), dialect=dialect)
        found = caffe_network(weights=tmp_path / "net.caffemodel", labels=None).module.state_dict()
        assert all(torch.equal(found[key], value) for key, value in expected.items())


def floor_pooling(net: CaffeNet) -> None:
    net.pool1.ceil_mode = False


def alpha_as_it_is(net: CaffeNet) -> None:
    net.norm1.alpha *= 5  # torch, as Caffe, divides by 5


def no_norm(net: CaffeNet) -> None:
    net.norm1 = nn.Identity()


def norm_before_pool(net: CaffeNet) -> None:
    net.pool1, net.norm1 = net.norm1, net.pool1


def groups_swapped(net: CaffeNet) -> None:
    net.conv2.register_forward_pre_hook(
        lambda _, inputs: inputs[0].roll(inputs[0].shape[1] // 2, 1)
    )


def height_width_channels(net: CaffeNet) -> None:
    weight = net.fc6.weight
    net.fc6.weight = nn.Parameter(
        weight.unflatten(1, (-1, 6, 6)).permute(0, 2, 3, 1).flatten(1), requires_grad=False
    )


def red_green_blue(net: CaffeNet) -> None:
    net.conv1.weight = nn.Parameter(net.conv1.weight.flip(1), requires_grad=False)


def no_mean(net: CaffeNet) -> None:
    net.data.mean.zero_()


def transposed_matrix(net: CaffeNet) -> None:
    net.fc7.weight = nn.Parameter(net.fc7.weight.T, requires_grad=False)


#: A mistake, put in by hand, and the layer after which it shows.
MISTAKES: list[tuple[Callable[[CaffeNet], None], str]] = [
    (floor_pooling, "pool1"),
    (alpha_as_it_is, "fc8"),
    (no_norm, "fc8"),
    (norm_before_pool, "fc8"),
    (groups_swapped, "fc8"),
    (height_width_channels, "fc8"),
    (red_green_blue, "fc8"),
    (no_mean, "fc8"),
    (transposed_matrix, "fc8"),
]


@pytest.fixture(scope="module")
def odd_size(weights: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """At 226 pixels, where pools that round up and down differ."""
    images = photographs(226)
    return images, opencv(caffenet_layers("pool-norm", WIDTH, N_OUT), weights, caffe_data(images))


@pytest.mark.parametrize(("mistake", "last"), MISTAKES, ids=lambda p: getattr(p, "__name__", p))
def test_the_comparison_sees_mistakes(
    mistake: Callable[[CaffeNet], None],
    last: str,
    odd_size: tuple[np.ndarray, dict[str, np.ndarray]],
    weights: Path,
) -> None:
    module = caffe_network(weights=weights, size=226, labels=None, fc6="before").module
    mistake(module)
    assert differences(Network(module), odd_size[1], odd_size[0], last)[last] > 1000 * TOLERANCE


# Preprocessing


@pytest.mark.parametrize("size", [227, 226, 224])
def test_a_photograph_of_256_is_cropped_in_the_middle(size: int) -> None:
    image = photographs(256)
    offset = {227: 14, 226: 15, 224: 16}[size]
    expected = caffe_data(image)[:, :, offset : offset + size, offset : offset + size]
    np.testing.assert_allclose(CaffeInput(size=size)(rgb(image)), expected, atol=1e-4)


def test_an_image_of_the_network_s_size_is_taken_whole() -> None:
    image = photographs(227)
    np.testing.assert_allclose(CaffeInput()(rgb(image)), caffe_data(image), atol=1e-4)


def test_channels_are_blue_green_red() -> None:
    red = torch.zeros(1, 3, 227, 227)
    red[:, 0] = 1
    assert CaffeInput()(red)[0, :, 100, 100].tolist() == pytest.approx(
        [-104.00699, -116.66877, 255 - 122.67892], abs=1e-4
    )


def test_other_sizes_are_resized_to_256_first() -> None:
    # a slope from left to right stays one: column j of 512 is at (j + 0.5) / 512
    slope = ((torch.arange(512) + 0.5) / 512).expand(1, 3, 512, 512)
    found = CaffeInput(mean=(0.0, 0.0, 0.0))(slope)[0, 0, 100] / 255
    expected = (torch.arange(14, 241) + 0.5) / 256
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [256, 227])
def test_a_mean_image_is_cropped_like_the_images(size: int, tmp_path: Path, weights: Path) -> None:
    mean = np.random.default_rng(0).uniform(90, 130, (256, 256, 3)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    image = photographs(size)
    top = (size - 227) // 2
    pixels = (
        image[:, top : top + 227, top : top + 227, ::-1].astype(np.float32) - mean[14:241, 14:241]
    )
    network = caffe_network(weights=weights, mean=tmp_path / "mean.npy", labels=None)
    np.testing.assert_allclose(
        network.taps(rgb(image), ["data"])["data"], pixels.transpose(0, 3, 1, 2), atol=1e-4
    )


@pytest.mark.parametrize("mean", [[1, 2], "absent.npy"])
def test_what_is_no_mean(mean: object, weights: Path) -> None:
    with pytest.raises(InvsetError, match="three numbers"):
        caffe_network(weights=weights, mean=mean, labels=None)  # type: ignore[arg-type]


# Where neurons are read


def test_fc6_is_read_after_its_relu_or_before(weights: Path) -> None:
    x = rgb(photographs(227))
    after = caffe_network(weights=weights, labels=None).taps(x, ["fc6", "fc7", "relu6"])
    before = caffe_network(weights=weights, labels=None, fc6="before").taps(
        x, ["fc6", "fc7", "relu6"]
    )
    assert (before["fc6"] < 0).any()
    for layer in ("fc6", "fc7"):
        assert torch.equal(after[layer], before[layer].relu())
    assert torch.equal(after["fc6"], before["relu6"])
    with pytest.raises(InvsetError, match="after or before"):
        caffe_network(weights=weights, labels=None, fc6="both")


def test_a_channel_of_conv5_is_read_before_its_relu_at_the_centre(weights: Path) -> None:
    network = caffe_network(weights=weights, labels=None)
    x = rgb(photographs(227))
    codes = 3 * 227 * 227
    generator = Generator(nn.Unflatten(1, (3, 227, 227)), codes, name="pixels")
    problem = Problem(network, generator, neurons=[Neuron("conv5", 7, (0, 1))])
    conv5 = network.taps(x, ["conv5"])["conv5"]
    assert conv5.shape[2:] == (13, 13)
    assert torch.equal(problem.look(x)[0][:, 0], conv5[:, 6, 6, 6])  # PPGN's xy=6
    assert conv5.min() < 0


def test_full_width_shapes() -> None:
    with torch.device("meta"):
        net = CaffeNet()
        places = CaffeNet(205)
    shapes = {
        name: tuple(layer.weight.shape)
        for name, layer in net.named_children()
        if hasattr(layer, "weight")
    }
    assert shapes == {
        "conv1": (96, 3, 11, 11),
        "conv2": (256, 48, 5, 5),
        "conv3": (384, 256, 3, 3),
        "conv4": (384, 192, 3, 3),
        "conv5": (256, 192, 3, 3),
        "fc6": (4096, 9216),
        "fc7": (4096, 4096),
        "fc8": (1000, 4096),
    }
    assert sum(p.numel() for p in net.parameters()) == 60_965_224
    assert sum(p.numel() for p in places.parameters()) == 57_708_109


def test_maps_of_conv_layers_have_the_published_sizes(weights: Path) -> None:
    network = caffe_network(weights=weights, labels=None)
    sides = {
        layer: network.shape(layer)[1]
        for layer in ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    }
    assert sides == {
        "conv1": 55,
        "pool1": 27,
        "conv2": 27,
        "pool2": 13,
        "conv3": 13,
        "conv4": 13,
        "conv5": 13,
        "pool5": 6,
    }


# Files


def test_width_outputs_and_names_come_from_the_file(tmp_path: Path) -> None:
    write_caffemodel(tmp_path / "net.caffemodel", blobs(width=6, n_out=205), dialect="v1")
    network = caffe_network(
        name="places205", weights=tmp_path / "net.caffemodel", labels="places205"
    )
    assert [
        network.shape(layer)[0]
        for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc8")
    ] == [
        6,
        16,
        24,
        24,
        16,
        256,
        205,
    ]
    assert (network.name, network.output, network.encoder, network.image_size) == (
        "places205",
        "fc8",
        "fc6",
        256,
    )
    assert network.labels is not None
    assert network.labels[87] == "gas_station"
    with pytest.raises(InvsetError, match=r"205 outputs.*1000 labels"):
        caffe_network(weights=tmp_path / "net.caffemodel", labels="imagenet")


def test_published_weights_are_fetched_by_name(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetched(name: str) -> Path:
        asked.append(name)
        return weights

    monkeypatch.setattr("invset.hub.obtain.weights", fetched)
    caffe_network(name="alexnet", order="norm-pool", labels=None)
    assert asked == ["alexnet"]


def wrong(change: str) -> Blobs:
    found = blobs(width=6)
    if change == "missing":
        del found["fc7"]
    elif change == "no bias":
        del found["conv3"][1]
    elif change == "other":
        found = {f"{name}_1": arrays for name, arrays in found.items()}
    elif change == "no groups":
        found["conv2"][0] = np.zeros((16, 6, 5, 5), np.float32)
    elif change == "transposed":
        found["conv2"][0] = found["conv2"][0].transpose(1, 0, 2, 3)
    elif change == "odd":
        found["conv1"] = [np.zeros((7, 3, 11, 11), np.float32), np.zeros(7, np.float32)]
    elif change == "other input":
        found["fc6"][0] = np.zeros((256, 16 * 25), np.float32)
    return found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"lacks layer fc7.*found layers conv1, conv2"),
        ("no bias", r"lacks layer conv3.*conv3 without a bias"),
        ("other", r"lacks layer conv1: .* found layers conv1_1, conv2_1"),
        ("no groups", r"layer conv2: expected shape \(16, 3, 5, 5\), found \(16, 6, 5, 5\)"),
        ("transposed", r"layer conv2: expected shape \(16, 3, 5, 5\), found \(3, 16, 5, 5\)"),
        ("odd", "conv1 has 7 channels; expected an even number"),
        ("other input", r"layer fc6: expected shape \(256, 576\), found \(.*256, 400\)"),
    ],
)
def test_files_that_do_not_fit(change: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    write_caffemodel(path, wrong(change), dialect="layer")
    with pytest.raises(InvsetError, match=message):
        caffe_network(weights=path, labels=None)


def test_layers_of_no_network_are_ignored(tmp_path: Path) -> None:
    extra = {
        "mean": [np.zeros((1, 3), np.float32)],
        **blobs(width=6),
        "loss3": [np.ones(2, np.float32)],
    }
    write_caffemodel(tmp_path / "net.caffemodel", extra, dialect="layer")
    assert caffe_network(weights=tmp_path / "net.caffemodel", labels=None).shape("fc8") == (N_OUT,)


def test_wrong_order_and_absent_file(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(InvsetError, match="pool-norm, norm-pool"):
        caffe_network(weights=weights, order="pool", labels=None)
    with pytest.raises(InvsetError, match="no weights at"):
        caffe_network(weights=tmp_path / "absent.caffemodel")


def test_lrn_is_caffe_s() -> None:
    # a_i / (1 + alpha / n * sum over the five channels around i of a²)^beta
    x = torch.randn(2, 7, 3, 3, generator=seeded(), dtype=torch.float64) * 200
    expected = torch.stack(
        [
            x[:, i] / (1 + 1e-4 / 5 * x[:, max(0, i - 2) : i + 3].square().sum(1)) ** 0.75
            for i in range(7)
        ],
        dim=1,
    )
    network = CaffeNet(2, (2, 2, 2, 2, 2), (4, 4))
    torch.testing.assert_close(network.norm1(x), expected)
    torch.testing.assert_close(accelerate(network).norm1(x), expected)


@pytest.mark.parametrize(("size", "channels"), [(5, 7), (5, 3), (4, 9), (1, 2)])
def test_lrn_and_its_gradient_are_those_of_torch(size: int, channels: int) -> None:
    mine, theirs = (
        kind(size, alpha=0.3, beta=0.6, k=1.5).double()
        for kind in (ChannelNorm, nn.LocalResponseNorm)
    )
    x = torch.randn(2, channels, 3, 4, generator=seeded(), dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, channels, 3, 4, generator=seeded(1), dtype=torch.float64)
    torch.testing.assert_close(mine(x), theirs(x), rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad((norm(x) * weight).sum(), x)[0] for norm in (mine, theirs)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("kernel", "stride", "size"),
    [(11, 4, (227, 227)), (11, 4, (40, 51)), (5, 2, (12, 15)), (4, 4, (16, 19)), (3, 1, (7, 9))],
)
def test_blocks_of_pixels_are_the_convolution(
    kernel: int, stride: int, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    blocks = BlockConv2d(3, 6, kernel, stride).double()
    x = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    found, expected = blocks(x), nn.functional.conv2d(x, blocks.weight, blocks.bias, stride)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    weight = torch.rand_like(expected)
    gradients = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)


def test_no_images_give_no_activations(weights: Path) -> None:
    # what a run that kept nothing asks
    assert caffe_network(weights=weights, labels=None).module(
        torch.zeros(0, 3, 227, 227)
    ).shape == (0, N_OUT)

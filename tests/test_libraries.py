"""Networks of timm, transformers and open_clip with random weights, against the libraries called
directly. What is not installed is skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from typed import typed

from invset.core.sparse_feature import SparseEncoder
from invset.errors import InvsetError
from invset.nets import libraries
from invset.nets.network import Network
from invset.nets.tokens import Tokens
from invset.nets.weights import checksum
from invset.problem.neuron import Neuron, find

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
WORDS = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 12,
    "vocab_size": 40,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
VISION = {**SMALL, "projection_dim": 10}
CLIP = {"vision_config": VISION, "text_config": WORDS, "projection_dim": 10}
OPEN_CLIP = {
    "embed_dim": 10,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "patch_size": 8, "head_width": 8},
    "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(side: int, wide: int | None = None) -> Tensor:
    return torch.rand(3, 3, side, wide or side, generator=seeded())


def timm_network(*given: Any, **named: Any) -> Network:
    pytest.importorskip("timm")
    from invset.nets.timm import timm_network as build

    return build(*given, **named)


def transformers_network(*given: Any, **named: Any) -> Network:
    pytest.importorskip("transformers")
    from invset.nets.transformers import transformers_network as build

    return build(*given, **named)


def open_clip_network(folder: Path, **named: Any) -> Network:
    pytest.importorskip("open_clip")
    from invset.nets.open_clip import open_clip_network as build

    (folder / "tiny_clip.json").write_text(json.dumps(OPEN_CLIP))
    return build(str(folder / "tiny_clip.json"), None, **named)


def normal(x: Tensor, mean: Any, std: Any) -> Tensor:
    return (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


# timm


def test_timm_gives_what_timm_gives() -> None:
    network = timm_network("test_vit", None, image_size=64)
    import timm

    torch.manual_seed(0)
    plain = timm.create_model("test_vit", img_size=64).eval()
    config = plain.pretrained_cfg
    x = pictures(64)
    given = normal(x, config["mean"], config["std"])
    logits = plain(given)
    [(patches, first)] = plain.forward_intermediates(
        given, [2], return_prefix_tokens=True, intermediates_only=True, output_fmt="NLC"
    )
    found = network.taps(x, ["blocks.2", network.output])
    torch.testing.assert_close(found["blocks.2"], torch.cat([first, patches], 1))
    torch.testing.assert_close(found["head"], logits)
    assert (network.output, network.encoder, network.image_size) == ("head", "head.input", 64)
    assert network.labels is not None
    assert network.labels[980] == "volcano"
    assert network.tokens == Tokens(1, ("cls",), (4, 4))


def test_tokens_of_timm_are_those_that_it_says() -> None:
    network = timm_network("vit_pwee_patch16_reg1_gap_256", None, image_size=[32, 48])
    # no class token, one register: a square would leave 1 or 3 of 7 tokens over
    assert network.tokens == Tokens(1, ("register1",), (2, 3))
    shape = network.shape("blocks.0")
    assert shape[0] == 7

    def at(position: Any) -> Any:
        return find(network, Neuron("blocks.0", 1, position=position)).at

    assert [at("register1"), at((0, 0)), at((1, 2)), at("center")] == [(0,), (1,), (6,), (5,)]
    with pytest.raises(InvsetError, match=r"register1, center, a patch \[y, x\] below \[2, 3\]"):
        at("cls")
    # before the register is added, patches are all there is
    assert find(network, Neuron("patch_embed", 1, position=(1, 2))).at == (5,)
    assert network.tokens.split(4) == ([], None)  # of tokens that were pooled, nothing is known


def test_what_enters_is_resized_as_the_library_says() -> None:
    network = timm_network("test_vit", None, image_size=64)
    x = pictures(40, 50)
    resized = F.interpolate(x, (64, 64), mode="bicubic", antialias=True).clamp(0, 1)
    torch.testing.assert_close(network.taps(x, ["head"]), network.taps(resized, ["head"]))


@pytest.mark.parametrize("side", [160, 64])
def test_own_weights_of_other_classes_and_sizes(tmp_path: Path, side: int) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(1)
    tuned = timm.create_model("test_vit", num_classes=7)
    file = tmp_path / "tuned.safetensors"
    save_file(tuned.state_dict(), file)
    network = timm_network("test_vit", str(file), image_size=side)
    assert (network.shape("head"), network.labels) == ((7,), None)
    held = network.module.state_dict()
    assert torch.equal(held["blocks.3.mlp.fc1.weight"], tuned.blocks[3].mlp.fc1.weight)
    same = held["pos_embed"].shape == tuned.pos_embed.shape
    assert same == (side == 160)


def test_names_that_timm_has_not(tmp_path: Path) -> None:
    with pytest.raises(
        InvsetError, match=r"timm has no network 'test_vitt'. Did you mean test_vit"
    ):
        timm_network("test_vitt", None)
    with pytest.raises(InvsetError, match=r"absent.pth is no file; .* tags: r160_in1k"):
        timm_network("test_vit", "absent.pth")
    save_file({"a": torch.zeros(2)}, tmp_path / "odd.safetensors")
    with pytest.raises(
        InvsetError, match=r"can't build timm's test_vit .*odd.safetensors may be of"
    ):
        timm_network("test_vit", str(tmp_path / "odd.safetensors"))


def test_a_library_that_is_not_installed() -> None:
    with pytest.raises(InvsetError, match=r'needs no_such; type pip install "invset\[timm\]"'):
        libraries.library("no_such", "network=timm", "timm")


def test_random_weights_are_the_same_each_time(tmp_path: Path) -> None:
    """Whatever was drawn before; and what is drawn after is what it would have been."""
    kinds: list[Callable[[], Network]] = [
        lambda: timm_network("test_vit", None),
        lambda: transformers_network("dinov2", None, config=SMALL),
        lambda: open_clip_network(tmp_path),
    ]
    for build in kinds:
        torch.manual_seed(1)
        first = checksum(build().module)
        after = torch.rand(3)
        torch.manual_seed(2)
        assert checksum(build().module) == first
        torch.manual_seed(1)
        assert torch.equal(torch.rand(3), after)


def test_what_a_network_is_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    libraries._TOLD.clear()
    for _ in range(2):
        timm_network("test_vit", None, image_size=64)
    [line] = [one for one in caplog.messages if one.startswith("timm ")]
    assert line == (
        "timm test_vit: 64x64 pixels, resized bicubic, mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5];"
        " patches 4x4, tokens before them: cls; random weights."
    )


# transformers


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP as ``save_pretrained`` leaves it, with a tokenizer of letters."""
    library = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(5)
    library.CLIPModel(library.CLIPConfig(**CLIP)).save_pretrained(folder)
    letters = [chr(97 + i) for i in range(18)]
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{a}</w>" for a in letters)]
    (folder / "vocab.json").write_text(json.dumps({one: i for i, one in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    told = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 12}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    ready = {"image_processor_type": "CLIPImageProcessor", "resample": 2}
    ready |= {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    ready |= {"crop_size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(ready))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def embedding(found: Any) -> Tensor:
    return found if isinstance(found, Tensor) else found.pooler_output


def test_clip_gives_what_transformers_gives(
    clip_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    libraries._TOLD.clear()
    network = transformers_network(str(clip_folder))
    told = caplog.text
    assert "32x32 pixels, resized bilinear, mean [0.1, 0.2, 0.3], std [0.4, 0.5, 0.6]" in told
    assert f"weights {clip_folder}, licence mit" in told
    import transformers

    plain = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    x = pictures(32)
    given = normal(x, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    expected = embedding(plain.get_image_features(given))
    assert (network.output, network.encoder) == ("visual_projection", "visual_projection.input")
    torch.testing.assert_close(network.taps(x, [network.output])[network.output], expected)
    # words: "ace bad" by the tokens that the vocabulary says
    ids = torch.tensor([[0, 2, 4, 24, 3, 2, 23, 1]])
    words = embedding(plain.get_text_features(ids, torch.ones_like(ids)))[0]
    assert network.text is not None
    torch.testing.assert_close(network.text("ace bad"), words / words.norm())


@pytest.mark.parametrize("weights", ["", "model.safetensors"])
def test_weights_of_another_folder_or_file(clip_folder: Path, weights: str) -> None:
    ready: dict[str, Any] = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    network = transformers_network("clip", str(clip_folder / weights), config=CLIP, **ready)
    x = pictures(32)
    expected = transformers_network(str(clip_folder)).taps(x, ["visual_projection"])
    torch.testing.assert_close(network.taps(x, ["visual_projection"]), expected)


def test_embeddings_of_length_one_give_cosines(clip_folder: Path) -> None:
    network = transformers_network(str(clip_folder), normalized=True)
    assert network.text is not None
    neuron = Neuron(network.output, None, direction=network.text("bad"))
    x = pictures(32)
    f = find(network, neuron).read(network.taps(x, [network.output])[network.output])
    plain = transformers_network(str(clip_folder)).taps(x, ["visual_projection"])
    cosines = F.cosine_similarity(plain["visual_projection"], network.text("bad"), dim=1)
    torch.testing.assert_close(f, cosines)


KINDS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "dinov2": ({}, ("cls",)),
    "dinov2_with_registers": (
        {"num_register_tokens": 2},
        ("cls", "register1", "register2"),
    ),
    "dinov3_vit": ({"num_register_tokens": 2}, ("cls", "register1", "register2")),
    "vit": ({}, ("cls",)),
    "deit": ({}, ("cls", "")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_vision_networks_give_what_transformers_gives(kind: str) -> None:
    options, names = KINDS[kind]
    options = {**SMALL, **options}
    mean, std = (0.3, 0.4, 0.5), (0.2, 0.3, 0.4)
    network = transformers_network(kind, None, config=options, mean=mean, std=std)
    import transformers

    torch.manual_seed(0)
    plain = transformers.AutoModel.from_config(
        transformers.AutoConfig.for_model(kind, **options)
    ).eval()
    x = pictures(32)
    expected = plain(normal(x, mean, std))
    assert network.tokens == Tokens(len(names), names, (4, 4))
    torch.testing.assert_close(
        network.taps(x, [network.output])[network.output], expected.pooler_output
    )
    last = "norm" if kind == "dinov3_vit" else "layernorm"
    tokens = network.taps(x, [last])[last]
    torch.testing.assert_close(tokens, expected.last_hidden_state)
    assert tokens.shape[1] == len(names) + 16
    patch = find(network, Neuron(last, 3, position=(3, 2)))
    assert torch.equal(patch.read(tokens), tokens[:, len(names) + 14, 2])


def test_pictures_of_another_size_and_form() -> None:
    network = transformers_network("clip", None, config=CLIP, image_size=[32, 48])
    assert network.tokens.grid == (4, 6)
    assert network.shape("vision_model.encoder.layers.1.mlp") == (25, 16)
    conv = {"hidden_sizes": [4, 4, 4, 8], "depths": [1, 1, 1, 1]}
    assert transformers_network("convnext", None, config=conv).tokens == Tokens()


def test_classes_have_the_names_of_the_configuration() -> None:
    names = {0: "day", 1: "night"}
    options = {**SMALL, "id2label": names, "architectures": ["ViTForImageClassification"]}
    network = transformers_network("vit", None, config=options)
    assert (network.output, network.labels) == ("classifier", ["day", "night"])


def test_folders_and_kinds_that_lack_something(clip_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvsetError, match=r"dinov2 is a kind of network, which has no weights"):
        transformers_network("dinov2")
    with pytest.raises(
        InvsetError, match=r"can't build transformers' .*type the name of a network"
    ):
        transformers_network(str(tmp_path))
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).write_bytes((clip_folder / file).read_bytes())
    with pytest.raises(InvsetError, match=r"no preprocessor_config.json, .*'network.mean="):
        transformers_network(str(tmp_path))
    network = transformers_network(str(tmp_path), mean=[0, 0, 0], std=[1, 1, 1])
    assert network.text is not None
    with pytest.raises(InvsetError, match=r"the tokenizer of .* knows none of the words 'bad'"):
        network.text("bad")


def test_siglip_has_no_token_before_its_patches() -> None:
    network = transformers_network(
        "siglip", None, config={"vision_config": SMALL, "text_config": WORDS}
    )
    assert network.tokens == Tokens(0, (), (4, 4))
    assert (network.output, network.encoder) == ("vision_model.head", "output")


# open_clip


def test_open_clip_gives_what_open_clip_gives(tmp_path: Path) -> None:
    network = open_clip_network(tmp_path)
    import open_clip

    torch.manual_seed(0)
    plain = open_clip.create_model("tiny_clip").eval()
    x = pictures(32)
    given = normal(x, plain.visual.image_mean, plain.visual.image_std)
    expected = plain.encode_image(given)
    assert (network.output, network.encoder) == ("output", "output")
    torch.testing.assert_close(network.taps(x, ["output"])["output"], expected)
    ids = open_clip.get_tokenizer("tiny_clip")(["a photo of a dog"])
    words = plain.encode_text(ids, normalize=True)[0]
    assert network.text is not None
    torch.testing.assert_close(network.text("a photo of a dog"), words)
    assert network.tokens == Tokens(1, ("cls",), (4, 4))


def test_names_that_open_clip_has_not() -> None:
    pytest.importorskip("open_clip")
    from invset.nets.open_clip import open_clip_network as build

    with pytest.raises(InvsetError, match=r"no network 'ViT-B-33'. Did you mean ViT-B-32"):
        build("ViT-B-33")
    with pytest.raises(InvsetError, match=r"is no file and no tag; ViT-B-32 has DEFAULT, openai"):
        build("ViT-B-32", "laion")


# slopes through each of them, and commands


def of_feature(network: Network) -> Neuron:
    units = network.units("blocks.1.mlp.act")
    weight = torch.randn(units, 9, generator=seeded(4)) / units**0.5
    feature = SparseEncoder(weight, torch.full((9,), 0.5), k=5).feature(2)
    return Neuron("blocks.1.mlp.act", None, position="max", feature=feature)


def of_words(network: Network) -> Neuron:
    assert network.text is not None
    return Neuron(network.output, None, direction=network.text("bad"))


ASKED: dict[str, tuple[str, Callable[[Network], Neuron]]] = {
    "a token": ("test_vit", lambda _: Neuron("blocks.1.mlp.act", 3, position="cls")),
    "a channel": ("test_convnext", lambda _: Neuron("stages.1.blocks.0.mlp.act", 3)),
    "a feature": ("test_vit", of_feature),
    "words": ("clip", of_words),
}


@pytest.mark.parametrize("asked", ASKED)
def test_slopes_are_differences(asked: str, clip_folder: Path) -> None:
    name, neuron_of = ASKED[asked]
    if name == "clip":
        network = transformers_network(str(clip_folder))
    else:
        network = timm_network(name, None, image_size=64)
    neuron = neuron_of(network)
    place = find(network, neuron)
    if neuron.feature is not None:
        place = replace(place, feature=neuron.feature.on(torch.device("cpu"), torch.float64))
    network.module.double()
    x = pictures(network.side).double()
    way = torch.randn(x.shape, generator=seeded(6)).double()

    def f(x: Tensor) -> Tensor:
        return place.read(network.taps(x, [neuron.layer])[neuron.layer])

    given = x.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(f(given).sum(), given)
    step = 1e-6
    with torch.no_grad():
        expected = (f(x + step * way) - f(x - step * way)) / (2 * step)
    found = (slopes * way).flatten(1).sum(1)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5)
    assert found.abs().min() > 1e-5


TYPED = ["network=timm", "network.name=test_vit", "network.weights=null", "network.image_size=64"]


def test_layers_are_listed_and_a_command_follows(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("timm")
    monkeypatch.chdir(tmp_path)
    with caplog.at_level("INFO"):
        assert typed(monkeypatch, "list", "layers", *TYPED) == 0
    rows = {row.split()[0]: row for row in capsys.readouterr().out.splitlines()}
    command = f"invset probe {' '.join(TYPED)}"
    assert rows["blocks.1.mlp.act"].split()[1:4] == ["17x192", "tokens", "192"]
    assert caplog.messages[-1].endswith(f" {command} layer=norm neuron=1 position=cls")
    assert rows["norm"].split()[2] == "tokens"
    assert rows["patch_embed.proj"].split()[1:4] == ["64x4x4", "maps", "64"]
    assert rows["head"].split()[1:4] == ["1000", "units", "1000"]
    assert rows["head"].endswith("1000 neurons (layer= by default)")
    assert rows["blocks.1.attn.attn_drop"].split()[1:3] == ["-", "-"]


def test_a_probe_and_a_run_of_a_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    monkeypatch.chdir(tmp_path)
    words = [*TYPED, "generator.size=64", "layer=blocks.1.mlp.act", "neuron=3", "position=cls"]
    few = ["codes=4", "starts=1", "steps=2", "robust=0", "progress=false"]
    assert typed(monkeypatch, "probe", *words, *few) == 0
    out = capsys.readouterr().out
    assert "blocks.1.mlp.act:3, activation" in out
    [advice] = [line for line in out.splitlines() if line.startswith("  invset run ")]
    assert "layer=blocks.1.mlp.act neuron=3 position=cls z1=" in advice
    few = ["n=2", "K=2", "robust=0", "progress=false", "animation=false", "report=true"]
    file = Path(__file__).parent / "sae_files" / "sl_topk"
    assert typed(monkeypatch, "run", *words, "z1=-0.2", "z2=0.6", *few, "hydra.run.dir=out") == 0
    assert "blocks.1.mlp.act:3" in (tmp_path / "out/report.html").read_text()
    # an autoencoder of another layer, told before anything is made
    words = [*words[:-2], f"sae={file}", "feature=1", "position=cls", "z1=1", "z2=2"]
    assert typed(monkeypatch, "run", *words, *few) == 2
    assert "has 192 units, but the sparse autoencoder encodes 6" in capsys.readouterr().err

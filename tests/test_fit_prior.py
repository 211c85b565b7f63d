"""``invset fit prior``: what it writes is the fit of all codes, however they are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typed import typed

from invset.core.space import CodePrior
from invset.files import images
from invset.nets.embedded import mini_network
from invset.nets.natural import read_prior
from invset.problem.encode import activations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine pictures of noise."""
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(9):
        pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("share", [0.9, 1.0])
def test_pictures_are_encoded_some_at_a_time(
    share: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = mini_network()
    whole = images.load_images(folder).images
    expected = CodePrior.fit(activations(network, whole, ["fc6"])["fc6"], share)
    monkeypatch.setattr(images, "_CHUNK", 4)
    parts = [(part.total, len(part.images)) for part in images.image_parts(folder, 32)]
    assert parts == [(9, 4), (9, 4), (9, 1)]
    out = folder.parent / "prior.safetensors"
    words = ("network=mini", f"data={folder}", f"out={out}", f"variance={share}")
    assert typed(monkeypatch, "fit", "prior", *words) == 0
    found = read_prior(out)
    assert found.dim == expected.dim == (8 if share == 1 else 7)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.deviation, expected.deviation)
    torch.testing.assert_close(found.radius, expected.radius)
    torch.testing.assert_close(found.basis, expected.basis, rtol=1e-3, atol=1e-4)  # float16


def test_parts_of_different_sizes_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (16, 8)).save(folder / "z.png")
    monkeypatch.setattr(images, "_CHUNK", 3)
    with pytest.raises(images.InvsetError, match="differ in size"):
        list(images.image_parts(folder))


def test_few_large_pictures_are_decoded_at_a_time() -> None:
    # files of ten bytes, each 2800 · 2800 · 3 = 24 MB of pixels: two of them are below 67 MB
    names = ["a", "b", "c", "d", "e"]
    assert list(images._chunks(names, lambda name: 10, 2800)) == [["a", "b"], ["c", "d"], ["e"]]
    assert list(images._chunks(names, lambda name: 10, None)) == [names]
    # files of 100 MB
    assert list(images._chunks(names, lambda name: 10**8, None)) == [[name] for name in names]

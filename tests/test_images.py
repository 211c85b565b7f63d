"""Sets of pictures from folders and archives."""

from __future__ import annotations

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from invset.errors import InvsetError
from invset.files.images import load_images, to_float, to_uint8

NAMES = ["dog/a.png", "dog/b.png", "cat/z.png", "cat/y.PNG", "ant/q.bmp"]


def pixels(seed, height=6, width=6):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    for seed, name in enumerate(NAMES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(seed)).save(root / name)
    (root / "dog" / "notes.txt").write_text("no picture")
    return root


def packed(folder, kind):
    files = [
        p for p in sorted(folder.rglob("*"), reverse=True) if p.is_file()
    ]  # an order of its own
    path = folder.parent / f"pictures.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder).as_posix())
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for file in files:
                archive.add(file, file.relative_to(folder).as_posix())
    return path


def test_folder_has_alphabetical_names_classes_and_labels(folder):
    data = load_images(folder)
    assert data.names == ["ant/q.bmp", "cat/y.PNG", "cat/z.png", "dog/a.png", "dog/b.png"]
    assert data.classes == ["ant", "cat", "dog"]
    assert data.labels.tolist() == [0, 1, 1, 2, 2]
    assert data.images.dtype == torch.uint8
    assert len(data) == 5
    for name, image in zip(data.names, data.images, strict=True):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels(NAMES.index(name)))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_archives_give_what_the_folder_gives(folder, kind):
    expected, data = (
        load_images(folder),
        load_images(packed(folder, kind)),
    )
    assert (data.names, data.classes) == (expected.names, expected.classes)
    assert torch.equal(data.images, expected.images)
    assert torch.equal(data.labels, expected.labels)


def test_more_pictures_than_are_read_at_a_time(folder, monkeypatch):
    expected = load_images(folder)
    monkeypatch.setattr("invset.files.images._CHUNK", 2)
    assert torch.equal(load_images(folder).images, expected.images)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_limit_spreads_evenly_and_reads_nothing_else(folder, kind):
    (folder / "cat" / "y.PNG").write_bytes(b"never opened")
    data = load_images(
        folder if kind == "folder" else packed(folder, kind),
        limit=3,
    )
    assert data.names == ["ant/q.bmp", "cat/z.png", "dog/b.png"]  # 0, 2, 4 of 0 … 4


def test_limit_above_the_count_reads_all(folder):
    assert len(load_images(folder, limit=99)) == 5


def test_size_resizes_the_shorter_side_and_crops_the_centre(tmp_path):
    wide = np.zeros((4, 12, 3), dtype=np.uint8)
    wide[:, 4:8] = 200  # the middle third
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (load_images(tmp_path, size=4).images == 200).all()
    assert load_images(tmp_path, size=8).images.shape == (1, 3, 8, 8)
    assert load_images(tmp_path).images.shape == (1, 3, 4, 12)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_modes_become_rgb(tmp_path, mode):
    Image.fromarray(np.full((3, 3), 77, dtype=np.uint8)).convert(mode).save(tmp_path / "grey.png")
    assert (load_images(tmp_path).images == 77).all()


def test_errors_say_what_is_wrong(folder, tmp_path):
    with pytest.raises(InvsetError, match=r"no folder or archive of pictures at .*nowhere"):
        load_images(tmp_path / "nowhere")
    with pytest.raises(InvsetError, match=r"notes\.txt is neither a folder nor a zip or tar"):
        load_images(folder / "dog" / "notes.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvsetError, match="no pictures"):
        load_images(tmp_path / "empty")
    Image.fromarray(pixels(0, 5, 5)).save(folder / "ant" / "small.png")
    with pytest.raises(InvsetError, match="differ in size"):
        load_images(folder)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
@pytest.mark.parametrize("broken", ["noise", "cut short"])
def test_a_picture_that_cannot_be_decoded_is_named(folder, kind, broken):
    file = folder / "cat" / "z.png"
    file.write_bytes(b"no picture" if broken == "noise" else file.read_bytes()[:60])
    with pytest.raises(InvsetError, match=r"cat/z\.png in .* can't be read as a picture"):
        load_images(folder if kind == "folder" else packed(folder, kind))


def test_eight_bits_survive_floats_and_a_png():
    values = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)
    assert torch.equal(to_uint8(to_float(values)), values)
    buffer = io.BytesIO()
    Image.fromarray(to_uint8(to_float(values)).permute(1, 2, 0).numpy()).save(buffer, "PNG")
    assert np.array_equal(np.asarray(Image.open(buffer)), values.permute(1, 2, 0).numpy())
    # 0.4 / 255 rounds down, 0.6 / 255 up; what is outside [0, 1] is clamped
    assert to_uint8(torch.tensor([-3.0, 0.4 / 255, 0.6 / 255, 1.7])).tolist() == [0, 0, 1, 255]

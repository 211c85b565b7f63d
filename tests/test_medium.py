"""Pictures and rows of a table: what is rounded, stored, written and read back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import seeded
from PIL import Image
from torch import Tensor

from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.files.medium import Medium
from invset.files.rundir import RunDir
from invset.files.strips import WIDTH, Strips
from invset.files.tabular import Table

TABLE = Table(
    columns=["age", "income", "job", "share"],
    bounds={"age": (18, 90), "income": (-50.5, 1e6), "share": (0, 1e-3)},
    integers=["age"],
    categories={"job": ["none", 'a "clerk", or so', "Müller"]},
)
IMAGES = [Image8Bit(), Image8Bit(1), Image8Bit(4), Image8Bit(1).sized((5, 9))]


def inputs(medium: Medium, count: int = 20) -> Tensor:
    return medium.random(count, medium.shape or (medium.blank().shape[1], 6, 7), seeded())


@pytest.mark.parametrize("medium", [*IMAGES, TABLE], ids=str)
def test_the_network_sees_what_is_saved_to_the_last_bit(medium: Medium, tmp_path: Path) -> None:
    x = inputs(medium)
    stored = medium.store(x)
    assert torch.equal(medium.restore(stored), medium.round(x))
    RunDir(tmp_path).write_samples(medium, stored)
    again = medium.read(tmp_path)
    assert again.dtype == stored.dtype
    assert torch.equal(again, stored)
    assert (tmp_path / "samples" / f"{len(x):05d}.png").is_file()
    assert torch.equal(medium.round(medium.restore(again)), medium.round(x))


@pytest.mark.parametrize("medium", [*IMAGES, TABLE], ids=str)
def test_rounding_has_the_gradient_of_the_identity(medium: Medium) -> None:
    x = inputs(medium, 3).requires_grad_()
    weights = torch.randn(x.shape, generator=seeded(1))
    (gradient,) = torch.autograd.grad((medium.round(x) * weights).sum(), x)
    assert torch.equal(gradient, weights)


@pytest.mark.parametrize("medium", [*IMAGES, TABLE], ids=str)
def test_pictures_are_rgb_of_one_size(medium: Medium) -> None:
    pictures = medium.pictures(medium.store(inputs(medium, 4)))
    assert pictures.dtype == torch.uint8
    assert pictures.shape[:2] == (4, 3)
    none = medium.pictures(medium.store(medium.blank()[:0]))
    assert none.shape[:2] == (0, 3)


@pytest.mark.parametrize(
    ("channels", "mode", "size"), [(1, "L", (7, 6)), (3, "RGB", (7, 6)), (4, "L", (28, 6))]
)
def test_files_of_pictures(channels: int, mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    medium = Image8Bit(channels)
    stored = medium.store(inputs(medium, 1))
    RunDir(tmp_path).write_samples(medium, stored)
    with Image.open(tmp_path / "samples/00001.png") as image:
        assert (image.mode, image.size) == (mode, size)
        pixels = np.array(image)
    if channels == 4:  # the third channel is the third panel
        assert np.array_equal(pixels[:, 14:21], stored[0, 2].numpy())


def test_grey_of_colour_is_that_of_pil(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    (grey,) = Image8Bit(1).load(tmp_path)
    assert np.array_equal(grey[0].numpy(), np.array(Image.fromarray(rgb).convert("L")))
    (cut,) = Image8Bit(3).sized((10, 30)).load(tmp_path)
    assert np.array_equal(cut.permute(1, 2, 0).numpy(), rgb[15:25])
    with pytest.raises(InvsetError, match="have 3 channels, but the network takes 4"):
        Image8Bit(4).load(tmp_path)


def test_a_table_is_snapped() -> None:
    x = torch.tensor([[-3.0, 2e6, 0.6, 5e-4], [30.5, 7.25, 9.0, -1.0], [18.4, -50.5, -0.2, 1.0]])
    expected = torch.tensor([[18, 1e6, 1, 5e-4], [30, 7.25, 2, 0], [18, -50.5, 0, 1e-3]])
    assert torch.equal(TABLE.store(x), expected)
    assert not torch.signbit(TABLE.store(x)[2, 2])  # a file has one zero


def test_a_table_as_a_file(tmp_path: Path) -> None:
    stored = TABLE.store(inputs(TABLE, 200))
    RunDir(tmp_path).write_samples(TABLE, stored)
    with (tmp_path / "samples.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["age", "income", "job", "share"]
    assert {row[2] for row in rows} == set(TABLE.words["job"])
    assert all(row[0].isdigit() for row in rows)
    # whatever reads float64 and narrows it has the same bits
    assert [np.float32(float(row[1])) for row in rows] == list(stored[:, 1].numpy())
    assert [np.float32(float(row[3])) for row in rows] == list(stored[:, 3].numpy())


def test_real_rows_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "real.csv"
    file.write_text("share,id,age,job,income\n5e-4,a,20,none,3\n1e-3,b,30,Müller,4\n", "utf-8")
    rows = TABLE.load(file)
    assert torch.equal(rows, torch.tensor([[20, 3, 0, 5e-4], [30, 4, 2, 1e-3]]))
    assert torch.equal(TABLE.load(file, limit=1), rows[:1])
    file.write_text("share,age,job,income\n5e-4,20,king,3\n", "utf-8")
    with pytest.raises(InvsetError, match="row 1: column job holds 'king', not one of none, a"):
        TABLE.load(file)
    file.write_text("share,age,job,income\n5e-4,,none,3\n", "utf-8")
    with pytest.raises(InvsetError, match="row 1: column age holds '', not a number"):
        TABLE.load(file)
    file.write_text("share,age,job\n", "utf-8")
    with pytest.raises(InvsetError, match="has no column 'income'"):
        TABLE.load(file)
    with pytest.raises(InvsetError, match="no table at"):
        TABLE.load(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": []}, "columns= names every column once"),
        ({"columns": ["a", "a"]}, "columns= names every column once"),
        ({}, "column a needs its lowest and highest value, two numbers, not"),
        ({"bounds": {"a": [1, 1]}}, "column a needs its lowest"),
        ({"bounds": {"a": [0, float("inf")]}}, "column a needs its lowest"),
        ({"bounds": {"a": [1, 1 + 1e-9]}}, "column a needs its lowest"),
        ({"bounds": {"a": [0, 1.5]}, "integers": ["a"]}, "two whole numbers up to 2"),
        ({"bounds": {"a": [0, 1], "aa": [0, 1]}}, "bounds= names 'aa'.* Did you mean a?"),
        ({"bounds": {"a": [0, 1]}, "integers": ["b"]}, "integers= names 'b', which is no column"),
        ({"categories": {"a": ["x"]}}, "has two categories at least"),
        ({"categories": {"a": ["x", "x"]}}, "of different names"),
        ({"categories": {"a": ["x", "y"]}, "bounds": {"a": [0, 1]}}, "and no bounds"),
    ],
)
def test_tables_that_are_none(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        Table(**{"columns": ["a"], **options})


@pytest.mark.parametrize("options", [{"channels": 0}, {"size": (3, 0)}, {"channels": 2.0}])
def test_pictures_that_are_none(options: dict[str, Any]) -> None:
    with pytest.raises(InvsetError, match="whole numbers of at least 1"):
        Image8Bit(**options)


def test_a_bar_is_as_long_as_its_value() -> None:
    strips = Strips(["a"] * 41)  # too many for text on them
    shares = np.linspace(0, 1, 41)
    picture = strips.draw(shares, [""] * 41)
    assert picture.shape == (41 * 4, WIDTH, 3)
    lengths = (picture[1::4, :, 0] < 200).sum(1)
    assert np.abs(lengths - 1 - shares * (WIDTH - 1)).max() <= 1
    named = Strips(["age", "a name that is far too long for the room that it has"])
    one = named.draw(np.array([0.5, 0.5]), ["30", "a category that is too long as well"])
    other = named.draw(np.array([0.5, 0.5]), ["31", "a category that is too long as well"])
    assert one.shape == (2 * 17, WIDTH, 3)
    assert (one[:17] != other[:17]).any()
    assert (one[17:] == other[17:]).all()

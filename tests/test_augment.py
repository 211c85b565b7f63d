"""Crops, zooms, flips, cutouts and colours, compared with pictures cut by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch.nn import functional as F
from toys import seeded

from invset.training.augment import (
    color_jitter,
    color_matrix,
    cutout,
    random_crop,
    random_flip,
    random_zoom,
)


@pytest.fixture
def images():
    return torch.rand(40, 3, 7, 9, generator=seeded(5))


def test_crop_without_padding_is_the_picture_itself(images):
    assert torch.equal(random_crop(images, 0, seeded()), images)


def test_each_crop_is_a_window_of_the_reflected_picture(images):
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    places = set()
    for picture, whole in zip(random_crop(images, 2, seeded()), padded, strict=True):
        fits = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if torch.equal(picture, whole[:, y : y + 7, x : x + 9])
        ]
        assert len(fits) == 1
        places.update(fits)
    assert len(places) > 12  # of 25: each picture has its own draw
    assert {y for y, _ in places} == {x for _, x in places} == set(range(5))


def test_flip_mirrors_about_half_of_the_pictures(images):
    flipped = random_flip(images, seeded())
    mirrored = torch.tensor(
        [torch.equal(f, i.flip(-1)) for f, i in zip(flipped, images, strict=True)]
    )
    kept = torch.tensor([torch.equal(f, i) for f, i in zip(flipped, images, strict=True)])
    assert (mirrored ^ kept).all()
    assert 10 < int(mirrored.sum()) < 30  # binomial: 20 ± 3.2


def test_flip_is_an_involution(images):
    assert torch.equal(random_flip(random_flip(images, seeded()), seeded()), images)


def test_cutout_is_one_grey_square_clipped_at_the_border(images):
    images = images * 0.4  # no pixel is grey already
    areas = []
    for picture, before in zip(cutout(images, 4, seeded()), images, strict=True):
        hole = picture != before
        assert (picture[hole] == 0.5).all()
        assert torch.equal(hole[0], hole[1])
        assert torch.equal(hole[0], hole[2])
        rows, cols = hole[0].any(1), hole[0].any(0)
        assert torch.equal(hole[0], rows.unsqueeze(1) & cols)
        for line in (rows, cols):
            where = line.nonzero()
            assert 2 <= len(where) <= 4
            assert int(where[-1] - where[0]) == len(where) - 1
        areas.append(int(hole[0].sum()))
    assert max(areas) == 16


def test_cutout_of_no_pixels_is_off(images):
    assert torch.equal(cutout(images, 0, seeded()), images)


def test_each_zoom_is_a_part_of_the_picture():
    y, x = torch.meshgrid(torch.arange(24) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    ramps = torch.stack([x, y, x + y]).expand(200, 3, 24, 32)
    zoomed = random_zoom(ramps, 0.25, seeded())
    inner = zoomed[:, :, 2:-2, 2:-2]  # next to the border, there is nothing to interpolate with
    width, height = (
        (inner[:, 0, 0, 20] - inner[:, 0, 0, 0]) / 20,
        (inner[:, 1, 15, 0] - inner[:, 1, 0, 0]) / 15,
    )  # shares of the sides
    left, top = inner[:, 0, 0, 0] - 2.5 * width, inner[:, 1, 0, 0] - 2.5 * height
    parts = (
        left.view(-1, 1, 1) + width.view(-1, 1, 1) * x,
        top.view(-1, 1, 1) + height.view(-1, 1, 1) * y,
    )
    torch.testing.assert_close(inner[:, 0], parts[0][:, 2:-2, 2:-2], rtol=0, atol=1e-3)
    torch.testing.assert_close(inner[:, 1], parts[1][:, 2:-2, 2:-2], rtol=0, atol=1e-3)
    torch.testing.assert_close(inner[:, 2], inner[:, 0] + inner[:, 1], rtol=0, atol=1e-3)
    assert (left > -1e-3).all()
    assert (top > -1e-3).all()
    assert (left + 32 * width < 32 + 1e-3).all()
    assert (top + 24 * height < 24 + 1e-3).all()
    area, stretch = width * height, width / height
    assert 0.2 < area.min() < 0.3  # a side that would be longer than the picture's is cut
    assert area.max() > 0.9
    assert (stretch.log().abs() < torch.tensor(4 / 3).log() + 1e-3).all()
    assert stretch.min() < 0.85
    assert stretch.max() > 1.18


def test_zoom_of_the_whole_area_is_off(images):
    assert torch.equal(random_zoom(images, 1.0, seeded()), images)


@pytest.mark.parametrize("hue", [-2.0, 0.0, 0.4])
def test_a_colour_matrix_is_a_turn_around_grey(hue):
    turn = Rotation.from_rotvec(hue * np.ones(3) / math.sqrt(3)).as_matrix()
    matrix = color_matrix(torch.tensor([1.0]), torch.tensor([1.0]), torch.tensor([hue]))[0].numpy()
    np.testing.assert_allclose(matrix, turn, atol=1e-6)
    matrix = color_matrix(torch.tensor([2.0]), torch.tensor([0.5]), torch.tensor([hue]))[0].numpy()
    np.testing.assert_allclose(matrix @ np.ones(3), 2 * np.ones(3), atol=1e-6)
    chroma = np.array([1.0, -1, 0])
    np.testing.assert_allclose(
        matrix @ chroma, turn @ chroma, atol=1e-6
    )  # twice the contrast, half the saturation


def test_jittered_colours():
    flat = torch.tensor([0.45, 0.5, 0.55]).view(1, 3, 1, 1).expand(2000, 3, 2, 2)
    jittered = color_jitter(flat, 0.3, seeded())
    assert torch.equal(jittered, jittered[..., :1, :1].expand_as(jittered))  # one draw a picture
    shift = jittered[:, :, 0, 0].mean(1) - 0.5
    assert 0.14 < shift.abs().max() < 0.15 + 1e-6
    chroma = jittered[:, :, 0, 0] - jittered[:, :, 0, 0].mean(1, keepdim=True)
    factor = chroma.norm(dim=1) / math.sqrt(0.005)
    assert math.exp(-0.6) < factor.min() < 0.65
    assert 1.6 < factor.max() < math.exp(0.6)
    turned = (
        (chroma @ torch.tensor([-1.0, 0, 1]) / (chroma.norm(dim=1) * math.sqrt(2)))
        .clamp(max=1)
        .acos()
    )
    assert 0.28 < turned.max() < 0.3 + 1e-3
    whites = color_jitter(torch.ones(200, 3, 2, 2), 0.3, seeded())
    assert whites.max() == 1
    assert whites.min() > 0.5 + 0.5 * math.exp(-0.3) - 0.16
    torch.testing.assert_close(whites.amin(1), whites.amax(1))  # grey stays grey


def test_no_jitter_is_off(images):
    assert torch.equal(color_jitter(images, 0.0, seeded()), images)


@pytest.mark.parametrize(
    "change",
    [
        random_flip,
        lambda x, rng: random_zoom(x, 0.3, rng),
        lambda x, rng: random_crop(x, 3, rng),
        lambda x, rng: cutout(x, 4, rng),
        lambda x, rng: color_jitter(x, 0.3, rng),
    ],
)
def test_the_seed_decides(images, change):
    before = images.clone()
    first = change(images, seeded(1))
    assert torch.equal(first, change(images, seeded(1)))
    assert not torch.equal(first, change(images, seeded(2)))
    assert torch.equal(images, before)

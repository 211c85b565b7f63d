"""Crops, flips and cutouts, compared with pictures cut by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from toys import seeded

from invset.training.augment import cutout, random_crop, random_flip


@pytest.fixture
def images():
    return torch.rand(40, 3, 7, 9, generator=seeded(5))


def test_crop_without_padding_is_the_picture_itself(images):
    assert torch.equal(random_crop(images, 0, seeded()), images)


def test_each_crop_is_a_window_of_the_reflected_picture(images):
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    places = set()
    for picture, whole in zip(random_crop(images, 2, seeded()), padded, strict=True):
        fits = [(y, x) for y in range(5) for x in range(5) if torch.equal(picture, whole[:, y : y + 7, x : x + 9])]
        assert len(fits) == 1
        places.update(fits)
    assert len(places) > 12  # of 25: each picture has its own draw
    assert {y for y, _ in places} == {x for _, x in places} == set(range(5))


def test_flip_mirrors_about_half_of_the_pictures(images):
    flipped = random_flip(images, seeded())
    mirrored = torch.tensor([torch.equal(f, i.flip(-1)) for f, i in zip(flipped, images, strict=True)])
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


@pytest.mark.parametrize("change", [random_flip, lambda x, rng: random_crop(x, 3, rng), lambda x, rng: cutout(x, 4, rng)])
def test_the_seed_decides(images, change):
    before = images.clone()
    first = change(images, seeded(1))
    assert torch.equal(first, change(images, seeded(1)))
    assert not torch.equal(first, change(images, seeded(2)))
    assert torch.equal(images, before)

"""Pictures of samples: their places, captions and choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from invset.report.grid import enlarge, grid_shape, label_grid

RED = torch.tensor([255, 0, 0], dtype=torch.uint8)


def plain(count: int, side: int = 32) -> torch.Tensor:
    return RED.view(1, 3, 1, 1).expand(count, 3, side, side).clone()


def red(picture: Image.Image) -> np.ndarray:
    return (np.asarray(picture) == np.array([255, 0, 0])).all(-1)


def spans(line: np.ndarray) -> list[tuple[int, int]]:
    """Begin and end of every run of True."""
    edges = np.flatnonzero(np.diff(np.r_[0, line.astype(int), 0]))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def test_every_cell_has_its_place_and_size() -> None:
    picture = label_grid(
        [("", plain(3), ["1", "2", "3"]), ("", plain(2), ["4", "5"])], "title", footer="below"
    )
    mask = red(picture)
    rows, columns = spans(mask.any(1)), spans(mask.any(0))
    assert len(rows) == 2
    assert len(columns) == 3
    assert all(b - a == 96 for a, b in rows + columns)  # 32 pixels, three times as large
    assert mask.sum() == 5 * 96 * 96
    assert picture.width >= columns[-1][1]
    assert picture.height > rows[-1][1] + 16


def test_captions_stand_below_their_images_and_blank_cells_stay_blank() -> None:
    picture = np.asarray(label_grid([("[3, 4]", plain(3), ["3.25", "", "3.75"])], "title")).min(-1)
    mask = red(label_grid([("[3, 4]", plain(3), ["3.25", "", "3.75"])], "title"))
    (top, bottom), columns = spans(mask.any(1))[0], spans(mask.any(0))
    assert len(columns) == 2
    (a, b), (c, d) = columns
    assert c - b > 96  # a cell's room is left free
    below = picture[bottom : bottom + 16]
    for left, right in columns:
        ink = np.flatnonzero((below[:, left:right] < 200).any(0))
        assert abs(ink.mean() - 48) < 8  # in the middle
    assert (picture[top : bottom + 16, b + 1 : c - 1] == 255).all()
    assert (picture[top:bottom, : a - 1] < 200).any()  # the row's label
    assert d <= picture.shape[1]


def test_large_images_are_shrunk_and_small_ones_stay_sharp() -> None:
    assert enlarge(plain(1, 224)[0]).size == (96, 96)
    assert [enlarge(plain(1, side)[0]).width for side in (20, 32, 64, 100)] == [100, 96, 128, 100]
    pixel = torch.zeros(3, 2, 2, dtype=torch.uint8)
    pixel[:, 0, 0] = 255
    assert sorted(set(np.asarray(enlarge(pixel)).ravel())) == [0, 255]


@pytest.mark.parametrize(
    ("count", "cell", "shape"),
    [
        (1, 96, (1, 1)),
        (20, 96, (1, 20)),
        (21, 96, (2, 20)),
        (100, 96, (5, 20)),
        (100, 128, (7, 15)),
    ],
)
def test_grid_shape(count: int, cell: int, shape: tuple[int, int]) -> None:
    assert grid_shape(count, cell) == shape

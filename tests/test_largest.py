"""Where a neuron is largest that is read over all positions of its layer."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import html5lib
import pytest
import torch
from report_folders import write_run
from safetensors.torch import load_file, save_file
from sample_sets import sample_set
from torch import Tensor, nn

from invset.analysis.largest import largest
from invset.core.sparse_feature import SparseEncoder
from invset.nets.embedded import mini_generator
from invset.nets.network import Network
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem
from invset.problem.where_largest import Largest, where_largest
from invset.report.run_page import write_report

#: Sides of the maps, whose positions are squares of 8 pixels of a picture of 32.
SIDE = 4


class Tokens(nn.Module):
    """The same positions as tokens, behind a class token that is brighter than any grey picture."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return torch.cat([torch.full_like(tokens[:, :1], 0.7), tokens], 1)


class Pool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


@pytest.fixture(scope="module")
def network() -> Network:
    """Layer `maps`: brightness of three colours in squares; layer `tokens`: the same as tokens."""
    parts = OrderedDict(maps=nn.AvgPool2d(8), tokens=Tokens(), pool=Pool(), head=nn.Linear(3, 2))
    return Network(nn.Sequential(parts), image_size=32, encoder="pool", prefix_tokens=1)


def bright_at(row: int, column: int, value: int = 255) -> Tensor:
    """A dark picture, uint8, with one square that is bright in green."""
    x = torch.zeros(3, 32, 32, dtype=torch.uint8)
    x[1, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = value
    return x


PLACES = [(0, 0), (1, 3), (3, 2)]


def of_tokens(**how: Any) -> Neuron:
    return Neuron("tokens", position="max", range=(0, 1), **{"number": None, **how})


GREEN = torch.tensor([0.0, 1.0, 0.0])
FEATURE = SparseEncoder(torch.eye(3), torch.zeros(3)).feature(1)


@pytest.mark.parametrize(
    ("neuron", "before"),
    [
        (Neuron("maps", 2, position="max", range=(0, 1)), 0),
        (Neuron("maps", 2, position="mean", range=(0, 1)), 0),
        (Neuron("maps", None, position="max", direction=GREEN, range=(0, 1)), 0),
        (of_tokens(number=2), 1),
        (of_tokens(direction=GREEN, bias=2.0), 1),
        (of_tokens(feature=FEATURE), 1),
    ],
)
def test_the_square_that_is_bright(network: Network, neuron: Neuron, before: int) -> None:
    problem = Problem(network, mini_generator(), neurons=[neuron])
    stored = torch.stack([bright_at(*place) for place in PLACES])
    found = where_largest(problem, stored)
    assert found is not None
    assert (found.neuron, found.before, found.grid) == (problem.names[0], before, (SIDE, SIDE))
    assert found.position.tolist() == [before + SIDE * row + column for row, column in PLACES]
    record = largest(sample_set(torch.zeros(3, 2), largest=found), None)
    assert record is not None
    assert record.row is not None
    assert record.column is not None
    assert list(zip(record.row.tolist(), record.column.tolist(), strict=True)) == PLACES
    assert (record.token is None) == (before == 0)


def test_a_token_before_the_patches_has_no_row(network: Network) -> None:
    problem = Problem(network, mini_generator(), neurons=[of_tokens(number=2)])
    found = where_largest(problem, torch.stack([bright_at(2, 2, 100), bright_at(2, 2)]))
    record = largest(sample_set(torch.zeros(2, 2), largest=found), None)
    assert record is not None
    assert record.token is not None
    assert record.row is not None
    assert record.token.tolist() == [0, 1 + 2 * SIDE + 2]
    assert record.row.isnan().tolist() == [True, False]


def nowhere(found: Largest | None, position: list[int]) -> None:
    """The second of two inputs has no position."""
    assert found is not None
    assert found.position.tolist() == position
    record = largest(sample_set(torch.zeros(2, 2), largest=found), None)
    assert record is not None
    assert record.row is not None
    assert record.row.isnan().tolist() == [False, True]
    assert record.token is None or record.token.isnan().tolist() == [False, True]


def test_where_several_positions_are_as_large_it_is_nowhere(network: Network) -> None:
    neuron = Neuron("maps", 2, position="max", range=(0, 1))
    stored = torch.stack([bright_at(2, 2), torch.zeros_like(bright_at(2, 2))])
    found = where_largest(Problem(network, mini_generator(), neurons=[neuron]), stored)
    nowhere(found, [2 * SIDE + 2, -1])


def test_a_feature_that_is_off_is_nowhere(network: Network) -> None:
    encoder = SparseEncoder(torch.eye(3), torch.full((3,), -0.9))  # on in the brightest alone
    problem = Problem(network, mini_generator(), neurons=[of_tokens(feature=encoder.feature(1))])
    stored = torch.stack([bright_at(2, 2), bright_at(2, 2, 100)])
    nowhere(where_largest(problem, stored), [1 + 2 * SIDE + 2, -1])


def test_neurons_at_one_position_are_looked_for_nowhere(network: Network) -> None:
    fixed = Neuron("maps", 2, position=(0, 0), range=(0, 1))
    stored = bright_at(1, 1).unsqueeze(0)
    assert where_largest(Problem(network, mini_generator(), neurons=[fixed]), stored) is None
    assert largest(sample_set(torch.zeros(2, 2)), None) is None
    # of several neurons, the first that is read over all positions
    everywhere = Neuron("maps", 2, position="max", range=(0, 1))
    both = where_largest(Problem(network, mini_generator(), neurons=[fixed, everywhere]), stored)
    assert both is not None
    assert both.position.tolist() == [SIDE + 1]


def test_tokens_that_form_no_grid() -> None:
    found = Largest("block:1", torch.tensor([4, 0]), 2, None)
    record = largest(sample_set(torch.zeros(2, 2), largest=found), None)
    assert record is not None
    assert record.token is not None
    assert (record.grid, record.row, record.token.tolist()) == ([], None, [4, 0])


def test_the_page_frames_the_position(tmp_path: Path) -> None:
    position = torch.arange(25) % 17
    found = Largest("block:3", position, 1, (SIDE, SIDE))
    record = largest(sample_set(torch.zeros(25, 2), largest=found), None)
    assert record is not None
    assert record.row is not None
    assert record.column is not None
    folder = write_run(tmp_path / "run", 25)
    held = load_file(folder / "samples.safetensors")
    places = {"largest.row": record.row, "largest.column": record.column}
    save_file(held | places, folder / "samples.safetensors")
    summary = json.loads((folder / "summary.json").read_text())
    summary["largest"] = {"neuron": record.neuron, "grid": record.grid}
    (folder / "summary.json").write_text(json.dumps(summary))
    page = html5lib.parse(write_report(folder).read_text(), namespaceHTMLElements=False)
    frames = page.findall(".//main//span[@class='frame']")
    assert len(frames) == int((position > 0).sum()), "none for the token before the patches"
    # patch 5, counted from 0, is in row 1 and column 1
    assert frames[5].get("style") == "left:25%;top:25%;width:25%;height:25%"

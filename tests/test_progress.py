"""What is told while a person waits, and to whom."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from toys import seeded

from invset.files import images
from invset.files.images import load_images
from invset.nets.network import Network
from invset.problem.encode import activations
from invset.progress import bar, say

Told = list[tuple[int, int | None]]


def tell(told: Told, done: int, total: int | None) -> None:
    told.append((done, total))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_pictures_are_counted_as_they_are_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(images, "_CHUNK", 2)
    for i in range(5):
        Image.fromarray(np.full((4, 4, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    told: Told = []
    load_images(tmp_path, progress=lambda done, total: tell(told, done, total))
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]


def test_pictures_are_counted_as_they_are_looked_at() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 4))
    network = Network(net, image_size=4, output="2", encoder="1")
    pixels = torch.randint(256, (5, 3, 4, 4), generator=seeded(), dtype=torch.uint8)
    told: Told = []
    found = activations(
        network,
        pixels,
        ["0", "1"],
        flatten=["1"],
        batch_size=2,
        progress=lambda done, total: tell(told, done, total),
    )
    assert told == [(0, 5), (2, 5), (4, 5), (5, 5)]
    maps = net[0](pixels.float() / 255)
    torch.testing.assert_close(found["0"], maps[:, :, 1, 1])  # the centre
    torch.testing.assert_close(found["1"], maps.flatten(1))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_shows_itself_to_people_alone(monkeypatch, terminal: bool) -> None:
    stderr = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with bar("reading cats", "image") as progress:
        progress(0, 4)
        progress(4, 4)
        progress(1, 4)  # a download that begins anew
    assert ("reading cats" in stderr.getvalue()) is terminal


def test_lines_go_beside_the_output(capsys: pytest.CaptureFixture[str]) -> None:
    say("wait")
    assert capsys.readouterr() == ("", "wait\n")

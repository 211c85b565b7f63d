"""Animations: every sample in order, as long as a person looks, in a file that opens anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from invset.report.animation import milliseconds, save_gif, save_mp4

#: Greens, 20 apart: frames can be told by their colour.
GREENS = [20 * i for i in range(12)]


def shades(side: int) -> torch.Tensor:
    images = torch.zeros(12, 3, side, side, dtype=torch.uint8)
    images[:, 1] = torch.tensor(GREENS, dtype=torch.uint8).view(-1, 1, 1)
    return images


def captions() -> list[str]:
    return [f"{i:.2f}" for i in range(12)]


def greens(frames: list[Image.Image]) -> list[int]:
    return [int(np.asarray(frame.convert("RGB"))[90, 90, 1]) for frame in frames]


def ink(frame: Image.Image) -> int:
    """Dark pixels in the line of text below the picture."""
    return int((np.asarray(frame.convert("L"))[193:] < 128).sum())


def test_a_gif_holds_every_sample_in_order(tmp_path: Path) -> None:
    save_gif(tmp_path / "a.gif", shades(32), captions())
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.size, gif.info["duration"]) == (12, (192, 224), 400)
        frames = []
        for i in range(12):
            gif.seek(i)
            frames.append(gif.convert("RGB"))
    assert greens(frames) == pytest.approx(GREENS, abs=4)
    assert all(ink(frame) > 30 for frame in frames)


def test_large_pictures_are_thinned_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invset.report.animation._MOST_LARGE", 4)
    save_gif(tmp_path / "a.gif", shades(100), captions())
    with Image.open(tmp_path / "a.gif") as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(gif.convert("RGB"))
    assert greens(frames) == pytest.approx([GREENS[i] for i in (0, 4, 7, 11)], abs=4)


def test_an_mp4_holds_every_sample_in_order(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    save_mp4(tmp_path / "a.mp4", shades(33), captions())  # an odd side: 6 times 33 is 198
    with av.open(str(tmp_path / "a.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 208, 224)
        frames = [frame.to_image() for frame in film.decode(video=0)]
    assert len(frames) == 12
    assert greens(frames) == pytest.approx(GREENS, abs=6)


def test_the_same_samples_make_the_same_film(tmp_path: Path) -> None:
    pytest.importorskip("av")
    noise = torch.randint(
        0, 256, (30, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    texts = [str(i) for i in range(30)]
    films = set()
    for i in range(4):  # as many differed when x264's mbtree was on
        save_mp4(tmp_path / f"{i}.mp4", noise, texts)
        films.add((tmp_path / f"{i}.mp4").read_bytes())
    assert len(films) == 1


def test_how_long_a_frame_stands() -> None:
    # 25 s in all, but a frame no shorter than 50 ms and no longer than 400 ms
    assert [milliseconds(n) for n in (2, 100, 250, 500, 2000)] == [400, 250, 100, 50, 50]

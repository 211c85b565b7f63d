"""All samples, one after another in the order they were taken: a GIF, and an MP4 where PyAV is
installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from invset.report.grid import FAINT, INK, PAPER, enlarge, font
from invset.terminal import one_line

#: Side of a frame's picture in pixels, about; small pictures are enlarged by a whole factor.
SIDE = 192
#: Seconds that an animation lasts, about, and the fewest and most milliseconds of a frame.
_LASTS = 25
_SHORTEST = 50
_LONGEST = 400
#: Most frames of a GIF whose pictures are not small: each takes tens of kilobytes.
_MOST_LARGE = 200
_BAR = 24


def milliseconds(frames: int) -> int:
    """How long a frame stands; GIFs count in hundredths of a second."""
    return round(min(_LONGEST, max(_SHORTEST, 1000 * _LASTS / frames)) / 10) * 10


def has_encoder() -> bool:
    """Whether an MP4 can be written: PyAV brings FFmpeg with an H.264 encoder along (``pip install
    'invset[video]'``).
    """
    return find_spec("av") is not None


def save_gif(path: Path, images: Tensor, captions: Sequence[str]) -> None:
    """A GIF of 8-bit images, with shape (n, 3, H, W), each with its number and caption; large
    images are thinned evenly to 200.
    """
    count = len(images) if max(images.shape[-2:]) <= 64 else min(_MOST_LARGE, len(images))
    chosen = np.linspace(0, len(images) - 1, count).round().astype(int).tolist()
    # a palette for each frame, by the method that is a hundred times faster than the default and
    # looks alike; no dithering, as noise would make the file larger and pixels less clear
    frames = [
        f.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        for f in _frames(images, captions, chosen)
    ]
    frames[0].save(
        path,
        save_all=True,
        append_images=frames[1:],
        duration=milliseconds(count),
        loop=0,
        optimize=False,
    )


def save_mp4(path: Path, images: Tensor, captions: Sequence[str]) -> None:
    """An H.264 film of all 8-bit images, with shape (n, 3, H, W), each with its number and caption;
    needs PyAV.
    """
    import av
    from av.video.frame import VideoFrame

    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as film:
        stream = None
        for frame in _frames(images, captions, range(len(images))):
            if stream is None:
                # 18: no loss that can be seen; one thread, as other processes may use the other
                # cores mbtree: with it x264's vector code gives other bytes from call to call
                options = {
                    "crf": "18",
                    "preset": "veryfast",
                    "threads": "1",
                    "x264-params": "mbtree=0",
                }
                stream = film.add_stream(
                    "libx264", rate=round(1000 / milliseconds(len(images))), options=options
                )
                stream.width = frame.width
                stream.height = frame.height
                stream.pix_fmt = "yuv420p"
            film.mux(stream.encode(VideoFrame.from_image(frame)))
        if stream is not None:
            film.mux(stream.encode())


def _frames(
    images: Tensor, captions: Sequence[str], chosen: Sequence[int]
) -> Iterator[Image.Image]:
    """Pictures with a line of text below; sides are multiples of 16, the blocks that H.264 works
    in.
    """
    small = font(11)
    large = font(14)
    digits = len(str(len(images)))
    for i in chosen:
        picture = enlarge(images[i], SIDE)
        width = _up(picture.width)
        height = _up(picture.height + _BAR)
        frame = Image.new("RGB", (width, height), PAPER)
        frame.paste(picture, ((width - picture.width) // 2, 0))
        draw = ImageDraw.Draw(frame)
        middle = (picture.height + height) / 2
        draw.text(
            (6, middle), f"{i + 1:>{digits}}/{len(images)}", fill=FAINT, font=small, anchor="lm"
        )
        draw.text((width - 6, middle), one_line(captions[i]), fill=INK, font=large, anchor="rm")
        yield frame


def _up(length: int) -> int:
    return -(-length // 16) * 16

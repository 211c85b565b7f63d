"""Sets of real images: a folder, a zip or a tar of pictures, with the folder's name as the
class.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from invset.errors import InvsetError
from invset.files.albums import SUFFIXES, Album, album
from invset.files.idx import part_of
from invset.files.medium import evenly
from invset.files.picture import MOST_PIXELS, opened, seen
from invset.files.reading import reading
from invset.progress import Progress, quiet

log = logging.getLogger(__name__)

_CHUNK = 256  # files whose bytes are in memory at one time, fewer of large ones
_CHUNK_BYTES = 1 << 27
_CHUNK_PIXELS = 1 << 26  # bytes of decoded pictures, which are there several times for a moment
_WORKERS = min(8, os.cpu_count() or 1)

#: Pictures of more pixels than this are decoded one at a time.
_LARGE = 1 << 24

#: What red, green and blue weigh in grey, in parts of 2**16, as PIL has them.
_GREY = (19595, 38470, 7471)
_ONE_LARGE = threading.Lock()


@dataclass(frozen=True)
class ImageSet:
    """Decoded pictures in memory.

    Attributes:
        images: uint8, with shape (N, channels, height, width); 3 channels are RGB, 1 is grey.
        labels: class of each picture, 0-based in alphabetical order of the folders, with shape
            (N,).
        classes: folder names in that order.
        names: path of each picture inside the folder or archive.
    """

    images: Tensor
    labels: Tensor
    classes: list[str]
    names: list[str]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Part:
    """Some of the pictures of a set.

    Attributes:
        total: how many there are in all.
        names: path of each picture inside the folder or archive.
        images: uint8, with shape (len(names), channels, height, width).
    """

    total: int
    names: list[str]
    images: Tensor


def decode(
    data: bytes, size: int | tuple[int, int] | None, note: Callable[[str], Any] = str
) -> np.ndarray:
    """Decode one picture to uint8 RGB, with shape (height, width, 3): resized until it covers a
    side in pixels, or (height, width), and centre cropped.

    Args:
        data: what its file holds.
        size: side, or (height, width); None: as it is.
        note: see `invset.files.picture.seen`.
    """
    image = opened(data)
    with _ONE_LARGE if image.width * image.height > _LARGE else nullcontext():
        image = seen(image, note)
        return np.asarray(image if size is None else _covering(image, size))


def _covering(image: Image.Image, size: int | tuple[int, int]) -> Image.Image:
    height, width = (size, size) if isinstance(size, int) else size
    if image.size == (width, height):
        return image
    scale = max(width / image.width, height / image.height)
    covers = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
    if covers[0] * covers[1] > MOST_PIXELS:  # a strip, a pixel high
        raise ValueError(f"{width} x {height} pixels of it are a part of {covers}; crop it")
    image = image.resize(covers, Image.Resampling.BICUBIC)
    left = (image.width - width) // 2
    top = (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def load_images(
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    limit: int | None = None,
    progress: Progress = quiet,
    channels: int = 3,
) -> ImageSet:
    """Read a folder, zip, tar or IDX file of pictures into memory.

    Args:
        path: folder or archive, where ``…/<class>/<picture>`` gives the labels; or an IDX file, of
            which ``FILE:1-8000`` is a part (`invset.files.idx`).
        size: side in pixels, or (height, width), that every picture is brought to; None takes them
            as they are (all must agree).
        limit: read at most this many, evenly spread over the alphabetical order; None reads all.
        progress: told how many pictures are read, and how many there are.
        channels: 3 for RGB, 1 for grey.

    Raises:
        InvsetError: no such file, no pictures, a picture that can't be decoded, or pictures of
            different sizes without `size`.
    """
    images = torch.empty(0)
    names: list[str] = []
    for part in image_parts(path, size, limit, progress, channels):
        if not names:
            images = part.images.new_empty(part.total, *part.images.shape[1:])
        images[len(names) :][: len(part.images)] = part.images
        names += part.names
    folders = [PurePosixPath(n).parent.name for n in names]
    classes = sorted(set(folders))
    index = {c: i for i, c in enumerate(classes)}
    return ImageSet(images, torch.tensor([index[f] for f in folders]), classes, names)


def image_parts(
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    limit: int | None = None,
    progress: Progress = quiet,
    channels: int = 3,
) -> Iterator[Part]:
    """The same pictures, some at a time: for more than memory holds."""
    path = Path(path).expanduser()
    if not path.exists() and not part_of(path)[0].exists():
        raise InvsetError(
            f"no folder or archive of pictures at {path}; give the path of one, such as"
            " /path/to/images.zip"
        )
    with album(path) as found:
        names = [found.names[i] for i in evenly(len(found.names), limit)]
        if not names:
            more = f"; passed over: {found.passed_over}" if found.passed_over else ""
            raise InvsetError(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {path}{more}")
        for chunk, arrays in _decoded(path, names, found, size, progress):
            images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
            yield Part(len(names), chunk, to_grey(images) if channels == 1 else images)
    if found.passed_over:
        log.warning("%s: passed over %s", path, found.passed_over)


def _decoded(
    path: Path,
    names: Sequence[str],
    found: Album,
    size: int | tuple[int, int] | None,
    progress: Progress,
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Every picture, decoded in threads, a chunk of files at a time."""
    notes: list[str] = []
    shapes: set[tuple[int, ...]] = set()

    def read(name: str) -> bytes:
        with reading(f"{name} in {path}", "a picture", "repair or remove it"):
            return found.read(name)

    def decoded(name: str, data: bytes) -> np.ndarray:
        with reading(f"{name} in {path}", "a picture", "repair or remove it"):
            return decode(data, size, notes.append)

    done = 0
    progress(done, len(names))
    with ThreadPoolExecutor(_WORKERS) as pool:
        for chunk in _chunks(names, found.size, size):
            files = [read(name) for name in chunk]  # in order: a compressed tar can't go back
            arrays = list(pool.map(decoded, chunk, files))
            shapes.update(array.shape for array in arrays)
            if len(shapes) > 1:
                raise InvsetError(
                    f"the pictures in {path} differ in size; give one size for all, for example"
                    " data.size=64"
                )
            yield chunk, arrays
            done += len(chunk)
            progress(done, len(names))
    for told, count in Counter(notes).items():
        log.warning("%s: %d pictures have %s", path, count, told)


def _chunks(
    names: Sequence[str], held_by: Callable[[str], int], size: int | tuple[int, int] | None
) -> Iterator[list[str]]:
    """Names, so many at a time as may be in memory, as files and as pictures of a size."""
    height, width = (size, size) if isinstance(size, int) else size or (1, 1)
    most = max(1, min(_CHUNK, _CHUNK_PIXELS // (3 * height * width)))
    chunk: list[str] = []
    held = 0
    for name in names:
        if chunk and (len(chunk) == most or held + held_by(name) > _CHUNK_BYTES):
            yield chunk
            chunk = []
            held = 0
        chunk.append(name)
        held += held_by(name)
    if chunk:
        yield chunk


def to_grey(images: Tensor) -> Tensor:
    """uint8 RGB, with shape (N, 3, H, W), to grey, with shape (N, 1, H, W)."""
    weights = torch.tensor(_GREY, dtype=torch.int32).view(3, 1, 1)
    parts = [
        ((some * weights).sum(1, keepdim=True) + 2**15 >> 16).byte() for some in images.split(1000)
    ]
    return torch.cat(parts)


def to_float(images: Tensor) -> Tensor:
    """uint8 pixels 0 … 255 to float32 in [0, 1]."""
    return images.float().div_(255)


def to_uint8(images: Tensor) -> Tensor:
    """Float pixels to the 8-bit values that a PNG holds: clamped to [0, 1], rounded to nearest."""
    return images.detach().clamp(0, 1).mul(255).round_().to(torch.uint8)

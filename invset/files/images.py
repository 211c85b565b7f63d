"""Sets of real images: a folder, a zip or a tar of pictures, with the folder's name as the
class.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from invset.errors import InvsetError
from invset.progress import Progress, quiet

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}

_CHUNK = 256  # files whose bytes are in memory at one time
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    NotImplementedError,
    RuntimeError,
)

T = TypeVar("T")


@dataclass(frozen=True)
class ImageSet:
    """Decoded pictures in memory.

    Attributes:
        images: uint8 RGB, with shape (N, 3, size, size).
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


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Give the name of every picture, in alphabetical order, and a function that reads one."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES)
        yield (
            [file.relative_to(path).as_posix() for file in files],
            lambda name: (path / name).read_bytes(),
        )
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield sorted(n for n in archive.namelist() if _is_picture(n)), archive.read
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tar:
            members = {m.name: m for m in tar.getmembers() if m.isfile() and _is_picture(m.name)}

            def read(name: str) -> bytes:
                file = tar.extractfile(members[name])
                assert file is not None  # `isfile` said that it has content
                return file.read()

            yield sorted(members), read
    else:
        raise InvsetError(f"{path} is neither a folder nor a zip or tar archive of pictures")


def _told(path: Path, name: str, function: Callable[..., T], *arguments: Any) -> T:
    """Call `function`, and say which picture it was if that fails."""
    try:
        return function(*arguments)
    # what PIL, zipfile, tarfile and zlib raise
    except (
        OSError,
        EOFError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
        *_ARCHIVE_ERRORS,
    ) as error:
        raise InvsetError(
            f"{name} in {path} can't be read as a picture ({error}); repair or remove it"
        ) from error


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def decode(data: bytes, size: int | tuple[int, int] | None) -> np.ndarray:
    """Decode one picture to uint8 RGB, with shape (height, width, 3): resized until it covers a
    side in pixels, or (height, width), and centre cropped.
    """
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if size is None:
        return np.asarray(image)
    height, width = (size, size) if isinstance(size, int) else size
    if image.size != (width, height):
        scale = max(width / image.width, height / image.height)
        image = image.resize(
            (max(width, round(image.width * scale)), max(height, round(image.height * scale))),
            Image.Resampling.BICUBIC,
        )
        left = (image.width - width) // 2
        top = (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image)


def load_images(
    path: str | Path,
    size: int | tuple[int, int] | None = None,
    limit: int | None = None,
    progress: Progress = quiet,
) -> ImageSet:
    """Read a folder, zip or tar of pictures into memory.

    Args:
        path: folder or archive; ``…/<class>/<picture>`` gives the labels.
        size: side in pixels, or (height, width), that every picture is brought to; None takes them
            as they are (all must agree).
        limit: read at most this many, evenly spread over the alphabetical order; None reads all.
        progress: told how many pictures are read, and how many there are.

    Raises:
        InvsetError: no such file, no pictures, a picture that can't be decoded, or pictures of
            different sizes without `size`.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InvsetError(
            f"no folder or archive of pictures at {path}; give the path of one, such as"
            " /path/to/images.zip"
        )
    with _opened(path) as (names, read):
        if limit is not None and limit < len(names):
            names = [names[i] for i in np.linspace(0, len(names) - 1, limit).round().astype(int)]
        arrays = _decoded(path, names, read, size, progress)
    if not arrays:
        raise InvsetError(f"no pictures ({', '.join(sorted(SUFFIXES))}) in {path}")
    if len({a.shape for a in arrays}) > 1:
        raise InvsetError(
            f"the pictures in {path} differ in size; give one size for all, for example"
            " data.size=64"
        )
    folders = [PurePosixPath(n).parent.name for n in names]
    classes = sorted(set(folders))
    index = {c: i for i, c in enumerate(classes)}
    images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, torch.tensor([index[f] for f in folders]), classes, names)


def _decoded(
    path: Path,
    names: Sequence[str],
    read: Callable[[str], bytes],
    size: int | tuple[int, int] | None,
    progress: Progress,
) -> list[np.ndarray]:
    """Every picture, decoded in threads, a chunk of files at a time."""
    arrays: list[np.ndarray] = []
    progress(0, len(names))
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(names), _CHUNK):
            chunk = names[start : start + _CHUNK]
            # in order: a compressed tar can't go back
            files = [_told(path, name, read, name) for name in chunk]
            arrays += pool.map(
                lambda name, data: _told(path, name, decode, data, size), chunk, files
            )
            progress(len(arrays), len(names))
    return arrays


def to_float(images: Tensor) -> Tensor:
    """uint8 pixels 0 … 255 to float32 in [0, 1]."""
    return images.float().div_(255)


def to_uint8(images: Tensor) -> Tensor:
    """Float pixels to the 8-bit values that a PNG holds: clamped to [0, 1], rounded to nearest."""
    return images.detach().clamp(0, 1).mul(255).round_().to(torch.uint8)

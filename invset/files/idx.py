"""IDX files, the format of MNIST: pictures in grey of one size, and their labels in a file beside.

    0 0 type dimensions | the size of each dimension, 4 bytes, big-endian | the values, row by row

Type 8 is a byte a value. ``…images-idx3-ubyte`` holds pictures, with shape (N, height, width), and
``…labels-idx1-ubyte`` a label for each; either may be packed by gzip, with ``.gz`` behind its name.
"""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path

import numpy as np

from invset.errors import InvsetError
from invset.files.reading import reading

#: Bytes of the largest file, unpacked: twenty times the 60,000 digits.
MOST_BYTES = 1 << 30

_BYTE = 8
_HINT = "give a file as MNIST's, such as train-images-idx3-ubyte.gz"


def part_of(path: Path) -> tuple[Path, tuple[int, int] | None]:
    """What ``FILE:1-8000`` means: the file, and the numbers from 1 of the first and the last
    picture; None where the path has no such end: all of them.
    """
    found = re.fullmatch(r"(.+):(\d+)-(\d+)", path.name)
    if found is None:
        return path, None
    return path.with_name(found[1]), (int(found[2]), int(found[3]))


def is_idx(path: Path) -> bool:
    """Whether a file is called as pictures in IDX format are."""
    return re.search(r"idx3-ubyte(\.gz)?$", part_of(path)[0].name) is not None


def read_digits(path: Path) -> tuple[np.ndarray, np.ndarray | None, range]:
    """Pictures of an IDX file, uint8 with shape (N, height, width), and their labels, with shape
    (N,), where the file of labels lies beside it.

    Args:
        path: of the pictures; ``FILE:1-8000`` is a part of them.

    Returns:
        The pictures, the labels or None, and the pictures' numbers from 1.

    Raises:
        InvsetError: no such file or part, a damaged one, or labels of another number.
    """
    file, part = part_of(path)
    pictures = _values(file, 3)
    beside = file.with_name(file.name.replace("images", "labels").replace("idx3", "idx1"))
    labels = _values(beside, 1) if beside != file and beside.exists() else None
    if labels is not None and len(labels) != len(pictures):
        raise InvsetError(
            f"{beside} has {len(labels)} labels, but {file} has {len(pictures)} pictures; give"
            " files that belong together"
        )
    first, last = part or (1, len(pictures))
    if not 1 <= first <= last <= len(pictures):
        raise InvsetError(
            f"{file} has the pictures 1 to {len(pictures)}, and no part {first}-{last}; type for"
            f" example {file.name}:1-{len(pictures)}"
        )
    chosen = slice(first - 1, last)
    return (
        pictures[chosen],
        None if labels is None else labels[chosen],
        range(first, last + 1),
    )


def _values(path: Path, dimensions: int) -> np.ndarray:
    with reading(path, "an IDX file", _HINT):
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4 + 4 * dimensions)
            if len(head) < 4 + 4 * dimensions or head[:4] != bytes([0, 0, _BYTE, dimensions]):
                raise ValueError(f"it has no head of {dimensions} dimensions of bytes")
            shape = np.frombuffer(head[4:], ">u4").tolist()
            if math.prod(shape) > MOST_BYTES:
                raise ValueError(f"it claims to hold {math.prod(shape):,} bytes")
            data = file.read(math.prod(shape) + 1)  # no more, whatever is packed there
        if len(data) != math.prod(shape):
            raise ValueError(f"it does not hold the {math.prod(shape):,} bytes that its head says")
        return np.frombuffer(data, np.uint8).reshape(shape)

"""IDX files: written by hand from the format's description, read back."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from invset.errors import InvsetError
from invset.files.idx import is_idx, part_of, read_digits
from invset.files.image8bit import Image8Bit
from invset.files.images import load_images

DIGITS = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
LABELS = [7, 0, 7, 1, 0]


def head(*shape: int, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", one) for one in shape)


def written(folder: Path, packed: bool = True, labels: bool = True) -> Path:
    """Five pictures of 3x2 pixels and their labels."""
    end = ".gz" if packed else ""
    pack = gzip.compress if packed else bytes
    path = folder / f"some-images-idx3-ubyte{end}"
    path.write_bytes(pack(head(5, 3, 2) + DIGITS.tobytes()))
    if labels:
        beside = folder / f"some-labels-idx1-ubyte{end}"
        beside.write_bytes(pack(head(5) + bytes(LABELS)))
    return path


def test_a_path_with_a_part() -> None:
    assert part_of(Path("a/b-idx3-ubyte.gz:1-8000")) == (Path("a/b-idx3-ubyte.gz"), (1, 8000))
    assert part_of(Path("a/b:c.zip")) == (Path("a/b:c.zip"), None)
    assert is_idx(Path("train-images-idx3-ubyte"))
    assert is_idx(Path("train-images-idx3-ubyte.gz:3-4"))
    assert not is_idx(Path("train-labels-idx1-ubyte.gz"))


@pytest.mark.parametrize("packed", [True, False])
def test_what_was_written_is_read(tmp_path: Path, packed: bool) -> None:
    path = written(tmp_path, packed)
    pictures, labels, numbers = read_digits(path)
    assert labels is not None
    np.testing.assert_array_equal(pictures, DIGITS)
    assert (labels.tolist(), list(numbers)) == (LABELS, [1, 2, 3, 4, 5])
    pictures, labels, numbers = read_digits(Path(f"{path}:2-3"))
    assert labels is not None
    np.testing.assert_array_equal(pictures, DIGITS[1:3])
    assert (labels.tolist(), list(numbers)) == ([0, 7], [2, 3])


def test_pictures_have_their_labels_as_folders(tmp_path: Path) -> None:
    found = load_images(written(tmp_path), channels=1)
    assert found.classes == ["0", "1", "7"]
    assert found.names[0] == "0/000002.pgm"
    assert found.labels.tolist() == [0, 0, 1, 2, 2]  # in the order of the folders
    order = [1, 4, 3, 0, 2]
    np.testing.assert_array_equal(found.images[:, 0].numpy(), DIGITS[order])
    rgb = load_images(written(tmp_path))
    np.testing.assert_array_equal(rgb.images.numpy(), DIGITS[order][:, None].repeat(3, 1))
    loaded = Image8Bit(1).load(f"{written(tmp_path)}:4-4")
    np.testing.assert_array_equal(loaded.numpy(), DIGITS[3:4][None])


def test_without_labels_there_is_one_class(tmp_path: Path) -> None:
    assert load_images(written(tmp_path, labels=False)).classes == ["0"]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no head of 3 dimensions"),
        (head(5, 3), "no head of 3 dimensions"),
        (head(5, 3, 2, kind=13) + bytes(120), "no head of 3 dimensions"),
        (head(5, 3, 2) + bytes(29), "does not hold the 30 bytes"),
        (head(5, 3, 2) + bytes(31), "does not hold the 30 bytes"),
        (head(2**31, 2, 1), "claims to hold 4,294,967,296 bytes"),
    ],
)
def test_damaged_files(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "x-images-idx3-ubyte"
    path.write_bytes(data)
    with pytest.raises(InvsetError, match=told):
        load_images(path)


def test_files_that_do_not_fit_together(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "some-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head(4) + bytes(4)))
    with pytest.raises(InvsetError, match=r"4 labels, but .* has 5 pictures"):
        load_images(path)


@pytest.mark.parametrize("part", ["0-3", "4-3", "1-6"])
def test_parts_that_are_not_there(tmp_path: Path, part: str) -> None:
    with pytest.raises(InvsetError, match=f"the pictures 1 to 5, and no part {part}"):
        load_images(f"{written(tmp_path)}:{part}")
    with pytest.raises(InvsetError, match="no folder or archive of pictures"):
        load_images(tmp_path / "nothing-idx3-ubyte:1-2")

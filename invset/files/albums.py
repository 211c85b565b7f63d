"""Where pictures lie: a folder, a zip, a tar or an IDX file, from which one is read at a time.

Only regular files are read, and none before its size is known. What systems put beside files is
passed over.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from invset.errors import InvsetError
from invset.files.idx import is_idx, read_digits
from invset.files.reading import reading

#: Of the files that are read.
SUFFIXES = {
    *(".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm"),
}

#: Bytes of the largest file of a picture.
MOST_BYTES = 1 << 28

#: What systems put into folders, in small letters; macOS also puts a file ._x beside x.
_SYSTEM_FILES = {".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_SYSTEM_FOLDERS = {
    *("__macosx", ".appledouble", ".spotlight-v100", ".trashes", ".fseventsd"),
    *("$recycle.bin", "system volume information", "@eadir"),
}

_HINT = "give a folder, zip or tar of pictures"


@dataclass(frozen=True)
class Album:
    """Pictures of one folder or archive.

    Attributes:
        names: path of each inside, in alphabetical order.
        size: name -> bytes.
        read: name -> what the file holds; its size is looked at before.
        passed_over: what was passed over, in words; empty where nothing was.
    """

    names: list[str]
    size: Callable[[str], int]
    read: Callable[[str], bytes]
    passed_over: str


@contextmanager
def album(path: Path) -> Iterator[Album]:
    """Open a folder, an archive or an IDX file.

    Raises:
        InvsetError: it is neither, or damaged.
    """
    with ExitStack() as held:
        with reading(path, "a folder or archive of pictures", _HINT):
            found = _opened(path, held)
        yield found


def _opened(path: Path, held: ExitStack) -> Album:
    if path.is_dir():
        return _folder(path)
    if is_idx(path):
        return _digits(path)
    if path.is_file() and zipfile.is_zipfile(path):
        return _zip(held.enter_context(zipfile.ZipFile(path)))
    if path.is_file():
        file = held.enter_context(path.open("rb"))
        with suppress(_NoTar):
            return _tar(held.enter_context(_Tar.of(file)))
    raise InvsetError(f"{path} is neither a folder nor a zip or tar archive of pictures")


def _folder(path: Path) -> Album:
    found: list[Path] = []
    for folder, _, names in os.walk(path, onerror=_raise):
        found += [Path(folder, name) for name in names]
    files = {file.relative_to(path).as_posix(): file for file in sorted(found)}
    return _album(
        {name: file.is_file() for name, file in files.items()},
        lambda name: files[name].stat().st_size,
        lambda name: files[name].read_bytes(),
    )


def _zip(archive: zipfile.ZipFile) -> Album:
    parts = {part.filename: part for part in archive.infolist() if not part.is_dir()}

    def read(name: str) -> bytes:
        part = parts[name]
        if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is packed with bzip2 or LZMA; pack the zip with deflate")
        with archive.open(part) as file:
            return file.read(part.file_size)  # no more, whatever is packed there

    regular = dict.fromkeys(sorted(parts), True)
    return _album(regular, lambda name: parts[name].file_size, read)


def _tar(archive: tarfile.TarFile) -> Album:
    members = {member.name: member for member in archive.getmembers() if not member.isdir()}

    def read(name: str) -> bytes:
        file = archive.extractfile(members[name])
        assert file is not None  # it is regular
        return file.read()

    regular = {name: members[name].isfile() for name in sorted(members)}
    return _album(regular, lambda name: members[name].size, read)


def _digits(path: Path) -> Album:
    """Pictures of an IDX file, each as a file of a folder that is called as its label."""
    pictures, labels, numbers = read_digits(path)
    height, width = pictures.shape[1:]
    head = b"P5 %d %d 255\n" % (width, height)
    folders = np.zeros(len(pictures), int) if labels is None else labels
    places = {
        f"{folder}/{number:06d}.pgm": place
        for place, (folder, number) in enumerate(zip(folders.tolist(), numbers, strict=True))
    }
    return _album(
        dict.fromkeys(sorted(places), True),
        lambda name: len(head) + height * width,
        lambda name: head + pictures[places[name]].tobytes(),
    )


def _album(
    regular: Mapping[str, bool], size: Callable[[str], int], read: Callable[[str], bytes]
) -> Album:
    """The album of all names that are of pictures.

    Args:
        regular: name -> whether it is a regular file, in order.
        size, read: see `Album`.
    """

    def read_bounded(name: str) -> bytes:
        if size(name) > MOST_BYTES:
            raise ValueError(f"it has {size(name):,} bytes, more than {MOST_BYTES:,}")
        return read(name)

    files = [name for name in regular if not _is_system(PurePosixPath(name))]
    suffixes = {name: PurePosixPath(name).suffix.lower() for name in files}
    pictures = [name for name in files if suffixes[name] in SUFFIXES and regular[name]]
    others = Counter(
        suffixes[name] if regular[name] else "links, pipes or devices"
        for name in files
        if suffixes[name] not in SUFFIXES or not regular[name]
    )
    told = [f"{_files(others.total())} without a picture ({_listed(others)})"] if others else []
    if len(files) < len(regular):
        told.append(f"{_files(len(regular) - len(files))} of the operating system")
    return Album(pictures, size, read_bounded, " and ".join(told))


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _listed(others: Counter[str]) -> str:
    shown = [f"{count} {kind or 'without suffix'}" for kind, count in others.most_common(5)]
    return ", ".join([*shown, "…"] if len(others) > 5 else shown)


def _is_system(path: PurePosixPath) -> bool:
    *folders, name = (part.lower() for part in path.parts)
    return name in _SYSTEM_FILES or name.startswith("._") or not _SYSTEM_FOLDERS.isdisjoint(folders)


def _raise(error: OSError) -> None:
    raise error


class _NoTar(Exception):
    """A file that is no tar."""


class _Tar(tarfile.TarFile):
    """A tar whose headers can't make us reserve more than `MOST_BYTES`."""

    def __init__(
        self, name: str | None = None, mode: Any = "r", fileobj: Any = None, **options: Any
    ) -> None:
        super().__init__(name, mode, _Capped(fileobj), **options)

    @classmethod
    def of(cls, file: IO[bytes]) -> _Tar:
        """Read the first header, whatever the tar is compressed with.

        Raises:
            _NoTar: it can't be read.
        """
        try:
            return cls.open(fileobj=file)
        except tarfile.ReadError as error:
            raise _NoTar from error


class _Capped:
    """A file of which no more than `MOST_BYTES` are asked for at a time: Python reserves them
    before it reads.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > MOST_BYTES:
            raise tarfile.ReadError(f"a part claims to have {size:,} bytes")
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

"""One file out of a tar.gz or zip, without unpacking the rest."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from invset.hub.download import Unavailable

#: Bytes that a member may claim to have: four times the largest of the published files.
LARGEST = 1 << 30


def unpack(archive: Path, member: str, target: Path) -> None:
    """Write the first file of `archive` whose path ends in `member` to `target`; paths inside the
    archive are never used.

    Raises:
        Unavailable: it is no complete archive, or has no such file.
        OSError: `target` can't be written.
    """
    try:
        (_unzip if zipfile.is_zipfile(archive) else _untar)(archive, member, target)
    except Exception as error:  # decoders raise any
        target.unlink(missing_ok=True)
        if isinstance(error, Unavailable) or getattr(error, "errno", None):  # of the disk
            raise
        raise Unavailable(f"{archive.name} is no complete archive ({error})") from error


def _unzip(archive: Path, member: str, target: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for entry in bundle.infolist():
            if _fits(entry.filename, member):
                with bundle.open(
                    entry
                ) as stream:  # reading to the end compares the checksum that a zip holds
                    return _copy(stream, entry.file_size, target)
    raise Unavailable(f"{archive.name} holds no …{member}")


def _untar(archive: Path, member: str, target: Path) -> None:
    found = False
    with gzip.open(archive) as stream:
        with tarfile.open(fileobj=stream, mode="r|") as bundle:
            for entry in bundle:
                content = (
                    bundle.extractfile(entry)
                    if entry.isreg() and not found and _fits(entry.name, member)
                    else None
                )
                if content is not None:
                    _copy(content, entry.size, target)
                    found = True
        while stream.read(1 << 20):  # gzip compares its checksum at the end
            pass
    if not found:
        raise Unavailable(f"{archive.name} holds no …{member}")


def _fits(name: str, member: str) -> bool:
    # macOS puts a file ._x beside x
    return name.endswith(member) and not PurePosixPath(name).name.startswith("._")


def _copy(stream: IO[bytes], size: int, target: Path) -> None:
    if size > LARGEST:
        raise Unavailable(f"the file in it claims to have {size:,} bytes")
    with target.open("wb") as file:
        shutil.copyfileobj(stream, file, 1 << 20)
    if target.stat().st_size != size:
        raise EOFError(f"{target.stat().st_size:,} of {size:,} bytes")

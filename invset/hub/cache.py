"""The folder that published weights are kept in, and what is known about each file there.

Beside each file lies a small ``.json``: the sha256 that was seen when it came, and the size and
time by which a later run knows that it is still the same file, without reading 244 MB again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from invset.files.reading import read_json, reading
from invset.hub.cards import Source
from invset.whole import write_whole

log = logging.getLogger(__name__)


class Mismatch(Exception):
    """A file is not the published one, or not the one seen before; the message names both
    checksums.
    """


def cache_folder() -> Path:
    """``$INVSET_CACHE``, or the system's place for caches."""
    chosen = os.environ.get("INVSET_CACHE")
    return (
        Path(chosen).expanduser().absolute()
        if chosen
        else user_cache_path("invset", appauthor=False)
    )


@dataclass(frozen=True)
class Record:
    """What was seen when a file was checked."""

    sha256: str
    size: int
    mtime_ns: int
    origin: str


def record_file(path: Path) -> Path:
    """Where the record of `path` lies."""
    return path.with_name(f"{path.name}.json")


def recorded(path: Path) -> Record | None:
    """The record of `path`, which stays when the file goes: the next one to come has to be the
    same.

    Raises:
        InvsetError: a record that can't be read.
    """
    file = record_file(path)
    if not file.is_file():
        return None
    hint = "delete it, and the file is checked anew"
    with reading(file, "a record of the cache", hint):
        return Record(**read_json(file, "a record of the cache", hint))


def unchanged(path: Path) -> bool:
    """Whether `path` has the size and time it had when it was checked."""
    record = recorded(path)
    stat = path.stat()
    return record is not None and (record.size, record.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def remember(path: Path, sha256: str, origin: str) -> None:
    """Write the record of `path`; in a folder that can't be written, a shared one, the file is
    checked again each time.
    """
    stat = path.stat()
    text = json.dumps(asdict(Record(sha256, stat.st_size, stat.st_mtime_ns, origin)), indent=1)
    with contextlib.suppress(OSError):
        write_whole(record_file(path), partial(Path.write_text, data=text, encoding="utf-8"))


def check(file: Path, path: Path, source: Source, smallest: int) -> str:
    """Compare a file with the published checksum, or with the recorded one if none is published.

    Args:
        file: what to read.
        path: where it lies or will lie in the cache: its record is beside that.
        source: what it should be.
        smallest: bytes that a file without a published checksum has at least.

    Returns:
        Its sha256.

    Raises:
        Mismatch: it is another file.
    """
    algorithm, _, published = (source.checksum or "sha256:").partition(":")
    found = _hashes(file, {"sha256", algorithm})
    record = recorded(path)
    if published:
        if found[algorithm] != published:
            raise Mismatch(
                f"its {algorithm} is {found[algorithm]}, but that of the published file is"
                f" {published}"
            )
    elif file.stat().st_size < smallest:  # a parked domain answers everything with a page
        raise Mismatch(
            f"it has {file.stat().st_size:,} bytes, but the weights alone are {smallest:,}"
        )
    elif record is not None and record.sha256 != found["sha256"]:
        raise Mismatch(
            f"its sha256 is {found['sha256']}, but {record.sha256} when it was first seen; to"
            f" accept it, delete {record_file(path)}"
        )
    return found["sha256"]


def _hashes(file: Path, algorithms: set[str]) -> dict[str, str]:
    hashes = {
        name: hashlib.new(name, usedforsecurity=False) for name in algorithms
    }  # sha1 and md5 are what was published
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            for digest in hashes.values():
                digest.update(block)
    return {name: digest.hexdigest() for name, digest in hashes.items()}


@contextlib.contextmanager
def alone(lock_file: Path, doing: str) -> Iterator[None]:
    """One process at a time: the others wait, and find the file.

    Args:
        lock_file: made where it is missing; the system frees it where its process ends.
        doing: what the other process does, for who waits: "fetching this file".
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another process is %s; waiting for it", doing)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()

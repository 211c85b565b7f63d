"""Files that appear whole or not at all: written under a name that nobody can guess, put on the
disk, then renamed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_unfinished: set[Path] = set()


def write_whole(target: Path, how: Callable[[Path], Any]) -> None:
    """Let `how` write a temporary file beside `target`, and give it that name."""
    with unfinished(target) as file:
        how(file)
        put(file, target)


def put(file: Path, target: Path) -> None:
    """Give a file the name `target`, in a way that outlives a power failure."""
    to_disk(file)
    os.replace(file, target)
    to_disk(target.parent)


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Make a file beside `target` that was not there, with a name that nobody can guess. It is
    deleted at the end if it still has this name.
    """
    # the suffix stays last: writers choose the format by it
    path = target.with_name(f".part-{secrets.token_hex(8)}-{target.name}")
    _unfinished.add(path)  # before the file is there: a signal may come between
    try:
        # tempfile would make it for its owner alone; O_EXCL follows no link
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield path
    finally:
        path.unlink(missing_ok=True)
        _unfinished.discard(path)


def remove_unfinished() -> None:
    """Delete what is unfinished, because the process ends now."""
    for path in list(_unfinished):
        path.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would outlive a power failure."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folder
    fd = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

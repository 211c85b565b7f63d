"""Files that appear whole or not at all: written under a name that nobody can guess, put on the
disk, then renamed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_whole(target: Path, how: Callable[[Path], Any]) -> None:
    """Let `how` write a temporary file beside `target`, and give it that name."""
    temporary = new_file(target)
    try:
        how(temporary)
        put(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def put(file: Path, target: Path) -> None:
    """Give a file the name `target`, in a way that outlives a power failure."""
    to_disk(file)
    os.replace(file, target)
    to_disk(target.parent)


def new_file(target: Path) -> Path:
    """A file beside `target` that was not there, with a name that nobody can guess."""
    # the suffix stays last: writers choose the format by it
    path = target.with_name(f".part-{secrets.token_hex(8)}-{target.name}")
    # tempfile would make it for its owner alone; O_EXCL follows no link
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    return path


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would outlive a power failure."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folder
    fd = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

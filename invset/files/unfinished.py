"""Files that are being written: each has a temporary name until it is whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_paths: set[Path] = set()


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Give an empty file beside `target`, which gets its name when it is whole: rename it.

    The name can't be guessed, and no file had it before. The file is deleted if it still has this
    name at the end.
    """
    # the suffix stays last: writers choose the format by it
    path = target.with_name(f".part-{secrets.token_hex(8)}-{target.name}")
    _paths.add(path)  # before the file is there: a signal may come between
    try:
        # tempfile would make it for its owner alone; O_EXCL follows no link
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield path
    finally:
        path.unlink(missing_ok=True)
        _paths.discard(path)


def remove_unfinished() -> None:
    """Delete what is unfinished, because the process ends now."""
    for path in list(_paths):
        path.unlink(missing_ok=True)

"""The standard output and the standard error: closed, full, or at a pipe that nobody reads."""

from __future__ import annotations

import os
import sys


def open_streams() -> None:
    """Let what is printed to a stream that was closed, as by ``>&-``, go nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # till the end


def tell(text: str) -> None:
    """Say why a command ends: on the standard output, if the standard error can't be written."""
    try:
        print(f"invset: {text}", file=sys.stderr, flush=True)
    except OSError:
        print(f"invset: {text}", flush=True)


def give_up(error: OSError) -> None:
    """Say which stream can't be written, where one is left, and let Python write nothing more.

    Args:
        error: of a stream; it names no file.
    """
    broken = [name for name in ("stdout", "stderr") if not _writes(name)]
    for name in broken:  # Python flushes both again when it ends
        stream = getattr(sys, name)
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    # head and less close a pipe when they have enough: nobody waits for a sentence
    if broken and not isinstance(error, BrokenPipeError):
        names = " and ".join({"stdout": "output", "stderr": "error"}[name] for name in broken)
        tell(f"can't write to the standard {names} ({error.strerror})")


def _writes(name: str) -> bool:
    try:
        getattr(sys, name).flush()
    except OSError:
        return False
    return True

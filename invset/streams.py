"""The standard output and the standard error: closed, full, or at a pipe that nobody reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


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


def give_up(error: OSError, broken: Sequence[str]) -> None:
    """Say which streams can't be written, where one is left, and let Python write nothing more.

    Args:
        error: of a stream; it names no file.
        broken: "stdout", "stderr".
    """
    for name in broken:  # Python flushes both again when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), getattr(sys, name).fileno())
    # head and less close a pipe when they have enough: nobody waits for a sentence
    if isinstance(error, BrokenPipeError):
        return
    names = {"stdout": "output", "stderr": "error"}
    text = " and ".join(names[name] for name in broken)
    print(
        f"invset: can't write to the standard {text} ({error.strerror})",
        file=sys.stdout if "stderr" in broken else sys.stderr,
    )

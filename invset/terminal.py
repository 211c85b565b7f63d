"""What a terminal or a picture shows: text of any alphabet, from files and people."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Characters that a terminal acts on, those that turn the order of others around, and bytes that
#: are no text.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

#: How bars go back to the start of their line, or some lines up.
_MOVES = re.compile("\r|(?:\x1b\\[A)+$")


def plain(text: str) -> str:
    """A text with what a terminal would act on written out, as Python does; lines and tabs stay."""
    return _ACTING.sub(_written, text)


def one_line(text: str, most: int = 300) -> str:
    """A `plain` text on one line of a picture, of so many characters at most."""
    text = plain(" ".join(text.split()))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _written(found: re.Match[str]) -> str:
    byte = ord(found[0]) - 0xDC00  # of a file's name, as Python keeps it
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else ascii(found[0])[1:-1]


class Plain:
    """A stream that is shown: `plain` text, but for the moves of a bar.

    Attributes:
        broken: whether it could not be written.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        move = _MOVES.match(text)
        end = move.end() if move else 0
        try:
            self.stream.write(text[:end] + plain(text[end:]))
        except OSError:
            self.broken = True
            raise
        return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError:
            self.broken = True
            raise


@contextmanager
def shown() -> Iterator[tuple[Plain, Plain]]:
    """Let what is printed be `plain`; what the encoding of a stream lacks is written out, too."""
    streams = sys.stdout, sys.stderr
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    made = Plain(streams[0]), Plain(streams[1])
    sys.stdout, sys.stderr = made  # type: ignore[assignment]
    try:
        yield made
    finally:
        sys.stdout, sys.stderr = streams

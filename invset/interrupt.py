"""Signals that end a command: Ctrl-C, SIGTERM of a cluster, SIGHUP of a terminal that closes.

The first one raises `Interrupted`, so that what was computed is kept. The second one ends the
process at once; it leaves no unfinished file. Only the command line listens: nothing of a
script that imports invset is changed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from invset.whole import remove_unfinished

#: SIGHUP is not on Windows.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")

_received: list[int] = []


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end."""


@contextmanager
def listening() -> Iterator[None]:
    """Let signals end the command; those that are ignored, as by nohup, stay ignored."""
    _received.clear()
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number in numbers if before[number] != signal.SIG_IGN]
    for number in heard:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])


@contextmanager
def waiting() -> Iterator[None]:
    """Let signals wait until it ends: for what must not be left half-way, and is short."""
    if threading.current_thread() is not threading.main_thread():
        yield  # exceptions of signals are raised in the main thread alone
        return
    came: list[int] = []
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number in numbers if callable(before[number])]
    try:
        for number in heard:
            signal.signal(number, lambda one, _frame: came.append(one))
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
        for number in came:
            signal.raise_signal(number)


def received() -> bool:
    """Whether a signal asks the command to end."""
    return bool(_received)


def check() -> None:
    """Raise `Interrupted` if a signal has come whose exception was lost: Python drops one that is
    raised while an object is deleted.
    """
    if _received:
        raise Interrupted


def exit_code() -> int:
    """The exit code of a command that a signal has ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (_received[0] if _received else signal.SIGINT)


def _end(number: int, frame: Any) -> None:
    again = received()
    _received.append(number)
    if again:
        remove_unfinished()
        os._exit(exit_code())
    raise Interrupted

"""What a person sees while waiting: lines and bars, on the standard error beside the output.

All modules log to ``logging.getLogger(__name__)``: a warning is what a person should know, an info
is what goes on, and debug is what was done and how long it took. Loops that may last count in a
`bar`. A command listens (`listening`); nobody does for a script that imports invset: there no bar
is drawn, and the lines are the script's to show, as Python's logging has it.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from invset.errors import InvsetError

if TYPE_CHECKING:
    from tqdm import tqdm  # takes a tenth of a second, which only who sees a bar should pay

log = logging.getLogger(__name__)

#: Called as something goes on: how much is done, and how much there is, None while nobody knows.
Progress = Callable[[int, "int | None"], None]

#: Seconds that something lasts before its bar is drawn.
_DELAY = 2

#: Seconds between two lines in place of a bar, where no bar is drawn.
_PAUSE = 60


class Volume(IntEnum):
    """How much a command tells."""

    QUIET = -1
    NORMAL = 0
    STAGES = 1
    LIBRARIES = 2


#: What is typed for it.
FLAGS = {
    "-q": Volume.QUIET,
    "--quiet": Volume.QUIET,
    "-v": Volume.STAGES,
    "--verbose": Volume.STAGES,
    "-vv": Volume.LIBRARIES,
}

#: What every command's help says of them.
ABOUT_FLAGS = (
    "-q, --quiet: results and errors alone, no bars; -v, --verbose: also each stage and its time;"
    " -vv: also what libraries log."
)

#: Volume -> the least level of what invset tells, and of what others tell.
_LEVELS = {
    Volume.QUIET: (logging.ERROR, logging.ERROR),
    Volume.NORMAL: (logging.INFO, logging.WARNING),
    Volume.STAGES: (logging.DEBUG, logging.WARNING),
    Volume.LIBRARIES: (logging.DEBUG, logging.INFO),
}


def volume_typed(words: Sequence[str]) -> tuple[Volume, list[str]]:
    """Take the flags of the volume out of a command line.

    Raises:
        InvsetError: flags that contradict each other.
    """
    flags = [FLAGS[word] for word in words if word in FLAGS]
    rest = [word for word in words if word not in FLAGS]
    if Volume.QUIET in flags and max(flags) > Volume.QUIET:
        raise InvsetError("-q tells less and -v tells more; type one of them")
    if Volume.QUIET in flags:
        return Volume.QUIET, rest
    return Volume(min(sum(flags), Volume.LIBRARIES)), rest


class _Terminal(logging.Handler):
    """Prints lines for a person. A stream that can't be written ends the command, as for print.

    Attributes:
        volume: how much is printed.
        alone: whether no other process draws there.
        bars: whether a person wants bars, or lines in their place.
    """

    def __init__(self, volume: Volume, alone: bool) -> None:
        super().__init__()
        self.volume = volume
        self.alone = alone
        self.bars = volume > Volume.QUIET

    def filter(self, record: logging.LogRecord) -> bool:
        ours, others = _LEVELS[self.volume]
        return record.levelno >= (ours if is_ours(record) else others)

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record).rstrip()
        named = is_ours(record) or record.name == "py.warnings"
        text = text if named else f"{record.name}: {text}"
        if "tqdm" in sys.modules:
            from tqdm import tqdm

            tqdm.write(text, file=sys.stderr)  # above the bars
        else:
            print(text, file=sys.stderr, flush=True)


def is_ours(record: logging.LogRecord) -> bool:
    """Whether invset logged something, and no library."""
    return record.name.split(".")[0] == "invset"


def _listener() -> _Terminal | None:
    handlers = logging.getLogger().handlers
    return next((one for one in handlers if isinstance(one, _Terminal)), None)


def volume() -> Volume:
    """How much the command tells; nothing is told to a script, and of that the usual."""
    listener = _listener()
    return Volume.NORMAL if listener is None else listener.volume


def listen(volume: Volume, alone: bool = True) -> None:
    """Tell a person what goes on, till the process ends, in place of who listened before.

    Args:
        volume: how much.
        alone: draw bars on a terminal; False: another process draws there.
    """
    root = logging.getLogger()
    before = _listener()
    if before is not None:
        root.removeHandler(before)
    root.addHandler(_Terminal(volume, alone))
    logging.getLogger("invset").setLevel(logging.DEBUG)  # each handler takes what it wants
    if volume is Volume.LIBRARIES:
        root.setLevel(logging.INFO)
    logging.captureWarnings(True)


@contextmanager
def listening(volume: Volume) -> Iterator[None]:
    """`listen`, and leave Python's logging as it was."""
    root, ours, before = logging.getLogger(), logging.getLogger("invset"), _listener()
    levels, shown = (root.level, ours.level), warnings.showwarning
    listen(volume)
    try:
        yield
    finally:
        now = _listener()
        if now is not None:
            root.removeHandler(now)
        if before is not None:
            root.addHandler(before)
        root.setLevel(levels[0])
        ours.setLevel(levels[1])
        logging.captureWarnings(False)
        warnings.showwarning = shown


@contextmanager
def bars(shown: bool) -> Iterator[None]:
    """Draw bars or, for ``progress=false``, none."""
    listener = _listener()
    if listener is None or shown:
        yield
        return
    before, listener.bars = listener.bars, False
    try:
        yield
    finally:
        listener.bars = before


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Show what is waited for that can't be counted, and log how long it took."""
    begun = time.monotonic()
    shown = _draw(desc=title, bar_format="{desc} …") if _draws() else None
    try:
        yield
    finally:
        if shown is not None:
            shown.close()
    log.debug("%s: %.1f s", title, time.monotonic() - begun)


def _draws() -> bool:
    """Whether a person wants bars, and sees a terminal that no other process draws on."""
    listener = _listener()
    return listener is not None and listener.bars and listener.alone and sys.stderr.isatty()


def _draw(**how: Any) -> tqdm:
    """Something on the terminal that goes at its end."""
    from tqdm import tqdm

    return tqdm(leave=False, **how)


def quiet(done: int, total: int | None) -> None:
    """Show nothing."""


class Bar:
    """Shows how far something is, and the time that is left: a `Progress`.

    Where no bar is drawn, because the standard error is a file or another process draws there, a
    line a minute is logged in its place. The first call says what is done at the beginning.

    Args:
        title: what is waited for.
        unit: what is counted: "image"; of "B", bytes, thousands are abbreviated.

    Attributes:
        title: as given; it may change.
        about: what is told behind the time that is left.
        done, total: as told last; None while nobody knows the total.
    """

    def __init__(self, title: str, unit: str) -> None:
        self.title = title
        self.about = ""
        self._unit = unit
        self._begun = self._said = time.monotonic()
        self._first: int | None = None
        self.done = 0
        self.total: int | None = None
        listener = _listener()
        self._wanted = listener is not None and listener.bars
        self._drawn = self._bar() if _draws() else None

    def _bar(self) -> tqdm:
        return _draw(
            desc=self.title,
            unit=self._unit,
            unit_scale=self._unit == "B",
            delay=_DELAY,
            smoothing=0,  # the mean rate tells the time left: parts differ
        )

    def __call__(self, done: int, total: int | None) -> None:
        if self._first is None:
            self._first = done  # it has taken no time here
        self.done, self.total = done, total
        if self._drawn is not None:
            self._drawn.initial = self._first
            self._drawn.total = total
            self._drawn.set_description_str(self.title, refresh=False)
            self._drawn.set_postfix_str(self.about, refresh=False)
            self._drawn.update(done - self._drawn.n)
        if time.monotonic() - self._said > _PAUSE:
            self._said = time.monotonic()
            instead = self._wanted and self._drawn is None
            log.log(logging.INFO if instead else logging.DEBUG, "%s", self._line())

    def _line(self) -> str:
        from tqdm import tqdm

        return tqdm.format_meter(
            self.done,
            self.total,  # type: ignore[arg-type]
            time.monotonic() - self._begun,
            ncols=0,
            prefix=self.title,
            unit=self._unit,
            unit_scale=self._unit == "B",
            postfix=self.about,
            initial=self._first or 0,
        )

    def close(self) -> None:
        """Take the bar away, and log what was done."""
        if self._drawn is not None:
            self._drawn.close()
        seconds = time.monotonic() - self._begun
        many = "s" if self.done != 1 and self._unit != "B" else ""
        log.debug("%s: %d %s%s, %.1f s", self.title, self.done, self._unit, many, seconds)


@contextmanager
def bar(title: str, unit: str) -> Iterator[Bar]:
    """A `Bar` that goes at the end."""
    made = Bar(title, unit)
    try:
        yield made
    finally:
        made.close()

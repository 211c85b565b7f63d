"""``run.log`` in the folder of a run: what was told, whatever the volume, and when.

It is written anew with every line, like each file of the folder whole or not at all, so that what
is there of a run that was killed is still known as the run's own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from invset import __version__
from invset.errors import InvsetError, brief
from invset.files.ledger import LOG
from invset.files.rundir import RunDir
from invset.progress import is_ours
from invset.terminal import plain

log = logging.getLogger(__name__)

#: Its lines: time, level, who says it, what.
_FORM = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class RunLog(logging.Handler):
    """Keeps lines until a folder is known to be the run's, then writes them there."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(_FORM))
        self._text = ""
        self._rundir: RunDir | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        return is_ours(record) or record.levelno >= logging.WARNING

    def emit(self, record: logging.LogRecord) -> None:
        # a line that goes on is set in, so that none looks like another one
        self._text += plain(self.format(record)).replace("\n", "\n    ") + "\n"
        self._write()

    def go_on_in(self, rundir: RunDir) -> None:
        """Write there from now on, behind what the log of an interrupted run holds."""
        if self._rundir is not None:
            return
        path = rundir / LOG
        before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        self._text = before + self._text
        self._rundir = rundir
        self._write()

    def ended(self, error: BaseException) -> None:
        """Add why it ended, which others tell a person: of a defect with where it is."""
        told = brief(str(error)) or type(error).__name__
        known = isinstance(error, InvsetError) or not isinstance(error, Exception)
        where = None if known else (type(error), error, error.__traceback__)
        record = log.makeRecord(log.name, logging.ERROR, "", 0, "%s", (told,), where)
        with suppress(InvsetError):  # the disk is full: then that is what `error` says
            self.handle(record)

    def _write(self) -> None:
        if self._rundir is not None:
            self._rundir.write(LOG, partial(Path.write_text, data=self._text, encoding="utf-8"))


@contextmanager
def logged() -> Iterator[None]:
    """Keep a log of a command, for a folder that `log_in` names."""
    root = logging.getLogger()
    made = RunLog()
    root.addHandler(made)
    begun = time.monotonic()
    log.debug("invset %s", __version__)
    try:
        yield
        log.debug("ended after %.1f s", time.monotonic() - begun)
    except BaseException as error:
        made.ended(error)
        raise
    finally:
        root.removeHandler(made)


def log_in(rundir: RunDir) -> None:
    """Write the command's log into its folder, if one is kept: a script's is not."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, RunLog):
            handler.go_on_in(rundir)

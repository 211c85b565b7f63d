"""Jobs that take turns: each has a thread, and one thread runs at a time.

A job runs until it asks for a pass, then the next one does. When all that go on wait for passes,
these are taken, and the jobs go on in their order. No clock decides anything, so that the same jobs
give the same bytes. Hydra's configuration, which is the process's, is exchanged with the thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

from hydra.core.hydra_config import HydraConfig

from invset import interrupt


class Pause:
    """Asked for by a job that waits for something else than a pass.

    Attributes:
        seconds: to wait if all the others do as well.
    """

    answer = None
    error = None

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Member:
    """A job among others.

    Args:
        group: its own.
        work: the job.
    """

    def __init__(self, group: Group, work: Callable[[], object]) -> None:
        self.group = group
        self.error: BaseException | None = None
        self.ask: Any = None
        self.hydra = HydraConfig.instance().cfg
        self._go = threading.Event()
        self._back = threading.Event()
        context = copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run, work), daemon=True)

    @property
    def ended(self) -> bool:
        """Whether the job came to an end."""
        return self._back.is_set() and self.ask is None

    def wait(self, ask: Any) -> Any:
        """Called by the job: let the others run until there is an answer.

        Raises:
            Interrupted: a signal asks the jobs to end.
            BaseException: what was raised in place of an answer.
        """
        self.ask = ask
        self._back.set()
        self._go.wait()
        self._go.clear()
        if self.group.interrupted or interrupt.received():
            raise interrupt.Interrupted
        if ask.error is not None:
            raise ask.error
        return ask.answer

    def go_on(self) -> None:
        """Let the job run until it asks for something, or ends."""
        outer = HydraConfig.instance().cfg
        self.group.heeding(self._begin_turn)
        while not self._back.is_set():
            self.group.heeding(self._back.wait)
        HydraConfig.instance().cfg = outer

    def _begin_turn(self) -> None:
        with interrupt.waiting():  # a turn is given or not
            HydraConfig.instance().cfg = self.hydra
            self.ask = None
            self._back.clear()
            if self._thread.ident is None:
                self._thread.start()
            else:
                self._go.set()

    def _run(self, work: Callable[[], object]) -> None:
        _member.set(self)
        try:
            work()
        except BaseException as error:  # told by the thread that began it
            self.error = error
        finally:
            self._back.set()


_member: ContextVar[Member | None] = ContextVar("_member", default=None)


class Group:
    """Jobs that may share passes.

    Args:
        key: what they have in common.

    Attributes:
        members: the jobs, in their order.
        interrupted: whether a signal asks them to end.
        settings: what holds in the process until all have ended.
        gpu: number of the GPU that they have; empty before the first asks, None: there is none.
    """

    def __init__(self, key: Any) -> None:
        self.key = key
        self.members: list[Member] = []
        self.interrupted = False
        self.settings = ExitStack()
        self.gpu: list[int | None] = []

    def heeding(self, function: Callable[[], object]) -> None:
        """Call a function; a signal that comes meanwhile ends the jobs at their next turn."""
        try:
            function()
        except KeyboardInterrupt:
            self.interrupted = True

    def add(self, work: Callable[[], object]) -> None:
        """Begin a job."""
        member = Member(self, work)
        self.members.append(member)
        member.go_on()

    def drain(self) -> None:
        """Let all jobs come to an end."""
        from invset.problem.shared_passes import SharedPasses

        passes = SharedPasses()
        while not all(one.ended for one in self.members):
            self.heeding(partial(self._turn, passes))
        self.settings.close()

    def _turn(self, passes: Any) -> None:
        """Take passes that are waited for, and let those go on who waited."""
        waiting = [one for one in self.members if not one.ended]
        asked = [one.ask for one in waiting]
        # a job that is to end needs no answer
        answered = asked if self.interrupted else _answered(passes, asked)
        for member in waiting:
            if any(member.ask is one for one in answered):
                member.go_on()

    def check(self) -> None:
        """Raise what the first job raised that raised anything."""
        errors = [one.error for one in self.members if one.error is not None]
        if errors:
            raise errors[0]
        if self.interrupted:
            raise KeyboardInterrupt


def _answered(passes: Any, asked: list[Any]) -> list[Any]:
    """What has an answer now."""
    pauses = [one for one in asked if isinstance(one, Pause)]
    if len(pauses) == len(asked):
        time.sleep(pauses[0].seconds)
    return [*pauses, *passes.take([one for one in asked if not isinstance(one, Pause)])]


def member() -> Member | None:
    """The job of this thread, if it is one among others."""
    return _member.get()


def beside() -> int:
    """Jobs that run side by side with this one, itself among them."""
    one = _member.get()
    return 1 if one is None else len(one.group.members)


def pause(seconds: float) -> None:
    """Wait for something else than a pass; the others go on."""
    one = _member.get()
    if one is None:
        time.sleep(seconds)
    else:
        one.wait(Pause(seconds))

"""What a study may spend, in code-steps and in seconds, shared out among its parts."""

from __future__ import annotations

import math
import time
from types import TracebackType

from invset.progress import Bar

#: Cost of a forward pass of one code, in code-steps; see `invset.core.target.Meter`.
FORWARD = 1 / 3


class Spending:
    """Counts what is spent, and shows a bar with the time that is left.

    Args:
        planned: code-steps of everything that is to be done.
        code_steps: that may be spent; None: no limit.
        seconds: that may be spent; None: no limit.

    Attributes:
        planned: code-steps of everything.
        spent: code-steps so far.
        step: share of what may be spent that was counted last.
        cut: whether something was left out.
    """

    def __init__(self, planned: float, code_steps: float | None, seconds: float | None) -> None:
        self.planned = planned
        self._code_steps = math.inf if code_steps is None else code_steps
        self._seconds = math.inf if seconds is None else seconds
        self._started = time.monotonic()
        self._before = 0.0  # `used` when something was counted last
        self.step = 0.0
        self.spent = 0.0
        self.cut = False
        self._bar = Bar("probing", "code-step")
        self._bar(0, round(planned))

    def __enter__(self) -> Spending:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    @property
    def seconds(self) -> float:
        """Since it was begun."""
        return time.monotonic() - self._started

    @property
    def used(self) -> float:
        """Share of what may be spent; 0: nothing, 1 and more: all."""
        return max(self.spent / self._code_steps, self.seconds / self._seconds)

    @property
    def limit(self) -> str:
        """Which of the two limits is nearer."""
        by_cost = self.spent / self._code_steps >= self.seconds / self._seconds
        return "code_steps" if by_cost else "seconds"

    def part(self, share: float) -> float:
        """What `used` will be when a share of what is left has been spent."""
        return self.used + share * max(0.0, 1 - self.used)

    def begin(self, title: str) -> None:
        """Say what is waited for."""
        self._bar.title = title

    def spend(self, code_steps: float) -> None:
        """Count, and show how far it is: the bar ends where the time does."""
        self.spent += code_steps
        self.step = self.used - self._before
        self._before = self.used
        rate = self.spent / max(self.seconds, 1e-9)
        within = self.spent + rate * max(0.0, self._seconds - self.seconds)
        total = max(1, round(min(self.planned, self._code_steps, within)))
        self._bar(round(self.spent), total)

    def goes_on(self, mark: float, need: float | None = None) -> bool:
        """Whether a part that ends at `mark` has room for more; remembers that it had not.

        Args:
            mark: what `used` may become.
            need: what more will take, as a share; None: as much as was counted last.
        """
        if self.used + (self.step if need is None else need) <= mark:
            return True
        self.cut = True
        return False

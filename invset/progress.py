"""What a person sees while waiting: lines and bars beside the output.

Only the commands, and what fetches weights or reads files for them, speak. Everything else is given
a `Progress` to call, and is silent without one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called as something goes on: how much is done, and how much there is, None while nobody knows.
Progress = Callable[[int, int | None], None]


def quiet(done: int, total: int | None) -> None:
    """Show nothing."""


def say(text: str) -> None:
    """Tell a person what goes on."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def bar(title: str, unit: str, delay: float = 0, shown: bool = True) -> Iterator[Progress]:
    """A bar that goes when it is full; nothing where the output goes to a file.

    Args:
        title: what is waited for.
        unit: what is counted: "image"; of "B", bytes, thousands are abbreviated.
        delay: seconds before it is shown, so that what is short shows none.
        shown: whether a person wants bars at all.
    """
    from tqdm import tqdm  # takes a tenth of a second, which only who waits should pay

    with tqdm(
        desc=title,
        unit=unit,
        unit_scale=unit == "B",
        disable=None if shown else True,
        leave=False,
        delay=delay,
    ) as made:

        def show(done: int, total: int | None) -> None:
            made.total = total
            made.update(done - made.n)

        yield show

"""Which samples are shown where not all can be: the same rule for every method, picture and
page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Most samples that a page shows, and that are laid out for it.
MOST = 1000


def spread(values: Sequence[float] | np.ndarray, count: int) -> list[int]:
    """Places of `count` of the values, with shape (n,), evenly from the lowest to the highest."""
    order = np.argsort(values, kind="stable")
    if not len(order):
        return []
    evenly = np.linspace(0, len(order) - 1, min(count, len(order)))
    return order[evenly.round().astype(int)].tolist()


def shown(values: Sequence[float] | np.ndarray, most: int = MOST) -> list[int]:
    """Places of the samples of a page, in order: all, or `most` of them by `spread`."""
    return sorted(spread(values, most)) if len(values) > most else list(range(len(values)))


def one_of_each(groups: Sequence[int], values: Sequence[float]) -> list[int]:
    """Places of the last value of each group, such as a chain, in order of the values."""
    last = {group: place for place, group in enumerate(groups)}
    return sorted(last.values(), key=lambda place: values[place])

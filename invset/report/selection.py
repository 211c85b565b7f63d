"""Which samples are shown where not all can be: the same rule for every method, picture and
page.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread(values: Sequence[float] | np.ndarray, count: int) -> list[int]:
    """Places of `count` of the values, with shape (n,), evenly from the lowest to the highest."""
    order = np.argsort(values, kind="stable")
    return (
        order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)].tolist()
        if len(order)
        else []
    )

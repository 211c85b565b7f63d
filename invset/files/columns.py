"""Whether what is said of a table's columns fits together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from invset.errors import InvsetError, did_you_mean


def check_columns(
    names: Sequence[str],
    ends: Mapping[str, Sequence[float]],
    counted: Collection[str],
    words: Mapping[str, Sequence[str]],
) -> None:
    """Raise `InvsetError` unless every column is named once, and has bounds or categories.

    Args:
        names: of the columns.
        ends: lowest and highest value, by name.
        counted: names of the columns that hold whole numbers.
        words: categories, by name.
    """
    if not names or len(set(names)) < len(names):
        raise InvsetError(
            f"columns= names every column once, not {list(names)}; for example"
            " 'network.medium.columns=[age,income]'"
        )
    check_known("bounds", ends, names)
    check_known("integers", counted, names)
    check_known("categories", words, names)
    for name, held in words.items():
        if len(held) < 2 or len(set(held)) < len(held) or name in ends or name in counted:
            raise InvsetError(
                "a categorical column has two categories at least, of different names, and no"
                f" bounds; {name} has {list(held)}"
            )
    for name in names:
        if name not in words:
            _check_bounds(name, ends.get(name, ()), name in counted)


def check_known(key: str, given: Iterable[str], names: Sequence[str]) -> None:
    """Raise `InvsetError` for a name of no column.

    Args:
        key: what is typed.
        given: the names that it has.
        names: of the columns.
    """
    for name in map(str, given):
        if name not in names:
            raise InvsetError(
                f"{key}= names {name!r}, which is no column.{did_you_mean(name, names)}"
                f" Columns: {', '.join(names)}"
            )


def _check_bounds(name: str, pair: Sequence[float], whole: bool) -> None:
    if (
        len(pair) != 2
        or not all(isinstance(end, (int, float)) and math.isfinite(end) for end in pair)
        or not np.float32(pair[0]) < np.float32(pair[1])
        or (whole and any(end != int(end) or abs(end) > 2**24 for end in pair))
    ):
        numbers = "whole numbers up to 2^24" if whole else "numbers"
        raise InvsetError(
            f"column {name} needs its lowest and highest value, two {numbers}, not"
            f" {list(pair)}; for example 'network.medium.bounds={{{name}: [0,100]}}'"
        )

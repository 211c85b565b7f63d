"""Checks of plain numbers, free of torch, so that a typing mistake is told at once."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Iterable
from typing import Any

from invset.errors import InvsetError, did_you_mean

#: Words for where a channel is read in maps and tokens, beside register1, register2, …
POSITIONS = ("center", "max", "mean", "cls")

#: Parts of code space by name; see `Problem.region`.
PRIORS = ("auto", "natural", "clip", "none")

#: What a sampler may aim at: see `invset.core.goal`.
GOALS = ("range", "max", "min")

#: Largest end of a range: widths stay below what float32 holds.
LARGEST = 1e38

#: Narrowest range about zero: squares of 1 / width stay far below what float32 holds.
NARROWEST = 1e-12


def plain(value: Any) -> Any:
    """A number of NumPy or PyTorch as Python's own; anything else as it is."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def goal_of(component: object) -> str:
    """The goal of a sampler, of a study or of their options; "range" where there is no such
    option.
    """
    return getattr(component, "goal", "range")


def check_kind(key: str, value: Any, kinds: type | tuple[type, ...], allowed: str) -> None:
    """Raise `InvsetError` unless an argument is of some classes.

    Args:
        key: the argument.
        value: what was given.
        kinds: the classes.
        allowed: what may be given, in words.
    """
    if not isinstance(value, kinds) or isinstance(value, type):
        given = value.__name__ if isinstance(value, type) else type(value).__name__
        what = "the class" if isinstance(value, type) else "a value of type"
        raise InvsetError(f"{key} must be {allowed}, not {what} {given}")


def is_number(value: Any) -> bool:
    """Whether a value is a number, and not NaN, true or false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value)


def is_whole(value: Any, low: int = 0) -> bool:
    """Whether a value is a whole number of at least `low`."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= low


def check_choice(key: str, value: Any, allowed: Iterable[str], more: str = "") -> None:
    """Raise `InvsetError` unless `value` is one of a few words.

    Args:
        key: what is typed before ``=``.
        value: what was typed behind it.
        allowed: the words.
        more: what may be typed in place of a word.
    """
    words = list(allowed)
    if value not in words:
        *first, last = [*words, more] if more else words
        raise InvsetError(
            f"{key} must be {', '.join(first)} or {last}, not"
            f" {value!r}.{did_you_mean(value, words)}"
        )


def check_position(position: Any) -> str | int | tuple[int, int]:
    """A position in a layer, as a word, a token's number or (y, x). Whether the layer has it is
    checked where the layer is known: `invset.problem.neuron.locate`.

    Raises:
        InvsetError: it is none of these.
    """
    if isinstance(position, str):
        if not re.fullmatch(r"register[1-9]\d*", position):
            check_choice("position", position, POSITIONS, "register1, a token's number, [y, x]")
        return position
    position = plain(position)
    if _is_index(position):
        return int(position)
    try:
        y, x = map(plain, position)
    except (TypeError, ValueError):
        y = None
        x = None
    if not (_is_index(y) and _is_index(x)):
        raise InvsetError(
            f"position is a word, one whole number (a token's) or two whole numbers [y, x], from 0,"
            f" not {position}; for example 'position=[0,3]'"
        )
    return int(y), int(x)


def _is_index(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= 0


def check_range(z1: Any, z2: Any) -> None:
    """Raise `InvsetError` unless z1 < z2, both numbers that float32 holds and tells well apart."""
    z1 = plain(z1)
    z2 = plain(z2)
    if not (_is_real(z1) and _is_real(z2)):
        raise InvsetError(
            f"z1 and z2 must be two numbers, not {z1} and {z2}; for example z1=3 z2=4"
        )
    if any(isinstance(z, float) and not math.isfinite(z) for z in (z1, z2)):
        raise InvsetError(f"z1 and z2 must be finite, not {z1} and {z2}; for example z1=3 z2=4")
    if max(abs(z1), abs(z2)) > LARGEST:
        raise InvsetError(
            f"z1 and z2 must lie between -{LARGEST:g} and {LARGEST:g}; for example z1=3 z2=4"
        )
    if z1 >= z2:
        raise InvsetError(
            f"z1 must be below z2, but z1={z1:g} and z2={z2:g}; for example z1={z2:g}"
            f" z2={z2 + max(1, z1 - z2):g}"
        )
    smallest = smallest_width(z1, z2)
    if z2 - z1 < smallest:
        low, high = as_words(z1, z1 + 2 * smallest)
        raise InvsetError(
            f"the range from z1={z1!r} to z2={z2!r} is narrower than float32 can tell apart at that"
            f" size; the smallest width is {smallest:.2g}, for example z1={low} z2={high}"
        )


def smallest_width(z1: float, z2: float) -> float:
    """Width of the narrowest range that can be sampled between such ends: 16 steps of float32 at
    the larger one, as rounding takes some at either end.
    """
    _, power = math.frexp(max(abs(z1), abs(z2)))
    return max(16 * 2.0 ** (power - 24), NARROWEST)


def as_words(z1: float, z2: float, digits: int = 6) -> tuple[str, str]:
    """The ends of a range with as many digits as tell them apart, and no fewer than `digits`."""
    width = abs(z2 - z1)
    size = max(abs(z1), abs(z2))
    if 0 < width < size < math.inf:
        digits = max(digits, math.ceil(math.log10(size / width)) + 2)
    return f"{z1:.{digits}g}", f"{z2:.{digits}g}"


def _is_real(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def check_batch(K: int, n: int) -> None:
    """Raise `InvsetError` unless K <= n."""
    if n < K:
        raise InvsetError(
            f"K={K} codes at a time are more than the n={n} samples asked for; type K={n} or a"
            " larger n"
        )


def check_widths(key: str, widths: Any, count: int | None = None) -> None:
    """Raise `InvsetError` unless `widths` are whole numbers from 1 to a million.

    Args:
        key: what is typed.
        widths: channels or units of layers.
        count: how many there must be; None: any number.
    """
    listed = None if isinstance(widths, str) or not hasattr(widths, "__len__") else list(widths)
    fits = listed is not None and all(is_whole(one, 1) and one <= 10**6 for one in listed)
    if not fits or (count is not None and len(listed or ()) != count):
        many = "" if count is None else f"{count} "
        raise InvsetError(f"{key} must be {many}whole numbers from 1 to 1000000, not {widths}")

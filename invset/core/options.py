"""Options of a component: fields of its frozen dataclass, with default, bounds and words together.

    @dataclass(frozen=True)
    class Stream:
        K: int = option(10, at_least=1)
        walk: float = option(0.85, above=0, at_most=1)
        step: str = option("gauss_newton", words=("gauss_newton", "newton"))

        def __post_init__(self) -> None:
            check_options(self, "sampler")

The same bounds are checked before torch is imported, from the source of the class
(`invset.config.schema`), and when the class is used from Python.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from invset.errors import InvsetError, did_you_mean


@dataclass(frozen=True)
class Bounds:
    """What a value may be.

    Attributes:
        at_least, above: lower bound, with the bound itself or without.
        at_most, below: upper bound, with the bound itself or without.
        words: the words that a text may be.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    words: tuple[str, ...] | None = None

    def sentence(self) -> str:
        """The bounds in words, for example ``above 0 and at most 1``."""
        named = (
            ("at least", self.at_least),
            ("above", self.above),
            ("at most", self.at_most),
            ("below", self.below),
        )
        return " and ".join(f"{word} {end:g}" for word, end in named if end is not None)

    def hold(self, value: float) -> bool:
        """Whether a number lies within the bounds; NaN never does."""
        return not (
            math.isnan(value)
            or (self.at_least is not None and value < self.at_least)
            or (self.above is not None and value <= self.above)
            or (self.at_most is not None and value > self.at_most)
            or (self.below is not None and value >= self.below)
        )


def option(
    default: Any = MISSING,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    words: tuple[str, ...] | None = None,
) -> Any:
    """A dataclass field with bounds; see `Bounds`."""
    bounds = Bounds(at_least, above, at_most, below, words)
    return field(default=default, metadata={"bounds": bounds})


def check_option(key: str, value: Any, kind: str, bounds: Bounds, example: Any) -> None:
    """Raise `InvsetError` unless `value` has the type of its annotation and lies within its bounds.

    Args:
        key: what a person types, for example ``sampler.walk``.
        value: what was given.
        kind: the annotation: "int", "float", "bool", "str", or one of these with ``| None``;
            others are not checked.
        bounds: of numbers, and words of a text.
        example: a value that is allowed, for the sentence.

    Raises:
        InvsetError: another type, a number outside its bounds, or an unknown word.
    """
    kind, _, optional = kind.partition(" | ")
    if optional == "None" and value is None:
        return
    if bounds.words is not None:
        if value not in bounds.words:
            hint = did_you_mean(value, bounds.words)
            raise InvsetError(
                f"{key}={value} is unknown.{hint} Type {key}={' or '.join(bounds.words)}"
            )
        return
    name = {"int": "a whole number", "float": "a number", "bool": "true or false"}.get(kind)
    if name is None:
        return
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    right = {
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": number,
        "bool": isinstance(value, bool),
    }[kind]
    if not right or (kind != "bool" and not bounds.hold(value)):
        within = bounds.sentence()
        shown = str(example).lower() if isinstance(example, bool) else example
        raise InvsetError(
            f"{key} must be {name}{' ' if within else ''}{within}, not {value};"
            f" for example {key}={shown}"
        )


def check_options(component: Any, group: str = "") -> None:
    """Check every field of a dataclass instance; for its ``__post_init__``.

    Args:
        component: an instance of a dataclass whose fields may be made by `option`.
        group: what stands before the fields' names when they are typed, for example "sampler".

    Raises:
        InvsetError: as `check_option`.
    """
    for one in fields(component):
        bounds = one.metadata.get("bounds", Bounds())
        key = f"{group}.{one.name}" if group else one.name
        example = 1 if one.default is MISSING else one.default
        check_option(key, getattr(component, one.name), str(one.type), bounds, example)

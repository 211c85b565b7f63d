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
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from invset.core.checks import check_choice, plain
from invset.errors import InvsetError

#: Annotation -> what a person is told.
_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "Sequence[str]": "a list of texts",
    "Sequence[int]": "a list of whole numbers",
}


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
        """The bounds in words, for example ``above 0 and at most 1``, or ``of at least 1``."""
        named = (
            ("at least", self.at_least),
            ("above", self.above),
            ("at most", self.at_most),
            ("below", self.below),
        )
        text = " and ".join(f"{word} {_end(end)}" for word, end in named if end is not None)
        return f"of {text}" if text.startswith("at") else text

    def allowed(self, kind: str) -> str:
        """What a value may be, in words.

        Args:
            kind: the field's annotation.
        """
        plain, *others = kind.split(" | ")
        name = "a list" if plain.startswith("Sequence") else plain
        text = f"{_NAMES.get(plain, name)} {self.sentence()}".rstrip()
        if self.words is not None and takes_numbers(kind):
            text = f"{', '.join(self.words)} or {text}"
        elif self.words is not None:
            text = " or ".join([", ".join(self.words[:-1]), self.words[-1]])
        return f"{text}, or null" if "None" in others else text

    def hold(self, value: float) -> bool:
        """Whether a number lies within the bounds; NaN never does."""
        return not (
            (isinstance(value, float) and math.isnan(value))
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


def check_option(key: str, value: Any, kind: str, bounds: Bounds, default: Any = MISSING) -> None:
    """Raise `InvsetError` unless `value` has the type of its annotation and lies within its bounds.

    Args:
        key: what a person types, for example ``sampler.walk``.
        value: what was given.
        kind: the annotation: "int", "float", "bool", "str", "int | str", "Sequence[str]",
            "Sequence[int]", or one of these with ``| None``; others are not checked.
        bounds: of numbers, and words of a text.
        default: of the option, an example for the sentence; MISSING or None if there is none.

    Raises:
        InvsetError: another type, a number outside its bounds, or an unknown word.
    """
    plain, *others = kind.split(" | ")
    if value is None and "None" in others:
        return
    if bounds.words is not None and not takes_numbers(kind):
        word = str(value).lower() if isinstance(value, bool) else value
        check_choice(key, word, bounds.words)
        return
    if plain not in _NAMES or not {*others} <= {"None", "str"}:
        return
    if isinstance(value, str) and "str" in others and value in (bounds.words or ()):
        return
    if _is(plain, value) and (plain not in ("int", "float") or bounds.hold(value)):
        if _is("int", value) and abs(value) >= 2**63:  # no tensor holds it
            raise InvsetError(f"{key} must be below 2^63, not {value}")
        return
    if "str" in kind:
        raise InvsetError(f"{key} must be {bounds.allowed(kind)}, not {value}")
    example = f"; for example {key}={_example(plain, bounds, default)}"
    raise InvsetError(f"{key} must be {bounds.allowed(kind)}, not {value}{example}")


def takes_numbers(kind: str) -> bool:
    """Whether an annotation, such as "int | str | None", allows numbers beside words."""
    return kind.split(" | ")[0] in ("int", "float")


def _end(value: float) -> str:
    """A bound as a person reads it: 2^63, not 9.22337e+18."""
    power = math.log2(value) if value > 2**20 else 0.5
    return f"2^{power:.0f}" if power.is_integer() and value < math.inf else f"{value:g}"


def _is(kind: str, value: Any) -> bool:
    if kind.startswith("Sequence"):
        inner = kind.removeprefix("Sequence[").removesuffix("]")
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        return listed and all(_is(inner, one) for one in value)
    if kind == "str":
        return isinstance(value, str)
    if isinstance(value, bool):
        return kind == "bool"
    return isinstance(value, (int, float) if kind == "float" else int) and kind != "bool"


def _example(kind: str, bounds: Bounds, default: Any) -> str:
    if kind == "bool":
        return "true"
    if default is MISSING or default is None:
        default = bounds.at_least or 1
    return f"{default:g}" if isinstance(default, float) else str(default)


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
        value = plain(getattr(component, one.name))
        check_option(key, value, str(one.type), bounds, one.default)
        if type(value) in (int, float, bool):
            object.__setattr__(component, one.name, value)  # a number of NumPy as Python's

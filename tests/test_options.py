"""What an option may be, and what a person is told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest

from invset.core.options import Bounds, check_option, check_options, option
from invset.errors import InvsetError

WORDS = Bounds(words=("near", "far"))
SHARE = Bounds(above=0, at_most=1)

GOOD: list[tuple[Any, str, Bounds]] = [
    (3, "int", Bounds(at_least=3)),
    (2.5, "float", Bounds()),
    (2, "float", Bounds()),
    (math.inf, "float", Bounds(above=0)),
    (1, "float", SHARE),
    (None, "int | None", Bounds(at_least=1)),
    (True, "bool", Bounds()),
    ("far", "str", WORDS),
    (False, "bool | str", Bounds(words=("auto", "false"))),
    ("any", "str", Bounds()),
    ([1], "Sequence[int]", Bounds()),
]


@pytest.mark.parametrize(("value", "kind", "bounds"), GOOD)
def test_what_an_option_may_be(value: Any, kind: str, bounds: Bounds) -> None:
    check_option("x", value, kind, bounds)


BAD: list[tuple[Any, str, Bounds, Any, str]] = [
    (2, "int", Bounds(at_least=3), 5, "a whole number of at least 3, not 2; for example x=5"),
    (2.0, "int", Bounds(), 5, "x must be a whole number, not 2.0; for example x=5"),
    (True, "int", Bounds(), 5, "x must be a whole number, not True"),
    (True, "float", Bounds(), 0.5, "x must be a number, not True; for example x=0.5"),
    (math.nan, "float", Bounds(), 1.0, "x must be a number, not nan; for example x=1"),
    (0, "float", SHARE, 0.85, "a number above 0 and at most 1, not 0; for example x=0.85"),
    (1, "float", Bounds(at_least=0, below=1), 0.5, "of at least 0 and below 1, not 1"),
    (2**63, "int", Bounds(at_least=0, below=2**63), 0, "of at least 0 and below 2^63, not"),
    (0, "int | None", Bounds(at_least=2), None, "of at least 2, or null, not 0; for example x=2"),
    ("yes", "bool", Bounds(), False, "x must be true or false, not yes; for example x=true"),
    (1, "bool", Bounds(), False, "x must be true or false, not 1"),
    ("fra", "str", WORDS, "near", "x must be near or far, not 'fra'. Did you mean far?"),
]


@pytest.mark.parametrize(("value", "kind", "bounds", "default", "told"), BAD)
def test_what_it_may_not_be(value: Any, kind: str, bounds: Bounds, default: Any, told: str) -> None:
    with pytest.raises(InvsetError) as error:
        check_option("x", value, kind, bounds, default)
    assert told in str(error.value)


@dataclass(frozen=True)
class Part:
    speed: float = option(2.0, above=0)
    word: str = option("near", words=("near", "far"))
    free: Any = None

    def __post_init__(self) -> None:
        check_options(self, "part")


def test_a_component_checks_its_own() -> None:
    assert Part(speed=3, word="far").free is None
    with pytest.raises(InvsetError, match=r"part\.speed must be a number above 0, not 0"):
        Part(speed=0)
    with pytest.raises(InvsetError, match=r"part\.word must be near or far"):
        Part(word="middle")

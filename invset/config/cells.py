"""What ``invset compare`` asks of a neuron: ranges, given in three ways, or goals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from invset.core.checks import check_range, is_number
from invset.errors import InvsetError, did_you_mean

#: Goals in place of a range.
GOALS = ("max", "min")

#: Ways to give ranges -> an example of two numbers.
_WAYS = {"fractions": "[0.25,0.4]", "quantiles": "[0.8,0.9]", "ranges": "[3,4]"}


@dataclass(frozen=True)
class Cell:
    """A range by its name, or a goal.

    Attributes:
        name: as typed; of a goal the goal.
        way: "fractions", "quantiles", "ranges" or "goals".
        pair: the two numbers of a range; () of a goal.
    """

    name: str
    way: str
    pair: tuple[float, ...] = ()

    @property
    def goal(self) -> str:
        """As samplers have it."""
        return self.name if self.way == "goals" else "range"

    @property
    def asked(self) -> str:
        """What the name stands for."""
        return " ".join([self.way, *map(str, self.pair)])


def cells_of(cfg: DictConfig) -> list[Cell]:
    """The ranges and goals of ``configs/compare.yaml``.

    Raises:
        InvsetError: none, a range that is none, or a name that is there twice.
    """
    cells = [
        Cell(str(name), way, _pair(way, str(name), pair))
        for way in _WAYS
        for name, pair in _held(cfg, way).items()
    ]
    cells += [Cell(goal, "goals") for goal in _goals(cfg)]
    if not cells:
        raise InvsetError(
            "no range and no goal was given; type for example"
            " 'fractions={middle: [0.6, 0.75]}', 'ranges={warm: [3, 4]}' or 'goals=[max]'"
        )
    names = [cell.name for cell in cells]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InvsetError(f"the name {twice[0]} stands for two ranges or goals; rename one")
    return cells


def _held(cfg: DictConfig, way: str) -> Mapping[str, Any]:
    """Name -> two numbers."""
    given = cfg[way]
    if given is None:
        return {}
    if not isinstance(given, DictConfig):
        raise InvsetError(
            f"{way}= holds ranges by name: '{way}={{one: {_WAYS[way]}}}', not {given}"
        )
    held = OmegaConf.to_container(given, resolve=True)
    assert isinstance(held, dict)
    return {str(name): pair for name, pair in held.items()}


def _pair(way: str, name: str, pair: Any) -> tuple[float, ...]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise InvsetError(
            f"{way}.{name} must be two numbers, the lower first, not {pair}; for example"
            f" '{way}.{name}={_WAYS[way]}'"
        )
    try:
        check_range(*pair)
    except InvsetError as error:
        raise InvsetError(f"{way}.{name} is no range: {error}") from error
    if way == "quantiles" and not all(is_number(end) and 0 <= end <= 1 for end in pair):
        raise InvsetError(f"quantiles.{name} must lie between 0 and 1, not {pair}")
    return tuple(map(float, pair))


def _goals(cfg: DictConfig) -> list[str]:
    given = list(map(str, cfg.goals))
    for one in given:
        if one not in GOALS:
            raise InvsetError(
                f"goals= is a list of max and min, not {one!r}.{did_you_mean(one, GOALS)} A"
                " range is given by fractions=, quantiles= or ranges="
            )
    return list(dict.fromkeys(given))

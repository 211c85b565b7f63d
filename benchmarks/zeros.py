"""Methods that make zeros, as the report on evolutionary image generation has them, and others: the
rows of benchmarks/evolution.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from invset.core.steps import Adam, Plain
from invset.problem.neuron import ANY
from invset.samplers.base import Sampler
from invset.samplers.cma_es import CMAES
from invset.samplers.genetic import Genetic
from invset.samplers.plain_gradient import PlainGradient
from invset.samplers.stream import Stream


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        title: as the table has it.
        sampler: runs -> the sampler.
        space: "none" (codes anywhere, from the filtered starts), "natural", or "pixels".
        ends: of the range; `ANY` with goal=max.
        many: there are `repeats=` runs with seeds of their own; else one run with `runs=` searches,
            each from a start of its own.
    """

    title: str
    sampler: Callable[[int], Sampler[Any]]
    space: str = "none"
    ends: tuple[float, float] = ANY
    many: bool = False


def ascent(rule: Any, **more: Any) -> Callable[[int], Sampler[Any]]:
    """1,000 steps up from each start."""
    return lambda n: PlainGradient(K=n, n=n, goal="max", steps=1000, step_rule=rule, **more)


def evolution(**options: Any) -> Callable[[int], Sampler[Any]]:
    """CMA-ES as reported."""
    given = {"population": 15, "sigma": 0.5, "iterations": 1000, **options}
    return lambda n: CMAES(K=min(n, 10), n=n, goal="max", **given)


def population(starts: int, generations: int) -> Callable[[int], Sampler[Any]]:
    """The genetic algorithm as reported, of 900 starts and 100 generations; its best code."""
    return lambda n: Genetic(K=1, n=1, goal="max", starts=starts, iterations=generations)


def stream(n: int) -> Sampler[Any]:
    """The project's own sampler, with its defaults."""
    return Stream(K=min(n, 10), n=n)


METHODS = {
    "gradient": Method("gradient ascent, plain steps of 0.01", ascent(Plain(0.01))),
    "gradient_adam": Method("gradient ascent, Adam 0.05", ascent(Adam(0.05))),
    "cma_es": Method("CMA-ES, population 15, σ 0.5", evolution()),
    "cma_es_100": Method("CMA-ES, 100 generations", evolution(iterations=100)),
    "cma_es_1": Method("CMA-ES, σ 1", evolution(sigma=1.0)),
    "cma_es_10": Method("CMA-ES, population 10", evolution(population=10)),
    "genetic": Method(
        "genetic algorithm, 5 x 900, 100 generations", population(900, 100), many=True
    ),
    "genetic_small": Method("genetic, 5 x 90, 30 generations", population(90, 30), many=True),
    "stream": Method(
        "ours: stream in [9, 12.5], as real zeros", stream, "natural", (9, 12.5), True
    ),
    "stream_top": Method("ours: stream in [13, 16]", stream, "natural", (13, 16), True),
    "gradient_natural": Method("gradient ascent, natural region", ascent(Adam(0.05)), "natural"),
    "cma_es_natural": Method("CMA-ES, natural region", evolution(), "natural"),
    "softmax": Method("softmax, on codes", ascent(Plain(1.0), after_softmax=True)),
    "softmax_pixels": Method(
        "softmax, on pixels", ascent(Plain(1.0), after_softmax=True), "pixels"
    ),
    "pixels": Method("gradient ascent on pixels", ascent(Plain(0.01)), "pixels"),
}


#: Rows that are made where nothing else is asked for.
TABLE = ("gradient", "gradient_adam", "cma_es_100", "cma_es", "genetic_small", "genetic", "stream")
TABLE += ("stream_top", "gradient_natural", "softmax", "softmax_pixels", "pixels")

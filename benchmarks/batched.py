"""Evaluations a second of methods without a gradient: a population in one batch, and one code after
the other, as a function f(x) that an optimiser calls takes them.

    .venv/bin/python benchmarks/batched.py [--samplers cma_es genetic] [--evaluations 200]

The sampler, the seed and the arithmetic of the method are the same; only `Target.look` differs.
The embedded pair, neuron "horse", goal=max. Each repeat takes both in turn.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from common import begin, parser, side_by_side, write
from torch import Tensor

from invset import Neuron, Problem, mini_generator, mini_network
from invset.config.catalogue import sampler_class
from invset.core.target import Evaluate, Target
from invset.samplers.base import Limits, Sampler
from invset.samplers.drive import Run, drive

#: Options of samplers that differ from their own: one search or population, and what it needs.
OPTIONS: dict[str, dict[str, Any]] = {
    "cma_es": {"K": 1, "n": 1},
    "genetic": {"K": 1, "n": 1},
    "map_elites": {"K": 1, "n": 10},
    "random": {"K": 100, "n": 100},
}


def one_by_one(evaluate: Evaluate) -> Evaluate:
    """The same function, which takes one code at a time."""

    def each(codes: Tensor) -> tuple[Tensor, Tensor]:
        parts = [evaluate(one) for one in codes.split(1)]
        return torch.cat([f for f, _ in parts]), torch.cat([e for _, e in parts])

    return each


def apart(target: Target) -> Target:
    """A target that looks at one code after the other."""
    layer = target.layer
    each = None if layer is None else replace(layer, evaluate=one_by_one(layer.evaluate))
    return replace(target, evaluate=one_by_one(target.evaluate), layer=each)


def evaluated(sampler: Sampler[Any], target: Target, evaluations: int) -> Run[Any]:
    """Run from seed 0 until so many codes were looked at."""
    rng = torch.Generator().manual_seed(0)
    return drive(sampler, target, rng, limits=Limits(forwards=evaluations))


def sampler_of(name: str) -> Sampler[Any]:
    """A sampler with `OPTIONS`, which maximises."""
    made: Sampler[Any] = sampler_class(name)(goal="max", **OPTIONS[name])
    return made


def main() -> None:
    """Measure, print and write."""
    arguments_ = parser(__doc__, "batched", repeats=5)
    arguments_.add_argument("--samplers", nargs="+", default=list(OPTIONS), choices=list(OPTIONS))
    arguments_.add_argument("--evaluations", type=int, default=200, help="of each repeat, about")
    arguments = arguments_.parse_args()
    clock = begin(arguments)
    problem = Problem(mini_network(), mini_generator(), neurons=[Neuron("fc8", "horse")])
    target = problem.target(problem.region(), "max")
    found = {}
    for name in arguments.samplers:
        sampler = sampler_of(name)
        ways = {"one by one": apart(target), "batch": target}
        runs = {
            way: partial(evaluated, sampler, one, arguments.evaluations)
            for way, one in ways.items()
        }
        counts = {way: run().meter.forwards for way, run in runs.items()}
        times = side_by_side(runs, arguments.repeats, clock, name)
        first = times["batch"]
        each = {
            way: 1000 * counts[way] / (sum(one.milliseconds) / len(one.milliseconds))
            for way, one in times.items()
        }
        ratio = times["one by one"].over(first)
        print(
            f"{name}: {each['batch']:.0f} evaluations a second in batches, {each['one by one']:.0f}"
            f" one by one, ratio {ratio}"
        )
        told = {way: one.as_dict(first) for way, one in times.items()}
        found[name] = {"evaluations": counts, "per_second": each, "times": told}
    write(arguments, found)


if __name__ == "__main__":
    main()

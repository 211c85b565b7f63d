"""Inputs of codes as they are saved, and as they are shown."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from invset.problem.in_views import Scales
from invset.problem.problem import Problem


def saved(
    problem: Problem, codes: Tensor, batch_size: int = 64
) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, Tensor, Scales | None]]]:
    """Batches of codes' inputs as the generator makes them, the same in stored form, and what
    `Problem.measure` says of these.
    """
    # an empty tensor splits into one empty part, which no module has to take
    for batch in codes.split(problem.portions.at_a_time(batch_size)) if len(codes) else ():
        x = problem.made.unrounded(batch)
        stored = problem.medium.store(x)
        yield x, stored, problem.measure(problem.medium.restore(stored))


def displayed(problem: Problem, codes: Tensor, batch_size: int = 64) -> Tensor | None:
    """Pictures of codes in stored form, on the CPU, where a generator has a display of its own, not
    what the network sees; else None, and without codes.
    """
    display = problem.generator.display
    if display is None or not len(codes):
        return None
    parts = codes.to(problem.network.device).split(problem.portions.at_a_time(batch_size))
    return torch.cat([problem.medium.store(display(some)).cpu() for some in parts])

"""Where in each input a neuron is largest that is read over all positions of its layer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from invset.core.products import products
from invset.core.values import ByValue
from invset.problem.problem import Problem

#: Inputs a pass, where memory holds them.
_AT_A_TIME = 64


@dataclass(frozen=True, eq=False)
class Largest(ByValue):
    """Positions of one neuron's largest activations in n inputs.

    Attributes:
        neuron: what reports call it.
        position: number from 0, row by row, of the layer's position, with shape (n,); -1 where
            several are as large, or a feature is off.
        before: how many positions are tokens before the patches.
        grid: rows and columns of the other positions; None where they form none.
    """

    neuron: str
    position: Tensor
    before: int
    grid: tuple[int, int] | None

    def rows(self, chosen: Tensor) -> Largest:
        """Those of some inputs, by their row numbers."""
        return replace(self, position=self.position[chosen])


@torch.no_grad()
@products("float32")
def where_largest(problem: Problem, stored: Tensor) -> Largest | None:
    """Look for the first neuron that is read as the largest or the mean of all positions.

    Args:
        problem: whose neurons they are. Robust neurons are looked for in the whole input.
        stored: inputs in stored form, as the network sees them.

    Returns:
        None without such a neuron.
    """
    over_all = [i for i, place in enumerate(problem.places) if isinstance(place.at, str)]
    if not over_all:
        return None
    number = over_all[0]
    place, shape = problem.places[number], problem.shapes[number]
    layer = problem.neurons[number].layer
    found = []
    for some in stored.split(problem.portions.at_a_time(_AT_A_TIME)) if len(stored) else ():
        x = problem.medium.restore(some.to(problem.network.device))
        f = place.everywhere(problem.network.taps(x, {layer})[layer])
        found.append(_single(f, place.feature is not None).cpu())
    names, grid = ([], shape[1:]) if len(shape) == 3 else problem.network.tokens.split(shape[0])
    sides = None if grid is None else (grid[0], grid[1])
    position = torch.cat(found) if found else torch.zeros(0, dtype=torch.long)
    return Largest(problem.names[number], position, len(names), sides)


def _single(f: Tensor, feature: bool) -> Tensor:
    """Where each row of f, with shape (B, positions), is largest; -1 where that is no one place."""
    top, position = f.max(1)
    nowhere = (f == top.unsqueeze(1)).sum(1) > 1
    if feature:
        nowhere = nowhere | (top <= 0)
    return position.masked_fill(nowhere, -1)

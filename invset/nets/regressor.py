"""A network with one real output over the rows of a table.

    standard -> hidden1 tanh1 -> hidden2 tanh2 -> output

`standard` brings each column to mean 0 and standard deviation 1. It is the encoding E, so that
distances between samples are in standard deviations of the columns. The output is in the target's
own units.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from invset.nets.fit_rows import Recipe, fit_rows

#: Weight decay takes the place of early stopping: some hundred rows are few.
RECIPE = Recipe(steps=300, decay=0.3)


class Standard(nn.Module):
    """Rows to z = (x - mean) / std, both with shape (N, columns)."""

    mean: Tensor
    std: Tensor

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("std", torch.ones(columns))

    @classmethod
    def of(cls, rows: Tensor) -> Standard:
        """That of rows, with shape (N, columns); a column that never changes keeps its unit."""
        made = cls(rows.shape[1])
        made.mean.copy_(rows.mean(0))
        spread = rows.std(0)
        made.std.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))
        return made

    def forward(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) / self.std


class Regressor(nn.Sequential):
    """Rows, with shape (N, columns), to one number each, with shape (N, 1).

    Args:
        columns: of the table.
        width: units of each of the two hidden layers.
    """

    def __init__(self, columns: int, width: int = 64) -> None:
        layers: list[tuple[str, nn.Module]] = [
            ("standard", Standard(columns)),
            ("hidden1", nn.Linear(columns, width)),
            ("tanh1", nn.Tanh()),
            ("hidden2", nn.Linear(width, width)),
            ("tanh2", nn.Tanh()),
            ("output", nn.Linear(width, 1)),
        ]
        super().__init__(OrderedDict(layers))


def fit_regressor(rows: Tensor, target: Tensor, recipe: Recipe = RECIPE) -> Regressor:
    """Train a regressor by least squares.

    Args:
        rows: with shape (N, columns).
        target: with shape (N,).
        recipe: how.
    """
    mean = target.mean()
    std = target.std()
    wanted = (target - mean) / std

    def build() -> Regressor:
        made = Regressor(rows.shape[1])
        made.get_submodule("standard").load_state_dict(Standard.of(rows).state_dict())
        return made

    def loss(module: nn.Module, chosen: Tensor, rng: torch.Generator) -> Tensor:
        return (module(rows[chosen])[:, 0] - wanted[chosen]).square().mean()

    found = fit_rows(build, loss, len(rows), recipe)
    assert isinstance(found, Regressor)
    with torch.no_grad():  # back to the target's units
        found.get_parameter("output.weight").mul_(std)
        found.get_parameter("output.bias").mul_(std).add_(mean)
    return found

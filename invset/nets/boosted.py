"""Gradient boosting (Friedman 2001) as a network: trees that scikit-learn grew, as tensors.

    F(x) = F_0 + Σ_m ν h_m(x)

h_m is the value of the leaf of tree m that a row falls into. Trees are no pickle but numbers in a
file. They have no gradient, so they judge, or are sampled without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from invset.errors import InvsetError

#: What a tree is made of; see `Leaves`.
PARTS = ("column", "threshold", "left", "right", "value")


class Leaves(nn.Module):
    """Rows, with shape (N, columns), to the value of their leaf in each tree, with shape (N,
    trees).

    A node sends a row to the left where x[column] <= threshold. A leaf sends it to itself.

    Args:
        parts: `column`, `left` and `right` (whole numbers), `threshold` and `value`, each with
            shape (trees, nodes).
        depth: of the deepest tree.
    """

    column: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    def __init__(self, parts: Mapping[str, Tensor], depth: int) -> None:
        super().__init__()
        for name in PARTS:
            self.register_buffer(name, parts[name])
        self.depth = depth

    def forward(self, rows: Tensor) -> Tensor:
        trees = torch.arange(len(self.column), device=rows.device)
        node = torch.zeros(len(rows), len(trees), dtype=torch.long, device=rows.device)
        for _ in range(self.depth):
            x = rows.gather(1, self.column[trees, node])
            node = torch.where(
                x <= self.threshold[trees, node], self.left[trees, node], self.right[trees, node]
            )
        return self.value[trees, node]


class Boosted(nn.Module):
    """Rows, with shape (N, columns), to F(x), with shape (N, 1).

    Args:
        tensors: of `Leaves`, and ``start``, F_0, with shape ().
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.leaves = Leaves(tensors, _depth(tensors["left"], tensors["right"]))
        self.output = nn.Linear(len(tensors["column"]), 1)
        with torch.no_grad():
            self.output.weight.fill_(1.0)
            self.output.bias.copy_(tensors["start"])

    def forward(self, rows: Tensor) -> Tensor:
        return self.output(self.leaves(rows))


def grow(rows: Tensor, target: Tensor, **options: Any) -> dict[str, Tensor]:
    """Grow trees with scikit-learn.

    Args:
        rows: with shape (N, columns).
        target: with shape (N,).
        options: of `sklearn.ensemble.GradientBoostingRegressor`.

    Raises:
        InvsetError: scikit-learn is missing.
    """
    try:
        from sklearn.ensemble import GradientBoostingRegressor
    except ImportError as error:
        raise InvsetError(
            'gradient boosting needs scikit-learn: pip install "invset[tables]"'
        ) from error
    model = GradientBoostingRegressor(**options).fit(rows.numpy(), target.numpy())
    return as_tensors(model, rows)


def as_tensors(model: Any, rows: Tensor) -> dict[str, Tensor]:
    """The trees of a fitted `GradientBoostingRegressor` as `Boosted` takes them.

    Args:
        model: fitted.
        rows: some that it takes, with shape (N, columns).
    """
    trees = [one.tree_ for one in model.estimators_[:, 0]]
    count = max(tree.node_count for tree in trees)
    shape = (len(trees), count)
    found = {
        "column": torch.zeros(shape, dtype=torch.long),
        "left": torch.arange(count).repeat(len(trees), 1),
        "right": torch.arange(count).repeat(len(trees), 1),
        "threshold": torch.zeros(shape),
        "value": torch.zeros(shape),
    }
    for i, tree in enumerate(trees):
        n = tree.node_count
        inner = torch.from_numpy(tree.children_left >= 0)
        # the largest float32 that is not above: a float32 row goes the same way
        threshold = tree.threshold.astype(np.float32)
        below = np.nextafter(threshold, np.float32(-np.inf))
        threshold = np.where(threshold > tree.threshold, below, threshold)
        found["threshold"][i, :n] = torch.from_numpy(threshold)
        for name, held in (
            ("column", tree.feature),
            ("left", tree.children_left),
            ("right", tree.children_right),
        ):
            found[name][i, :n][inner] = torch.from_numpy(held)[inner].long()
        value = torch.from_numpy(tree.value[:, 0, 0] * model.learning_rate)
        found["value"][i, :n] = value.float()
    found["start"] = torch.as_tensor(np.ravel(model.init_.predict(rows[:1].numpy()))).float()
    return found


def _depth(left: Tensor, right: Tensor) -> int:
    """Steps from the root to the deepest leaf of any tree."""
    trees = torch.arange(len(left)).unsqueeze(1)
    here = torch.zeros(len(left), 1, dtype=torch.long)
    for depth in range(left.shape[1]):
        below = torch.cat([left[trees, here], right[trees, here]], 1)
        if torch.equal(below.sort(1).values, torch.cat([here, here], 1).sort(1).values):
            return depth
        here = below
    return left.shape[1]

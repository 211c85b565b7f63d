"""The Gauss-Newton step against a dense least-squares solve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from cases import normal
from torch.utils._python_dispatch import TorchDispatchMode

from invset.core.gauss_newton import along, gauss_newton_step


def test_step_minimises_the_quadratic() -> None:
    rows, residual, mu = (
        normal(4, 3, 6),
        normal(4, 3, seed=1),
        torch.tensor([0.1, 1.0, 1e3, 1e6], dtype=torch.float64),
    )
    delta = gauss_newton_step(rows, residual, mu, longest=1e9)
    for i in range(4):
        # 1/2 |delta|² + mu/2 |r + J delta|² = 1/2 |[I; sqrt(mu) J] delta - [0; -sqrt(mu) r]|²
        root = math.sqrt(mu[i])
        matrix = np.concatenate([np.eye(6), root * rows[i].numpy()])
        right = np.concatenate([np.zeros(6), -root * residual[i].numpy()])
        np.testing.assert_allclose(
            delta[i].numpy(), np.linalg.lstsq(matrix, right, rcond=None)[0], rtol=1e-7, atol=1e-9
        )


def test_a_large_penalty_solves_linear_equations_in_one_step() -> None:
    rows, residual = normal(4, 3, 6), normal(4, 3, seed=1)
    delta = gauss_newton_step(
        rows, residual, torch.full((4,), 1e12, dtype=torch.float64), longest=1e9
    )
    torch.testing.assert_close(
        (rows @ delta.unsqueeze(2)).squeeze(2), -residual, rtol=1e-6, atol=1e-8
    )


def test_step_is_cut_to_the_longest_and_keeps_its_direction() -> None:
    rows, residual, mu = (
        normal(4, 3, 6),
        normal(4, 3, seed=1),
        torch.full((4,), 1e3, dtype=torch.float64),
    )
    free = gauss_newton_step(rows, residual, mu, longest=1e9)
    lengths = free.norm(dim=1) / math.sqrt(6)
    longest = lengths.median().item()
    cut = gauss_newton_step(rows, residual, mu, longest)
    torch.testing.assert_close(cut.norm(dim=1) / math.sqrt(6), lengths.clamp_max(longest))
    torch.testing.assert_close(
        torch.cosine_similarity(cut, free), torch.ones(4, dtype=torch.float64)
    )
    assert (lengths > longest).any()


def test_no_rows_no_step() -> None:
    delta = gauss_newton_step(torch.zeros(2, 1, 5), torch.ones(2, 1), torch.ones(2), longest=1.0)
    assert torch.equal(delta, torch.zeros(2, 5))


class NoSolver(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert "linalg_solve" not in func.__name__
        return func(*args, **(kwargs or {}))


def test_one_equation_is_divided_and_needs_no_solver() -> None:
    rows, residual, push = normal(4, 1, 6), normal(4, 1, seed=1), normal(4, 6, seed=2)
    mu = torch.full((4,), 1e3, dtype=torch.float64)
    with NoSolver():
        one = gauss_newton_step(rows, residual, mu, longest=1e9), along(rows, push)
    # a second equation that says nothing: the same step, by the solver
    none = torch.zeros(4, 1, 6, dtype=torch.float64)
    two = torch.cat([rows, none], 1), torch.cat([residual, torch.zeros_like(residual)], 1)
    expected = gauss_newton_step(*two, mu, longest=1e9), along(two[0], push)
    for mine, theirs in zip(one, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)  # the ridge is half as high

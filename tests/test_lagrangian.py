"""The augmented Lagrangian against hand-worked numbers and against SciPy's optimum and
multipliers.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import normal
from scipy.optimize import minimize
from torch import Tensor

from invset.core.lagrangian import constraints, penalty, slack, update_multipliers
from invset.core.ranges import ActivationRange


def ranges(*ends: tuple[float, float]) -> ActivationRange:
    return ActivationRange.of(ends, torch.zeros((), dtype=torch.float64))


def t(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_constraints_by_hand() -> None:
    f, range_ = t([55.0, 2.0]), ranges((50, 60), (1, 5))
    # lower: 0.5 * 10 - 60 + 55 = 0, 0.5 * 4 - 5 + 2 = -1; upper: 5 + 50 - 55 = 0, 2 + 1 - 2 = 1
    torch.testing.assert_close(constraints(f, range_, relative=False), t([0.0, -1.0, 0.0, 1.0]))
    torch.testing.assert_close(constraints(f, range_, both=False, relative=False), t([0.0, -1.0]))
    # in widths: divided by 10 and 4
    torch.testing.assert_close(constraints(f, range_), t([0.0, -0.25, 0.0, 0.25]))
    # epsilon0 = epsilon: the ends of the range themselves, f - z1 and z2 - f
    torch.testing.assert_close(
        constraints(f, range_, epsilon0=1.0, relative=False), t([5.0, 1.0, 5.0, 3.0])
    )


def test_slack_penalty_and_multipliers_by_hand() -> None:
    g, lambda_, mu = t([3.0, -1.0, 0.5]), t([4.0, 2.0, 6.0]), 2.0
    s = slack(g, lambda_, mu)
    # max(0, 3 - 4/2), max(0, -1 - 2/2), max(0, 0.5 - 6/2)
    torch.testing.assert_close(s, t([1.0, 0.0, 0.0]))
    # -4 * 2 + 4  -2 * -1 + 1  -6 * 0.5 + 0.25  =  -4 + 3 - 2.75
    torch.testing.assert_close(penalty(g, s, lambda_, mu), t(-3.75))
    # max(0, 4 - 6), 2 + 2, 6 - 1
    torch.testing.assert_close(update_multipliers(lambda_, g, mu), t([0.0, 4.0, 5.0]))


def test_slack_is_the_minimiser() -> None:
    g, lambda_, mu = 3 * normal(1, 40), 5 * normal(1, 40, seed=1).abs(), 1.7
    s = slack(g, lambda_, mu)
    grid = torch.linspace(0, 15, 30001, dtype=torch.float64)
    for i in range(40):
        column = grid.unsqueeze(1)
        values = penalty(g[:, i : i + 1] - column * 0, column, lambda_[:, i : i + 1], mu)
        assert abs(grid[values.argmin()] - s[0, i]) <= 5.01e-4


def solve(
    a: np.ndarray, w: np.ndarray, range_: ActivationRange, both: bool, epsilon0: float
) -> tuple[np.ndarray, np.ndarray, int]:
    """Minimise |c - a|² subject to the constraints of f = w c by the functions under test; return
    c, lambda and the iterations.
    """
    c, lambda_, mu = (
        a.copy(),
        torch.zeros(1, (2 if both else 1) * w.shape[0], dtype=torch.float64),
        1.0,
    )

    for outer in range(60):

        def value(
            x: np.ndarray, lambda_: Tensor = lambda_, mu: float = mu
        ) -> tuple[float, np.ndarray]:
            c_ = torch.tensor(x).unsqueeze(0).requires_grad_()
            g = constraints(c_ @ torch.tensor(w).T, range_, epsilon0, both, relative=False)
            total = (c_ - torch.tensor(a)).square().sum() + penalty(
                g, slack(g, lambda_, mu), lambda_, mu
            ).sum()
            return total.item(), torch.autograd.grad(total, c_)[0][0].numpy()

        c = minimize(value, c, jac=True, method="BFGS", options={"gtol": 1e-11}).x
        g = constraints(torch.tensor(c @ w.T).unsqueeze(0), range_, epsilon0, both, relative=False)
        after = update_multipliers(lambda_, g, mu)
        if (after - lambda_).abs().max() < 1e-7:
            return c, after[0].numpy(), outer
        lambda_, mu = after, min(2 * mu, 50.0)
    raise AssertionError(f"not converged: lambda {lambda_}")


def test_projection_on_a_half_space_has_the_closed_form() -> None:
    a, w = normal(5).numpy(), normal(1, 5, seed=1).numpy()
    z1 = float((w @ a)[0]) + 2.0
    # min |c - a|² s.t. w c >= z1: c = a + t w, t = (z1 - w a) / |w|², lambda = 2 t
    t = 2.0 / float((w @ w.T)[0, 0])
    c, lambda_, outer = solve(a, w, ranges((z1, z1 + 1)), both=False, epsilon0=1.0)
    assert outer > 1  # one step of the penalty alone is not enough
    np.testing.assert_allclose(c, a + t * w[0], atol=1e-8)
    np.testing.assert_allclose(lambda_, [2 * t], atol=1e-8)


@pytest.mark.parametrize("epsilon0", [0.5, 1.0])
@pytest.mark.parametrize("shift", [(2.0, -3.0), (0.4, 0.3), (-3.0, -3.0)])
def test_both_ends_of_two_neurons_agree_with_slsqp(
    epsilon0: float, shift: tuple[float, float]
) -> None:
    a, w = normal(5).numpy(), normal(2, 5, seed=1).numpy()
    ends = [(float(f + s), float(f + s) + 1.0) for f, s in zip(w @ a, shift, strict=True)]
    range_ = ranges(*ends)
    c, lambda_, _ = solve(a, w, range_, both=True, epsilon0=epsilon0)

    z1, z2 = np.array(ends).T
    low, high = z2 - epsilon0 * (z2 - z1), z1 + epsilon0 * (z2 - z1)
    reference = minimize(
        lambda x: ((x - a) ** 2).sum(),
        a,
        jac=lambda x: 2 * (x - a),
        method="SLSQP",
        constraints=[
            {"type": "ineq", "fun": lambda x: w @ x - low, "jac": lambda x: w},
            {"type": "ineq", "fun": lambda x: high - w @ x, "jac": lambda x: -w},
        ],
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(c, reference.x, atol=1e-6)
    # the multipliers of both ends act as their difference: 2 (c - a) = w' (lambda_low -
    # lambda_high)
    kkt = np.linalg.lstsq(w.T, 2 * (reference.x - a), rcond=None)[0]
    np.testing.assert_allclose(lambda_[:2] - lambda_[2:], kkt, atol=1e-6)
    assert (lambda_ >= 0).all()
    if epsilon0 == 1.0:  # the ends lie apart, so that at most one of them holds its neuron
        np.testing.assert_allclose(
            lambda_, np.concatenate([kkt.clip(0), (-kkt).clip(0)]), atol=1e-6
        )

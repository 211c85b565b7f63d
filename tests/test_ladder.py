"""The same codes through several ranges, on functions whose answer is known."""

from __future__ import annotations

import pytest
import torch
from cases import cube, linear, plain_set, seeded, uniform
from torch import Tensor

from invset.core.space import Free
from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.base import Status
from invset.studies.ladder import Ladder
from invset.studies.study import Found

WEIGHTS = linear(8)
LOW, HIGH = WEIGHTS.clamp_max(0).sum().item(), WEIGHTS.clamp_min(0).sum().item()


def share(low: float, high: float) -> tuple[float, float]:
    """A range, as shares of all that f reaches on the cube."""
    return LOW + low * (HIGH - LOW), LOW + high * (HIGH - LOW)


RANGES = [share(0.2, 0.3), share(0.45, 0.55), share(0.7, 0.8)]


def run(ladder: Ladder, target: Target, seed: int = 0) -> Found:
    return ladder.found(target, ladder.run(target, seeded(seed)))


def climb(ranges: list[tuple[float, float]], K: int = 6, seed: int = 0, **options: int) -> Found:
    target = plain_set(lambda c: c @ WEIGHTS, ranges[:1], cube())
    return run(Ladder(K=K, ranges=ranges, **options), target, seed)


def cells(found: Found) -> list[list[int]]:
    assert found.cells is not None
    return found.cells.tolist()


def test_every_column_reaches_every_range() -> None:
    state = climb(RANGES)
    assert state.status is Status.REACHED
    assert len(state.u) == 18
    grid = cells(state)
    assert grid == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13, 14, 15, 16, 17]]
    for (z1, z2), row in zip(RANGES, grid, strict=True):
        f = (state.u[row] @ WEIGHTS).squeeze(1)
        assert ((f >= z1) & (f <= z2)).all()
        torch.testing.assert_close(state.f[row].squeeze(1), f)
        assert (state.u[row] >= 0).all()
        assert (state.u[row] <= 1).all()


def test_a_column_is_one_code_that_moves_no_farther_than_it_must() -> None:
    start = uniform(512, 8)
    state = run(
        Ladder(K=6, ranges=RANGES), plain_set(lambda c: c @ WEIGHTS, RANGES[:1], Free(start))
    )
    rows = [state.u[row] for row in cells(state)]
    parents = [state.parent[row].tolist() for row in cells(state)]
    assert parents[0] == parents[1] == parents[2]
    along = rows[2] - rows[0]
    least = (along @ WEIGHTS).squeeze(1) / WEIGHTS.norm()  # straight up the gradient
    torch.testing.assert_close(along.norm(dim=1), least)


def test_every_pass_is_counted() -> None:
    seen = []

    def f(c: Tensor) -> Tensor:
        seen.append(len(c))
        return c @ WEIGHTS

    sampler = Ladder(K=4, ranges=RANGES, spare=1.5)
    state = run(sampler, plain_set(f, RANGES[:1], cube()))
    assert state.meter.forwards == state.meter.backwards == sum(seen)
    assert seen[0] == 6
    assert state.steps == len(seen)


def test_a_rung_out_of_reach_leaves_blank_cells() -> None:
    state = climb([RANGES[0], share(1.5, 1.6), RANGES[2]], max_age=8)
    assert state.status is Status.BUDGET
    assert cells(state)[1] == [-1] * 6
    assert -1 not in cells(state)[0] + cells(state)[2]
    assert len(state.u) == 12


def test_nothing_in_reach() -> None:
    state = climb([share(1.5, 1.6)], max_age=8)
    assert state.status is Status.UNREACHABLE
    assert 0.85 * HIGH < state.best_f.item() < HIGH + 1e-9  # the cube goes no farther
    assert state.steps == 8


def test_the_same_seed_gives_the_same_ladder() -> None:
    first, again, other = climb(RANGES), climb(RANGES), climb(RANGES, seed=1)
    assert torch.equal(first.u, again.u)
    assert not torch.equal(first.u, other.u)


def test_bad_ladders() -> None:
    with pytest.raises(InvsetError, match="a ladder needs ranges"):
        Ladder(K=3)
    with pytest.raises(InvsetError, match="z1 must be below z2"):
        Ladder(K=3, ranges=[(2, 1)])
    with pytest.raises(InvsetError, match="K must be"):
        Ladder(K=0, ranges=[(1, 2)])
    weights = linear(8, p=2)
    with pytest.raises(InvsetError, match="one neuron, not 2"):
        run(
            Ladder(K=3, ranges=[(1, 2)]), plain_set(lambda c: c @ weights, [(0, 1), (0, 1)], cube())
        )

"""The same codes through several ranges, on functions whose answer is known."""

from __future__ import annotations

import pytest
import torch
from cases import cube, linear, plain_set, run, uniform
from torch import Tensor

from invset.core.space import Free
from invset.errors import InvsetError
from invset.samplers.base import State, Status
from invset.studies.ladder import Ladder

WEIGHTS = linear(8)
LOW, HIGH = WEIGHTS.clamp_max(0).sum().item(), WEIGHTS.clamp_min(0).sum().item()


def share(low: float, high: float) -> tuple[float, float]:
    """A range, as shares of all that f reaches on the cube."""
    return LOW + low * (HIGH - LOW), LOW + high * (HIGH - LOW)


RANGES = [share(0.2, 0.3), share(0.45, 0.55), share(0.7, 0.8)]


def climb(ranges: list[tuple[float, float]], K: int = 6, seed: int = 0, **options: float) -> State:
    target = plain_set(lambda c: c @ WEIGHTS, ranges[:1], cube())
    return run(Ladder(K=K, ranges=ranges, **options), target, seed)  # type: ignore[arg-type]


def test_every_column_reaches_every_range() -> None:
    state = climb(RANGES)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
    assert len(kept["u"]) == 18
    cells = state.extra["cells"]
    assert cells == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13, 14, 15, 16, 17]]
    for (z1, z2), row in zip(RANGES, cells, strict=True):
        f = (kept["u"][row] @ WEIGHTS).squeeze(1)
        assert ((f >= z1) & (f <= z2)).all()
        torch.testing.assert_close(kept["f"][row].squeeze(1), f)
        assert (kept["u"][row] >= 0).all()
        assert (kept["u"][row] <= 1).all()


def test_a_column_is_one_code_that_moves_no_farther_than_it_must() -> None:
    start = uniform(512, 8)
    state = run(
        Ladder(K=6, ranges=RANGES), plain_set(lambda c: c @ WEIGHTS, RANGES[:1], Free(start))
    )
    kept = state.kept.trimmed()
    rows = [kept["u"][row] for row in state.extra["cells"]]
    parents = [kept["parent"][row].tolist() for row in state.extra["cells"]]
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
    assert state.code_steps == sum(seen[1:])  # the first looks at the starting codes
    assert seen[0] == 6
    assert state.steps == len(seen) - 1


def test_a_rung_out_of_reach_leaves_blank_cells() -> None:
    state = climb([RANGES[0], share(1.5, 1.6), RANGES[2]], max_age=8)
    assert state.status is Status.BUDGET
    assert state.extra["cells"][1] == [-1] * 6
    assert -1 not in state.extra["cells"][0] + state.extra["cells"][2]
    assert len(state.kept.trimmed()["u"]) == 12


def test_nothing_in_reach() -> None:
    state = climb([share(1.5, 1.6)], max_age=8)
    assert state.status is Status.UNREACHABLE
    assert 0.85 * HIGH < state.best_f.item() < HIGH + 1e-9  # the cube goes no farther
    assert state.steps == 8


def test_the_same_seed_gives_the_same_ladder() -> None:
    first, again, other = climb(RANGES), climb(RANGES), climb(RANGES, seed=1)
    assert torch.equal(first.kept.trimmed()["u"], again.kept.trimmed()["u"])
    assert not torch.equal(first.kept.trimmed()["u"], other.kept.trimmed()["u"])


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

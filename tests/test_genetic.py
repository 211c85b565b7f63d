"""The operators of the genetic algorithm by hand, and both encodings where the answer is known."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import torch
from cases import cube, linear, normal, plain_set, run, seeded

from invset.core.space import Free
from invset.errors import InvsetError
from invset.samplers.base import Limits, Status
from invset.samplers.drive import drive
from invset.samplers.genetic import Genetic, Populations, as_float32, from_bit, winners


def small(**options: Any) -> Genetic:
    return Genetic(**{"K": 1, "n": 4, "starts": 4, "copies": 2, **options})


def test_fixed_point_numbers_by_hand() -> None:
    sampler = small(bits=4)
    low, width = torch.tensor([-5.0, 0.0]), torch.tensor([10.0, 15.0])
    # steps of 10/15 and of 1; what lies outside becomes an end
    u = torch.tensor([[-5.0, 3.0], [5.0, 3.4], [99.0, -1.0], [0.0, 15.0]])
    genes = sampler.encoded(u, low, width)
    assert genes.tolist() == [[0, 3], [15, 3], [15, 0], [8, 15]]
    near = torch.tensor([[-5.0, 3.0], [5.0, 3.0], [5.0, 0.0], [1 / 3, 15.0]])
    torch.testing.assert_close(sampler.decoded(genes, low, width), near)


def test_float32_numbers_are_their_ieee_bits() -> None:
    sampler = small(encoding="float32")
    u = torch.tensor([[1.5, -2.25, 0.0, -3e-20]])
    none = torch.zeros(4)
    genes = sampler.encoded(u, none, none)
    (bits,) = (struct.unpack("<4I", struct.pack("<4f", *u[0].tolist())),)
    assert genes.tolist() == [list(bits)]
    assert torch.equal(sampler.decoded(genes, none, none), u)


def test_masks_by_hand() -> None:
    # two numbers of four bits: the point before bit 0, 3, 4, 6, and behind the last
    masks = from_bit(torch.tensor([0, 3, 4, 6, 8]), 2, 4)
    expected = [[15, 15], [8, 15], [0, 15], [0, 12], [0, 0]]
    assert masks.tolist() == expected


def test_crossing_swaps_what_lies_between_two_points() -> None:
    sampler = small(bits=8, crossover=1.0)
    zeros, ones = torch.zeros(1, 1, 6).long(), torch.full((1, 1, 6), 255)
    for seed in range(20):
        pair = torch.cat([zeros, ones], 1)
        crossed = sampler._crossed(pair, pair.flip(1), seeded(seed))
        # every bit comes from one of the two, and the other child has the other one
        assert torch.equal(crossed[0, 0] ^ crossed[0, 1], ones[0, 0])
        string = [crossed[0, 0, j].item() >> bit & 1 for j in range(6) for bit in range(8)]
        changes = sum(a != b for a, b in zip([0, *string], [*string, 0], strict=True))
        assert changes == 2
    same = small(bits=8, crossover=0.0)._crossed(pair, pair.flip(1), seeded())
    assert torch.equal(same, pair)


def test_real_numbers_are_crossed_whole() -> None:
    a = normal(1, 2, 5)
    crossed = small(encoding="real", crossover=1.0)._crossed(a, a.flip(1), seeded(1))
    assert torch.equal(crossed.sum(1), a.sum(1))
    assert not torch.equal(crossed, a)
    assert ((crossed == a) | (crossed == a.flip(1))).all()


@pytest.mark.parametrize(("encoding", "bits"), [("binary", 16), ("float32", 32)])
def test_the_share_of_bits_that_flip(encoding: str, bits: int) -> None:
    sampler = small(encoding=encoding, rate=0.01)
    genes = sampler.encoded(torch.ones(2, 50, 100), torch.zeros(100), torch.full((100,), 2.0))
    flips = genes ^ sampler._mutated(genes, 1.0, seeded())
    share = sum((flips >> bit & 1).sum().item() for bit in range(bits)) / (10_000 * bits)
    assert share == pytest.approx(0.01, rel=0.1)
    assert flips.max() < 2**bits


def test_a_flip_that_gives_no_finite_number_is_undone() -> None:
    sampler = small(encoding="float32", rate=1.0)  # all bits of these would be a NaN
    genes = sampler.encoded(torch.tensor([[[1e-40, 1.0]]]), torch.zeros(2), torch.ones(2))
    mutated = sampler._mutated(genes, 1.0, seeded())
    assert mutated[0, 0, 0] == genes[0, 0, 0]
    assert as_float32(mutated).isfinite().all()
    assert mutated[0, 0, 1] == genes[0, 0, 1] ^ (2**32 - 1)


def test_steps_of_real_numbers() -> None:
    genes = torch.zeros(1, 200, 200)
    steps = small(encoding="real", rate=0.1, sigma=0.5)._mutated(genes, 2.0, seeded())
    assert (steps != 0).float().mean().item() == pytest.approx(0.1, rel=0.05)
    assert steps[steps != 0].std().item() == pytest.approx(1.0, rel=0.05)


def test_the_winner_of_a_tournament() -> None:
    losses = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    assert torch.equal(losses.gather(1, winners(losses, 64, seeded())), torch.zeros(2, 4))
    drawn = torch.randint(4, (2, 4), generator=seeded())
    assert torch.equal(winners(losses, 1, seeded()), drawn)


def test_the_elite_goes_on_and_is_no_new_sample() -> None:
    sampler = small(elite=2, encoding="real", rate=1.0)
    genes = normal(1, 8, 3)
    ones = torch.ones(3)
    state = Populations(genes, torch.ones(1, 8).bool(), ones, ones, 0)
    losses = torch.tensor([[5.0, 1, 7, 0, 2, 3, 4, 6]])
    after = sampler._next(state, losses, 1.0, seeded())
    assert torch.equal(after.genes[0, :2], genes[0, [3, 1]])
    assert after.new[0].tolist() == [False] * 2 + [True] * 6


def test_copies_of_a_start_are_one_sample() -> None:
    target = plain_set(lambda c: c[:, :1], [(0.0, 1.0)], cube())
    ended = run(Genetic(K=1, n=40, starts=10, copies=4, rate=0.0, crossover=0.0), target)
    assert ended.kept is not None
    # nothing is new in any generation that follows
    assert ended.status is Status.BUDGET or ended.steps > 100
    first = ended.kept.u[ended.kept.step == 0]
    assert len(first) == len(first.unique(dim=0)) == 10


@pytest.mark.parametrize("encoding", ["binary", "float32", "real"])
@pytest.mark.parametrize("goal", ["max", "min"])
def test_the_corner_of_the_cube_comes_near(encoding: str, goal: str) -> None:
    w = linear()
    target = plain_set(lambda c: c @ w, [(0, 1)], cube())
    options: dict[str, Any] = {"encoding": encoding, "starts": 50, "copies": 2, "iterations": 40}
    ended = run(Genetic(K=2, n=5, goal=goal, rate=0.03, **options), target)
    assert ended.status is Status.REACHED
    assert ended.steps == 40
    assert ended.meter.forwards == 40 * 2 * 100
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    assert kept["parent"].tolist() == [
        0,
        0,
        0,
        1,
        1,
    ]
    assert (kept["step"] == 39).all()
    best = (w.clamp_min(0) if goal == "max" else w.clamp_max(0)).sum()
    assert ((kept["f"] - best).abs() < 0.1 * best.abs()).all()


def test_a_run_that_gives_up_has_the_last_generation() -> None:
    target = plain_set(lambda c: c, [(0, 1)], Free(normal(10, 1)))
    sampler = small(goal="max", iterations=9)
    ended = drive(sampler, target, seeded(), limits=Limits(code_steps=1))
    assert ended.status is Status.BUDGET
    assert ended.steps == 1  # the step that reaches the budget is the last
    assert ended.kept is not None
    assert ended.kept.trimmed()["step"].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"encoding": "real", "bits": 8}, "bits is of encoding=binary"),
        ({"sigma": 0.5}, "sigma is of encoding=real"),
        ({"elite": 9}, "elite=9 is more than a population of 8"),
        ({"goal": "max", "n": 9}, "1 x 8 codes of a generation are fewer than n=9"),
        ({"encoding": "gray"}, "encoding must be binary, float32 or real"),
    ],
)
def test_what_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InvsetError, match=word):
        small(**options)

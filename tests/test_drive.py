"""How runs end, are interrupted and go on; and that no step waits for the device."""

from __future__ import annotations

import io
from collections import Counter
from typing import Any

import pytest
import torch
from cases import cube, linear, plain_set, run, seeded, tanh_net
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from invset.core.kept import Kept
from invset.core.space import Box, CodePrior, Region
from invset.core.target import InverseSet
from invset.errors import InvsetError
from invset.samplers.base import Sampler, State, Status, closest, drive, load_state_dict, state_dict
from invset.samplers.full import Full
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage
from invset.studies.ladder import Ladder

SAMPLERS = [
    Stream(K=5, n=60),
    Stream(K=5, n=60, step="multipliers", diversity=0.1),
    TwoStage(K=5, n=60, inner_steps=4),
    TwoStage(K=5, n=60, inner_steps=4, slack="frozen", earlier="all"),
    Full(K=60, n=60, inner_steps=6, tolerance=0.01),
    TwoStage(K=5, n=60, inner_steps=4, chains=3),
]
NAMES = ["gauss_newton", "multipliers", "two_stage", "frozen", "full", "chains"]

samplers = pytest.mark.parametrize("sampler", SAMPLERS, ids=NAMES)


def slab() -> InverseSet:
    w = linear()
    return plain_set(lambda c: c @ w, [(0.9, 1.2)], cube())


def through_a_file(state: State, rng: torch.Generator) -> tuple[State, torch.Generator]:
    file = io.BytesIO()
    torch.save({"state": state_dict(state), "rng": rng.get_state()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = torch.Generator()
    other.set_state(saved["rng"])
    return load_state_dict(saved["state"]), other


def assert_same(a: State, b: State) -> None:
    assert (a.status, a.steps, a.code_steps) == (b.status, b.steps, b.code_steps)
    for name, rows in a.kept.trimmed().items():
        assert torch.equal(rows, b.kept.trimmed()[name]), name
    assert torch.equal(a.u, b.u)
    assert torch.equal(a.best_f, b.best_f)


@samplers
def test_same_seed_same_bytes(sampler: Sampler) -> None:
    a, b, other = run(sampler, slab(), 3), run(sampler, slab(), 3), run(sampler, slab(), 4)
    assert a.status is Status.REACHED
    assert_same(a, b)
    assert not torch.equal(a.kept.u, other.kept.u)


@samplers
@pytest.mark.parametrize("rounds", [1, 3])
def test_interrupted_between_rounds_and_gone_on(sampler: Sampler, rounds: int) -> None:
    whole, rng, seen = run(sampler, slab()), seeded(), []

    def on_round(state: State, rows: list[list[float]]) -> None:
        seen.append(state)
        if len(seen) == rounds:
            raise KeyboardInterrupt

    first = drive(sampler, slab(), rng, on_round=on_round).state
    assert first.status is Status.INTERRUPTED
    assert first.kept.count == seen[-1].kept.count
    assert first.steps < whole.steps
    state, rng = through_a_file(first, rng)
    assert_same(drive(sampler, slab(), rng, state).state, whole)


@samplers
@pytest.mark.parametrize("call", [9, 15, 23])
def test_interrupted_in_the_middle_of_a_round_and_gone_on(sampler: Sampler, call: int) -> None:
    whole, target, calls = run(sampler, slab()), slab(), Counter()

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls["evaluate"] += 1
        if calls["evaluate"] == call:
            raise KeyboardInterrupt
        return target.evaluate(codes)

    rng, draws, states = seeded(), [], []

    def on_round(state: State, rows: list[list[float]]) -> None:
        draws.append(rng.get_state())
        states.append((state, {k: v.clone() for k, v in state.kept.trimmed().items()}))

    broken = drive(
        sampler, InverseSet(evaluate, target.range, target.region), rng, on_round=on_round
    ).state
    assert broken.status is Status.INTERRUPTED
    last, kept = states[-1]
    assert broken.steps == last.steps
    for name, rows in broken.kept.trimmed().items():  # what the broken round wrote is not seen
        assert torch.equal(rows, kept[name])
    rng.set_state(draws[-1])
    state, rng = through_a_file(broken, rng)
    assert_same(drive(sampler, target, rng, state).state, whole)


def test_an_interrupt_before_the_first_state_is_raised() -> None:
    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        raise KeyboardInterrupt

    target = slab()
    with pytest.raises(KeyboardInterrupt):
        drive(Stream(K=2, n=4), InverseSet(evaluate, target.range, target.region), seeded())


@pytest.mark.parametrize("sampler", [*SAMPLERS, Ladder(K=4, ranges=[(0.0, 0.5), (0.5, 1.0)])])
def test_an_interrupt_after_the_end_changes_nothing(sampler: Sampler) -> None:
    def on_round(state: State, rows: list[list[float]]) -> None:
        if state.status is not Status.RUNNING:
            raise KeyboardInterrupt

    state = drive(sampler, slab(), seeded(), on_round=on_round).state
    assert state.status is Status.REACHED
    again, rng = through_a_file(state, seeded())
    assert drive(sampler, slab(), rng, again).state.steps == state.steps


@pytest.mark.parametrize(
    "sampler",
    [
        Stream(K=5, n=50),
        Stream(K=5, n=50, step="multipliers"),
        TwoStage(K=5, n=50, inner_steps=10, max_outer=20),
        TwoStage(K=5, n=50, inner_steps=10, max_outer=20, slack="frozen"),
        Full(K=5, n=5, inner_steps=10, max_outer=20),
        TwoStage(K=1, n=50, inner_steps=10, max_outer=20, chains=5),
    ],
    ids=NAMES,
)
@pytest.mark.parametrize(
    "ends", [[(0.2, 0.4), (0.2, 0.4)], [(50.0, 60.0), (-1.0, 1.0)]], ids=["contradiction", "beyond"]
)
def test_an_empty_set_ends_as_unreachable(
    sampler: Sampler, ends: list[tuple[float, float]]
) -> None:
    f = tanh_net(p=1)
    target = plain_set(lambda c: torch.cat([f(c), -f(c)], dim=1), ends, cube())
    state = run(sampler, target)
    assert state.status is Status.UNREACHABLE
    assert int(state.kept.count) == 0
    assert state.steps <= 200  # patience * max_age, max_outer * inner_steps
    assert state.code_steps <= 5 * 200
    # what came closest is told: no nearer than the truth, and nearer than the start
    start = f(seeded_start(sampler, target))
    first = closest(target, torch.cat([start[0], -start[0]]), torch.cat([start, -start], dim=1))
    assert miss(target, state.best_f) <= miss(target, first)
    torch.testing.assert_close(state.best_f[0], -state.best_f[1])


def seeded_start(sampler: Sampler, target: InverseSet) -> Tensor:
    return sampler.init(target, seeded()).u


def miss(target: InverseSet, f: Tensor) -> float:
    return (target.range.violation(f.unsqueeze(0)) / target.range.width).square().sum().item()


@samplers
@pytest.mark.parametrize("start", [1, 13])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_end_the_run(sampler: Sampler, start: int, bad: float) -> None:
    target, calls = slab(), Counter()

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls["evaluate"] += 1
        f, e = target.evaluate(codes)
        return (f * bad if calls["evaluate"] >= start else f), e

    state = run(sampler, InverseSet(evaluate, target.range, target.region))
    assert state.status is Status.NOT_FINITE
    assert torch.isfinite(state.kept.trimmed()["u"]).all()
    assert torch.isfinite(state.kept.trimmed()["f"]).all()


def test_stream_gives_up_when_nothing_more_arrives() -> None:
    target, calls = slab(), Counter()

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls["evaluate"] += 1
        f, e = target.evaluate(codes)
        return (f if calls["evaluate"] < 15 else f - 100), e

    state = run(Stream(K=5, n=60, max_age=10), InverseSet(evaluate, target.range, target.region))
    assert state.status is Status.BUDGET
    assert 0 < int(state.kept.count) < 60


def test_budget_of_code_steps() -> None:
    # a range that is hard to hit: never more code-steps than budget * n and one round
    target = plain_set(tanh_net(), [(0.1, 0.1001)] * 3, cube())
    state = run(Stream(K=5, n=20, budget=5.0, max_age=40), target)
    assert state.code_steps <= 5 * 20 + 5 * 5
    assert state.status in (Status.BUDGET, Status.UNREACHABLE)


def test_seeds_that_do_not_all_arrive_are_kept() -> None:
    # f does not depend on the code, but on which half it began in: half of the codes can never
    # arrive
    target = plain_set(lambda c: (c[:, :1] - 0.5).sign() + 0.0 * c[:, :1], [(0.5, 1.5)], cube())
    state = run(TwoStage(K=8, n=20, inner_steps=3, max_outer=2, objective="none"), target)
    assert state.status is Status.BUDGET
    assert 0 < int(state.kept.count) < 8


def test_seeds_that_arrive_with_the_last_step_go_on() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.2, 0.4)], cube())
    sampler = TwoStage(K=5, n=20, inner_steps=1)
    state, rounds = sampler.init(target, seeded()), 0
    while state.extra["stage"] == "seeds":
        state, rounds = sampler.round(target, state, seeded())[0], rounds + 1
    # all were inside before the last round's step, so they were in after the step of the round
    # before it
    state = run(TwoStage(K=5, n=20, inner_steps=1, max_outer=rounds - 1), target)
    assert rounds > 2
    assert state.status is Status.REACHED


@samplers
def test_rows_are_one_a_step(sampler: Sampler) -> None:
    rows: list[list[float]] = []
    state = drive(sampler, slab(), seeded(), on_round=lambda _, new: rows.extend(new)).state
    assert {len(row) for row in rows} == {len(sampler.columns)}
    # the pass that finds all seeds inside takes no step
    assert len(rows) - state.steps == (1 if isinstance(sampler, TwoStage) else 0)
    chains = getattr(sampler, "chains", 1)
    if isinstance(sampler, Stream) or chains > 1:
        # the stream's batch shrinks when fewer samples are wanted; chains that have their seeds
        # wait for the others
        assert state.code_steps <= sampler.K * chains * len(rows)
    else:
        assert state.code_steps == sampler.K * len(rows)


def test_closest() -> None:
    target = plain_set(lambda c: c, [(0.0, 1.0), (0.0, 10.0)], cube())
    best, f = torch.tensor([2.0, 5.0]), torch.tensor([[0.5, 15.0], [1.9, 30.0], [torch.nan, 5.0]])
    # in widths: 1 for the best so far; 0.5, above 2, and nothing known for the rows
    assert closest(target, best, f).tolist() == [0.5, 15.0]
    assert closest(target, torch.tensor([0.5, 5.0]), f).tolist() == [0.5, 5.0]


def test_kept_drops_what_comes_after_the_last() -> None:
    def rows(*numbers: float) -> Tensor:
        return torch.tensor(numbers).unsqueeze(1)

    first = Kept.empty(3, rows(0), rows(0), rows(0)).add(
        torch.tensor([False, True, True]),
        rows(1, 2, 3),
        rows(10, 20, 30),
        rows(0, 0, 0),
        7,
        torch.arange(3),
    )
    second = first.add(
        torch.tensor([True, False, True]),
        rows(4, 5, 6),
        rows(40, 50, 60),
        rows(0, 0, 0),
        8,
        torch.arange(3),
    )
    assert second.trimmed()["u"].squeeze(1).tolist() == [2, 3, 4]
    assert second.trimmed()["f"].squeeze(1).tolist() == [20, 30, 40]
    assert second.trimmed()["step"].tolist() == [7, 7, 8]
    assert second.trimmed()["parent"].tolist() == [1, 2, 0]
    assert int(second.count) == 3
    assert first.trimmed()["u"].squeeze(1).tolist() == [2, 3]


@pytest.mark.parametrize("make", [Stream, TwoStage, Full])
@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"K": 0}, "K"),
        ({"K": 5, "n": 4}, "n=4"),
        ({"n": 2.5}, "n"),
        ({"mu0": 0}, "mu0"),
        ({"alpha": 1}, "alpha"),
        ({"K": True}, "K"),
    ],
)
def test_bad_numbers_are_refused(make: Any, bad: dict[str, Any], word: str) -> None:
    with pytest.raises(InvsetError, match=word):
        make(**bad)


class Waits(TorchDispatchMode):
    """Counts the operations that read a number back from the device."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put_") and any(
            i is not None and i.dtype == torch.bool for i in args[1]
        )
        self.count += by_mask or name in (
            "_local_scalar_dense",
            "is_nonzero",
            "item",
            "nonzero",
            "equal",
            "masked_select",
        )
        return func(*args, **(kwargs or {}))


def test_the_counter_counts() -> None:
    with Waits() as waits:
        x = torch.ones(3)
        assert x.sum() > 0
        x.max().item()
        x[x > 0]
    assert waits.count >= 3


def regions() -> dict[str, Region]:
    return {
        "box": cube(),
        "box per unit": Box(torch.zeros(8), torch.ones(8), cube().start),
        "prior": CodePrior.gaussian(8),
    }


@pytest.mark.parametrize("region", list(regions()))
@pytest.mark.parametrize("step", ["gauss_newton", "multipliers"])
def test_a_step_of_the_stream_does_not_wait(step: str, region: str) -> None:
    w, prior = (
        linear(p=2).to(torch.float32 if region == "prior" else torch.float64),
        regions()[region],
    )
    target = plain_set(lambda c: c @ w, [(0.0, 0.5), (0.0, 1.0)], prior)
    sampler = Stream(K=5, n=50, step=step, diversity=0.1)
    state, rng = sampler.init(target, seeded()), seeded()
    state, _ = sampler._step(target, state, rng)  # what is read once, and kept
    with Waits() as waits:
        for _ in range(5):
            state, _ = sampler._step(target, state, rng)
    assert waits.count == 0


@pytest.mark.parametrize("region", list(regions()))
@pytest.mark.parametrize("slack", ["frozen", "fresh"])
def test_inner_steps_of_two_stage_do_not_wait(slack: str, region: str) -> None:
    w, prior = (
        linear(p=2).to(torch.float32 if region == "prior" else torch.float64),
        regions()[region],
    )
    target = plain_set(lambda c: c @ w, [(0.5, 0.6), (0.0, 0.1)], prior)

    def waits(inner_steps: int, stage: str) -> int:
        sampler = TwoStage(K=5, n=50, slack=slack, inner_steps=inner_steps)
        state, rng = sampler.init(target, seeded()), seeded()
        state, _ = sampler.round(target, state, rng)
        state.extra["stage"] = stage
        with Waits() as waits:
            sampler.round(target, state, rng)
        return waits.count

    assert waits(2, "seeds") == waits(9, "seeds") <= 8
    assert waits(25, "seeds") == waits(2, "seeds") + 2  # have all come in? every tenth step
    assert waits(2, "sampling") <= 3  # of five steps: how many, are they finite


@pytest.mark.parametrize("region", list(regions()))
@pytest.mark.parametrize("slack", ["frozen", "fresh"])
def test_inner_steps_of_full_do_not_wait(slack: str, region: str) -> None:
    w, prior = (
        linear(p=2).to(torch.float32 if region == "prior" else torch.float64),
        regions()[region],
    )
    target = plain_set(lambda c: c @ w, [(0.5, 0.6), (0.0, 0.1)], prior)

    def waits(inner_steps: int, n: int) -> int:
        sampler = Full(K=5, n=n, slack=slack, inner_steps=inner_steps)
        state, rng = sampler.init(target, seeded()), seeded()
        state, _ = sampler.round(target, state, rng)  # what is read once, and kept
        with Waits() as waits:
            sampler.round(target, state, rng)
        return waits.count

    assert waits(2, 17) == waits(12, 17) == waits(2, 34) <= 3

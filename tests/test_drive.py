"""Every sampler on small problems: how runs end, are interrupted and go on, and what they cost.

The samplers are found by their files in ``configs/sampler``: a new one is tested here without a
change.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
from cases import cube, linear, normal, plain_set, run, seeded, tanh_net
from conftest import study
from torch import Tensor

from invset.core.kept import Kept
from invset.core.space import CodePrior
from invset.core.target import Evaluate, Layer, Meter, Seen, Target
from invset.errors import InvsetError
from invset.samplers.base import Limits, Status
from invset.samplers.drive import closest
from invset.samplers.found import Found
from invset.samplers.full import Full
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage
from invset.studies.study import Sampling, Study, loaded, saved


def with_layer(target: Target, units: Callable[[Tensor], Tensor]) -> Target:
    """The same target with two units beside the neuron, for samplers that compare it with them, and
    with real inputs.
    """
    real = target.space.sample(20, seeded(6))  # for those that begin at real inputs
    return replace(target, layer=Layer(lambda c: (units(c), c), 0), real=real)


def slab() -> Target:
    """A linear unit on the unit cube."""
    weights = torch.cat([linear(), normal(8, 2, seed=7)], 1)
    target = plain_set(lambda c: c @ weights[:, :1], [(0.9, 1.2)], cube())
    return with_layer(target, lambda c: c @ weights)


def bent() -> Target:
    """A smooth nonlinear unit on the unit cube."""
    f = tanh_net(p=3)
    target = plain_set(lambda c: 4 * f(c)[:, :1], [(0.9, 1.2)], cube())
    return with_layer(target, lambda c: 4 * f(c))


PROBLEMS = {"slab": slab, "tanh": bent}
problems = pytest.mark.parametrize("problem", list(PROBLEMS.values()), ids=list(PROBLEMS))


#: Enough for a few samples of every sampler.
ENOUGH = Limits(code_steps=1500)


def found(one: Study, target: Target, seed: int = 0, **options: Any) -> Found:
    return one.found(target, one.run(target, seeded(seed), **{"limits": ENOUGH, **options}))


Log = list[list[float]]


def logged(sampler_name: str, target: Target, seed: int = 0) -> tuple[Found, Log]:
    """What a run finds, and its log."""
    log: Log = []
    one = study(sampler_name)
    return found(one, target, seed, on_look=lambda _, rows, __: log.extend(rows)), log


@cache
def kept(sampler_name: str, problem: Callable[[], Target]) -> tuple[Found, Log]:
    """The same, of seed 0; made once, and `test_same_seed_same_bytes` makes it once more."""
    return logged(sampler_name, problem())


def whole(sampler_name: str, problem: Callable[[], Target]) -> Found:
    """What an uninterrupted run finds."""
    return kept(sampler_name, problem)[0]


def assert_same(a: Found, b: Found) -> None:
    assert (a.status, a.steps, a.meter) == (b.status, b.steps, b.meter)
    for name in ("u", "f", "e", "step", "parent", "origin", "row"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert torch.equal(a.best_f, b.best_f)


def through_a_file(one: Study, state: Any, rng: torch.Generator) -> tuple[Any, torch.Generator]:
    file = io.BytesIO()
    torch.save({"state": saved(state), "rng": rng.get_state()}, file)
    file.seek(0)
    plain = torch.load(file, weights_only=True)
    other = torch.Generator()
    other.set_state(plain["rng"])
    return loaded(one, plain["state"]), other


def calling(target: Target, before: Callable[[int], None]) -> Target:
    """The same target; `before` is told the number from 1 of every pass before it is made."""
    calls: Counter[str] = Counter()

    def counted(evaluate: Evaluate) -> Evaluate:
        def made(codes: Tensor) -> tuple[Tensor, Tensor]:
            calls["passes"] += 1
            before(calls["passes"])
            return evaluate(codes)

        return made

    assert target.layer is not None
    layer = replace(target.layer, evaluate=counted(target.layer.evaluate))
    return replace(target, evaluate=counted(target.evaluate), layer=layer, meter=Meter())


@problems
def test_same_seed_same_bytes(sampler_name: str, problem: Callable[[], Target]) -> None:
    a, log = kept(sampler_name, problem)
    b, same = logged(sampler_name, problem())
    _, other = logged(sampler_name, problem(), seed=4)
    assert len(a.u)
    assert_same(a, b)
    assert log == same != other


@problems
@pytest.mark.parametrize("looks", [1, 3])
def test_interrupted_between_looks_and_gone_on(
    sampler_name: str, problem: Callable[[], Target], looks: int
) -> None:
    one = study(sampler_name)
    rng = seeded()
    seen = []

    def on_look(state: Any, rows: list[list[float]], count: int) -> None:
        seen.append(count)
        if len(seen) == looks:
            raise KeyboardInterrupt

    first = one.run(problem(), rng, on_look=on_look, limits=ENOUGH)
    if len(seen) < looks:
        pytest.skip("it ended before")
    if first.status is Status.INTERRUPTED:
        assert first.meter.code_steps < whole(sampler_name, problem).meter.code_steps
    target = problem()
    state, rng = through_a_file(one, first, rng)
    result = one.found(target, one.run(target, rng, state, limits=ENOUGH))
    assert_same(result, whole(sampler_name, problem))


@problems
@pytest.mark.parametrize("call", [9, 15, 23])
def test_interrupted_in_the_middle_of_a_round_and_gone_on(
    sampler_name: str, problem: Callable[[], Target], call: int
) -> None:
    one = study(sampler_name)

    def interrupt(number: int) -> None:
        if number == call:
            raise KeyboardInterrupt

    rng = seeded()
    draws = []
    states = []

    def on_look(state: Any, rows: list[list[float]], count: int) -> None:
        draws.append(rng.get_state())
        states.append(state)

    broken = one.run(calling(problem(), interrupt), rng, on_look=on_look, limits=ENOUGH)
    if broken.status is not Status.INTERRUPTED or not draws:
        pytest.skip("it ended before, or had no look yet")
    rng.set_state(draws[-1])
    target = problem()
    # what the broken round wrote is not seen
    before = one.found(target, states[-1])
    assert torch.equal(one.found(target, broken).u[: len(before.u)], before.u)
    state, rng = through_a_file(one, broken, rng)
    result = one.found(target, one.run(target, rng, state, limits=ENOUGH))
    assert_same(result, whole(sampler_name, problem))


def test_an_interrupt_after_the_end_changes_nothing(sampler_name: str) -> None:
    one = study(sampler_name)

    def on_look(state: Any, rows: list[list[float]], count: int) -> None:
        if state.status is not Status.RUNNING:
            raise KeyboardInterrupt

    state = one.run(slab(), seeded(), on_look=on_look, limits=ENOUGH)
    again, rng = through_a_file(one, state, seeded())
    target = slab()
    result = one.found(target, one.run(target, rng, again, limits=ENOUGH))
    assert_same(result, whole(sampler_name, slab))


@pytest.mark.parametrize("start", [1, 13])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_end_the_run(sampler_name: str, start: int, bad: float) -> None:
    target = slab()
    calls: Counter[str] = Counter()

    def spoilt(evaluate: Evaluate) -> Evaluate:
        def made(codes: Tensor) -> tuple[Tensor, Tensor]:
            calls["passes"] += 1
            f, e = evaluate(codes)
            return (f * bad if calls["passes"] >= start else f), e

        return made

    assert target.layer is not None
    layer = replace(target.layer, evaluate=spoilt(target.layer.evaluate))
    target = replace(target, evaluate=spoilt(target.evaluate), layer=layer)
    result = found(study(sampler_name), target)
    if calls["passes"] < start:
        pytest.skip("it ended before")
    assert result.status is Status.NOT_FINITE
    assert torch.isfinite(result.u).all()
    assert torch.isfinite(result.f).all()


def test_a_budget_of_code_steps(sampler_name: str) -> None:
    one = study(sampler_name)
    seen = []

    def on_look(state: Any, rows: list[list[float]], count: int) -> None:
        seen.append(state.meter.code_steps)

    limit = whole(sampler_name, slab).meter.code_steps / 3
    result = found(one, slab(), on_look=on_look, limits=Limits(code_steps=limit))
    assert result.status is Status.BUDGET  # with samples or without: the limit was given
    # it ends at the first look past the limit
    assert seen[-1] >= limit
    assert all(spent < limit for spent in seen[:-1])


@pytest.mark.parametrize("kind", ["code_steps", "forwards"])
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_no_budget_is_exceeded_by_more_than_a_batch(
    sampler_name: str, kind: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any two samplers under one budget none spends more than its last step beyond it."""
    one = study(sampler_name)
    if not isinstance(one, Sampling):
        pytest.skip("a study of several sets")
    limit = share * getattr(whole(sampler_name, slab).meter, kind)
    plain = type(one.sampler).step
    costs: list[float] = []

    def step(self: Any, target: Target, state: Any, rng: torch.Generator) -> Any:
        before = getattr(target.meter, kind)
        made = plain(self, target, state, rng)
        costs.append(getattr(target.meter, kind) - before)
        return made

    monkeypatch.setattr(type(one.sampler), "step", step)
    spent = getattr(found(one, slab(), limits=Limits(**{kind: limit})).meter, kind)
    begun = spent - sum(costs)  # before the first step
    assert spent - costs[-1] < max(limit, begun + 1e-9)
    assert spent >= limit


def test_what_is_left_of_limits() -> None:
    left = Limits(code_steps=10, patience=3, seconds=2).less(Meter(3, 6), 0.5)
    assert left == Limits(code_steps=5, patience=3, seconds=1.5)
    # a run that goes on with smaller limits than before has nothing left
    assert Limits(code_steps=4, seconds=0.1).less(Meter(3, 6), 0.5) == Limits(0, None, 0)
    assert Limits(forwards=5).less(Meter(3, 6), 0.5) == Limits(forwards=2)
    assert Limits(forwards=5).tightened(Limits(seconds=1)) == Limits(forwards=5, seconds=1)
    assert not Limits(forwards=4, code_steps=6).spent(Meter(3, 6))
    assert Limits(forwards=3, code_steps=6).spent(Meter(3, 6))


def test_a_budget_of_seconds(sampler_name: str) -> None:
    looks = []
    result = found(
        study(sampler_name),
        slab(),
        on_look=lambda state, rows, count: looks.append(count),
        limits=Limits(seconds=0.0),
    )
    assert result.status is Status.BUDGET  # with samples or without: the limit was given
    assert len(looks) == 1


@problems
def test_the_order_of_a_batch_does_not_matter(
    sampler_name: str, problem: Callable[[], Target]
) -> None:
    target = problem()

    def turned(evaluate: Evaluate) -> Evaluate:
        def made(codes: Tensor) -> tuple[Tensor, Tensor]:
            f, e = evaluate(codes.flip(0))
            return f.flip(0), e.flip(0)

        return made

    assert target.layer is not None
    layer = replace(target.layer, evaluate=turned(target.layer.evaluate))
    other = replace(target, evaluate=turned(target.evaluate), layer=layer)
    one = study(sampler_name)
    few = Limits(code_steps=150)  # rounding grows from step to step
    a = one.run(problem(), seeded(), limits=few)
    b = one.run(other, seeded(), limits=few)
    torch.testing.assert_close(tensors(a), tensors(b), rtol=1e-6, atol=1e-6, equal_nan=True)


@problems
@pytest.mark.parametrize("exact", [True, False])
def test_every_pass_is_counted(
    sampler_name: str, problem: Callable[[], Target], exact: bool
) -> None:
    rows: Counter[str] = Counter()

    class Counted(torch.autograd.Function):
        """The identity, which counts the rows of its backward passes."""

        @staticmethod
        def forward(ctx: Any, codes: Tensor) -> Tensor:
            return codes.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            rows["backwards"] += len(gradient)
            return gradient

    def counted(evaluate: Evaluate) -> Evaluate:
        def made(codes: Tensor) -> tuple[Tensor, Tensor]:
            rows["forwards"] += len(codes)
            return evaluate(Counted.apply(codes))

        return made

    target = problem()
    assert target.layer is not None
    layer = replace(target.layer, evaluate=counted(target.layer.evaluate))
    target = replace(target, evaluate=counted(target.evaluate), layer=layer, exact=exact)
    meter = found(study(sampler_name), target).meter
    assert (meter.forwards, meter.backwards) == (rows["forwards"], rows["backwards"])
    assert meter.code_steps == pytest.approx(meter.forwards / 3 + 2 * meter.backwards / 3)


def test_rows_of_the_log_are_one_a_step(sampler_name: str) -> None:
    result, rows = kept(sampler_name, slab)
    assert len(rows) == result.steps
    assert {len(row) for row in rows} == {len(result.columns)}
    names = [column.name for column in result.columns]
    assert len(set(names)) == len(names)
    assert names[:3] == ["f_min", "f_mean", "f_max"]
    assert all(column.title for column in result.columns)
    table = torch.tensor(rows)
    assert (table[:, 0] <= table[:, 1] + 1e-6).all()
    assert (table[:, 1] <= table[:, 2] + 1e-6).all()


@problems
def test_samples_lie_where_the_sampler_promises(
    sampler_name: str, problem: Callable[[], Target]
) -> None:
    one = study(sampler_name)
    target = problem()
    result = whole(sampler_name, problem)
    torch.testing.assert_close(target.look(result.u).f, result.f)
    assert ((result.u >= 0) & (result.u <= 1)).all() or not holds_range(one)
    ends = torch.tensor(result.ranges, dtype=torch.float64)[result.row]
    inside = (result.f >= ends[..., 0]) & (result.f <= ends[..., 1])
    assert inside.all() or not holds_range(one)
    if result.cells is not None:
        numbers = result.cells[result.cells >= 0]
        assert numbers.tolist() == list(range(len(result.u)))


def tensors(state: Any) -> list[Tensor]:
    """All tensors of a state."""
    if isinstance(state, Tensor):
        return [state]
    if isinstance(state, dict):
        state = list(state.values())
    if isinstance(state, list):
        return [tensor for one in state for tensor in tensors(one)]
    return tensors(saved(state)) if is_dataclass(state) else []


def holds_range(one: Study) -> bool:
    return getattr(getattr(one, "sampler", None), "holds_range", True)


def test_an_empty_set_ends_as_unreachable(sampler_name: str) -> None:
    range_ = slab().range
    target = slab().at(replace(range_, z1=range_.z1 + 50, z2=range_.z2 + 50))
    one = study(sampler_name, ranges=[(50.0, 60.0)], n=6)
    if not holds_range(one):
        pytest.skip("it keeps what it visits")
    # its own limits end it; what has none ends by itself, or fails here
    own = isinstance(one, Sampling) and one.sampler.limits() != Limits()
    result = found(one, target, limits=Limits() if own else Limits(code_steps=20_000))
    assert result.meter.code_steps < 20_000 or own
    assert result.status is Status.UNREACHABLE
    assert not len(result.u)
    # what came closest is told
    assert result.best_f.item() <= linear().clamp_min(0).sum().item() + 1e-9
    assert result.best_f.item() > slab().look(cube().sample(100, seeded())).f.max().item()


def test_an_interrupt_before_the_first_state_is_raised() -> None:
    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Full(K=2, n=4), calling(slab(), interrupt))


def test_a_state_of_another_sampler_is_refused() -> None:
    stream, two_stage = study("stream"), study("two_stage")
    plain = saved(stream.run(slab(), seeded()))
    with pytest.raises(InvsetError, match="start the run anew"):
        loaded(two_stage, plain)


def test_stream_gives_up_when_nothing_more_arrives() -> None:
    target = slab()
    calls: Counter[str] = Counter()

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls["passes"] += 1
        f, e = target.evaluate(codes)
        return (f if calls["passes"] < 15 else f - 100), e

    ended = run(Stream(K=5, n=60, max_age=10), replace(target, evaluate=evaluate))
    assert ended.status is Status.BUDGET
    assert 0 < ended.count < 60


def test_seeds_that_do_not_all_arrive_are_kept() -> None:
    # f does not depend on the code, but on which half it began in: half of the codes can never
    # come inside
    target = plain_set(lambda c: (c[:, :1] - 0.5).sign() + 0.0 * c[:, :1], [(0.5, 1.5)], cube())
    ended = run(TwoStage(K=8, n=20, inner_steps=3, max_outer=2, objective="none"), target)
    assert ended.status is Status.BUDGET
    assert 0 < ended.count < 8


def test_closest() -> None:
    target = plain_set(lambda c: c, [(0.0, 1.0), (0.0, 10.0)], cube())
    best = torch.tensor([2.0, 5.0])
    f = torch.tensor([[0.5, 15.0], [1.9, 30.0], [torch.nan, 5.0]])
    # in widths: 1 for the best so far; 0.5, above 2, and nothing known for the rows
    assert closest(target, best, f).tolist() == [0.5, 15.0]
    assert closest(target, torch.tensor([0.5, 5.0]), f).tolist() == [0.5, 5.0]


def rows(*numbers: float) -> Tensor:
    return torch.tensor(numbers).unsqueeze(1)


def test_kept_drops_what_comes_after_the_last() -> None:
    zeros = rows(0, 0, 0)
    seen = Seen(rows(1, 2, 3), rows(10, 20, 30), zeros)
    first = Kept.empty(3, seen).add(torch.tensor([False, True, True]), seen, torch.arange(3), 7)
    later = Seen(rows(4, 5, 6), rows(40, 50, 60), zeros)
    second = first.add(torch.tensor([True, False, True]), later, torch.arange(3), 8, 1)
    assert second.trimmed()["u"].squeeze(1).tolist() == [2, 3, 4]
    assert second.trimmed()["f"].squeeze(1).tolist() == [20, 30, 40]
    assert second.trimmed()["step"].tolist() == [7, 7, 8]
    assert second.trimmed()["parent"].tolist() == [1, 2, 0]
    assert second.trimmed()["origin"].tolist() == [0, 0, 1]
    assert int(second.count) == 3
    assert first.trimmed()["u"].squeeze(1).tolist() == [2, 3]
    assert first.or_more(second).trimmed()["u"].squeeze(1).tolist() == [2, 3, 4]
    assert second.or_more(first).trimmed()["u"].squeeze(1).tolist() == [2, 3, 4]


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"K": 0}, "K must be a whole number of at least 1"),
        ({"K": 50}, "n=30"),
        ({"n": 2.5}, "n must be a whole number"),
        ({"mu0": 0}, "mu0 must be a number above 0"),
        ({"alpha": 1}, "alpha must be a number above 1"),
        ({"mu0": float("inf")}, "mu0 must be a number above 0 and below"),
        ({"alpha": float("inf")}, "alpha must be a number above 1 and below"),
        ({"K": True}, "K must be"),
    ],
)
def test_bad_numbers_are_refused(sampler_name: str, bad: dict[str, Any], word: str) -> None:
    (key,) = bad
    component = getattr(study(sampler_name), "sampler", None)
    if component is None or not hasattr(component, key):
        pytest.skip("it has no such option")
    with pytest.raises(InvsetError, match=word):
        study(sampler_name, **bad)


def test_coordinates_of_the_natural_region_stay_in_it(sampler_name: str) -> None:
    prior = CodePrior.gaussian(8)
    w = linear().float()
    one = study(sampler_name, ranges=[(0.5, 1.0)])
    if one.space == "codes":
        pytest.skip("it moves in plain codes")
    target = plain_set(lambda c: c @ w, [(0.5, 1.0)], prior)
    target = with_layer(target, lambda c: torch.cat([c @ w, c[:, :2]], 1))
    target = replace(target, real=prior.sample(20, seeded(6)))
    result = found(one, target)
    assert len(result.u)
    assert (result.u.norm(dim=1) <= float(prior.radius) * (1 + 1e-5)).all()

"""Whole steps of `stream`, recorded by a recorder that runs on any device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from cases import cube, linear, normal, seeded
from test_graphs import record
from test_passes import narrow, problem
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from invset.api import InverseSetSampler
from invset.core.ranges import ActivationRange
from invset.core.space import CodePrior, Region
from invset.core.target import Evaluate, Target, Whole
from invset.problem import passes
from invset.problem.graphs import SEEN
from invset.problem.runtime import Runtime
from invset.problem.whole_step import WholeStep
from invset.samplers.drive import Run, drive
from invset.samplers.stream import Stream

DIM = 8
REGIONS = {
    "box": cube(DIM),
    "ball": CodePrior.gaussian(DIM),
    "prior": CodePrior.fit(normal(99, DIM)),
}
SAMPLER = Stream(K=4, n=30)
WEIGHTS = linear(DIM, 2)


def bent(codes: Tensor) -> tuple[Tensor, Tensor]:
    """One neuron, and encodings that are no codes."""
    return torch.tanh(codes @ WEIGHTS[:, :1].to(codes)), codes.square()


def target(region: Region, evaluate: Evaluate = bent, whole: Whole | None = None) -> Target:
    like = region.sample(1, seeded())
    return Target(evaluate, ActivationRange.of([(0.2, 0.5)], like), region, whole=whole)


def never(codes: Tensor) -> tuple[Tensor, Tensor]:
    raise AssertionError("passes of a whole step are its own")


def counted(calls: Counter[str]) -> Any:
    def recorder(function: Callable[[], tuple[Tensor, ...]]) -> Any:
        calls["recorded"] += 1
        function()  # a warm-up, which is not counted as passes
        replay, outputs = record(function)

        def again() -> None:
            calls["replayed"] += 1
            replay()

        return again, outputs

    return recorder


def sampled(one: Target) -> Run[Any]:
    return drive(SAMPLER, one, seeded(3))


@pytest.mark.parametrize("region", list(REGIONS))
def test_replayed_steps_are_those_of_the_states_they_are_given(region: str) -> None:
    calls: Counter[str] = Counter()
    whole = Whole(bent, WholeStep(counted(calls)))
    expected = sampled(target(REGIONS[region]))
    found = sampled(target(REGIONS[region], never, whole))
    assert found.count == expected.count == SAMPLER.n
    assert found.meter == expected.meter
    assert (found.steps, found.status) == (expected.steps, expected.status)
    assert calls["replayed"] > 2 * SEEN
    for name, mine in found.kept.trimmed().items():
        torch.testing.assert_close(mine, expected.kept.trimmed()[name])


class Kernels(TorchDispatchMode):
    """Names of what ran."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def test_a_replayed_step_is_a_draw_and_copies() -> None:
    def nothing(function: Callable[[], tuple[Tensor, ...]]) -> Any:
        outputs = function()
        return lambda: None, outputs

    one = target(REGIONS["ball"], never, Whole(bent, WholeStep(nothing)))
    rng = seeded()
    state = SAMPLER.init(one, rng)
    for _ in range(SEEN + 3):  # moments have no width before the first step
        state, _ = SAMPLER.step(one, state, rng)
    with Kernels() as draw:
        REGIONS["ball"].sample(SAMPLER.K, rng)
    with Kernels() as step:
        SAMPLER.step(one, state, rng)
    more = step.names - draw.names
    assert set(more) <= {"_foreach_copy_", "empty_like", "_to_copy", "detach"}
    types = 4  # float32, int64, bool, float64
    assert more["_foreach_copy_"] <= 2 * types


def test_a_state_that_was_given_out_stays_as_it_was() -> None:
    one = target(REGIONS["box"], never, Whole(bent, WholeStep(record)))
    rng = seeded()
    state = SAMPLER.init(one, rng)
    states = []
    for _ in range(SEEN + 4):
        state, offer = SAMPLER.step(one, state, rng)
        states.append((state.u, state.u.clone(), offer.seen.f, offer.seen.f.clone()))
    for u, u_then, f, f_then in states:
        assert torch.equal(u, u_then)
        assert torch.equal(f, f_then)


def test_other_ranges_and_several_neurons_are_not_what_was_recorded() -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("nothing is recorded")

    one = target(REGIONS["box"], bent, Whole(never, refused))
    sampled(one.at(ActivationRange.of([(0.1, 0.3)], one.range.z1)))

    def two(codes: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tanh(codes @ WEIGHTS.to(codes)), codes

    ranges = ActivationRange.of([(0.2, 0.5), (0.1, 0.6)], one.range.z1)
    sampled(replace(one, evaluate=two, range=ranges))


def test_a_problem_with_graphs_records_whole_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    monkeypatch.setattr(Runtime, "check_device", lambda *_: None)
    monkeypatch.setattr(passes, "WholeStep", partial(WholeStep, counted(calls)))
    sampler = InverseSetSampler(sampler=Stream(K=4, n=12))
    ends = narrow()
    expected = sampler.run(problem(ends))
    found = sampler.run(problem(ends, cuda_graphs=True))
    assert calls["replayed"] > 0
    torch.testing.assert_close(found.codes, expected.codes)
    assert found.meter == expected.meter

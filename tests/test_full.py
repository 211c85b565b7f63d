"""All n codes together: against eq. (6) written out, for every number of codes in memory, and what
is held in memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import cube, linear, normal, plain_set, run, seeded, tanh_net, uniform
from looks import counted, looks, steps
from torch import Tensor

from invset.core.plain import to_plain
from invset.core.ranges import ActivationRange
from invset.core.space import CodePrior
from invset.core.steps import Adam, Normalized, Plain, StepRule
from invset.core.target import Inputs, Target
from invset.errors import InvsetError
from invset.samplers.base import Status
from invset.samplers.drive import Run, drive
from invset.samplers.full import Full
from invset.samplers.two_stage import TwoStage

N = 11
ENDS = [(0.1, 0.3), (-0.2, 0.1)]


def nonlinear(region: Any = None) -> Target:
    """Two activations and seven encodings of a code, all nonlinear."""
    f, first = tanh_net(p=2), normal(8, 7, seed=8)
    region = region or cube()
    return Target(
        lambda c: (f(c), torch.relu(c @ first) ** 2 + 5),
        ActivationRange.of(ENDS, region.sample(1, seeded())),
        region,
    )


def outer_iterations(sampler: Full, target: Target, count: int) -> tuple[Run[Any], Tensor]:
    """The run after some outer iterations, and the rows of its log."""
    seen = looks(sampler, target, count)
    assert len(seen) == count
    return seen[-1][0], torch.tensor([row for _, rows in seen for row in rows])


class WrittenOut:
    """Eq. (9) for n codes with the naive sum over pairs and one graph for all, in Adam's steps of
    `torch.optim`.
    """

    def __init__(self, sampler: Full, target: Target, u: Tensor) -> None:
        self.sampler, self.target, self.lambda_, self.mu = (
            sampler,
            target,
            torch.zeros(len(u), 4, dtype=u.dtype),
            1.0,
        )
        self.u = u.clone().requires_grad_()
        assert isinstance(sampler.step_rule, Adam)
        self.adam = torch.optim.Adam([self.u], lr=sampler.step_rule.lr, eps=0.0)

    def g(self, f: Tensor) -> Tensor:
        z1, z2, width = self.target.range.z1, self.target.range.z2, self.target.range.width
        aim = self.sampler.epsilon0 * width
        return torch.cat([(aim - z2 + f) / width, (aim + z1 - f) / width], dim=1)

    def loss(self, s: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        f, e = self.target.evaluate(self.u)
        g = self.g(f)
        if s is None:
            s = (g.detach() - self.lambda_ / self.mu).clamp_min(0)
        distances = sum(((a - b) ** 2).sum() for a in e for b in e)
        objective = (
            self.sampler.diversity * distances / (2 * len(e) * (e.detach() ** 2).sum(1).mean())
        )
        terms = (-self.lambda_ * (g - s) + self.mu / 2 * (g - s) ** 2).sum()
        return objective, terms, s

    def outer(self) -> list[list[float]]:
        s, rows = None, []
        for _ in range(self.sampler.inner_steps):
            objective, terms, s = self.loss(s if self.sampler.slack == "frozen" else None)
            rows.append([objective.item(), terms.item()])
            (self.u.grad,) = torch.autograd.grad(terms - objective, self.u)
            self.adam.step()
            with torch.no_grad():
                self.u.clamp_(0, 1)
        with torch.no_grad():
            self.lambda_ = (
                self.lambda_ - self.mu * self.g(self.target.evaluate(self.u)[0])
            ).clamp_min(0)
        self.mu *= self.sampler.alpha
        return rows


def unit_cube() -> Any:
    """The cube, with steps in its own units: torch's Adam knows no scale."""
    region = cube()
    region.__dict__["scale"] = 1.0
    return region


@pytest.mark.parametrize("slack", ["fresh", "frozen"])
@pytest.mark.parametrize("K", [3, N])
def test_two_outer_iterations_are_those_of_the_naive_sum(K: int, slack: str) -> None:
    target = nonlinear(unit_cube())
    sampler = Full(K=K, n=N, inner_steps=3, slack=slack, step_rule=Adam(0.02))
    state = sampler.init(target, seeded())
    naive = WrittenOut(sampler, target, state.u)
    for outer in range(1, 3):
        expected = naive.outer()
        state, offers = steps(sampler, target, state, 3)
        torch.testing.assert_close(state.u, naive.u.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(state.lambda_, naive.lambda_, rtol=1e-9, atol=1e-12)
        assert state.mu.item() == pytest.approx(3.0**outer)
        values = torch.stack([offer.log[:2] for offer in offers])
        torch.testing.assert_close(
            values, torch.tensor(expected, dtype=values.dtype), rtol=1e-10, atol=1e-12
        )
        assert [offer.chosen is None for offer in offers] == [True, True, False]
        f, e = target.evaluate(naive.u.detach())
        torch.testing.assert_close(offers[-1].seen.f, f)
        torch.testing.assert_close(offers[-1].seen.e, e)
    assert (state.lambda_ > 0).any()
    assert (state.u != state.u.clamp(0.01, 0.99)).any()  # some coordinates are at the cube's faces


CHOICES: list[dict[str, Any]] = [
    {},
    {
        "constraint": "paper",
        "units": "raw",
        "slack": "frozen",
        "diversity_units": "raw",
        "step_rule": Plain(1e-4),
    },
    {"objective": "codes", "step_rule": Normalized(0.02)},
    {"objective": "none", "epsilon0": 0.5},
    {"same_start": True, "objective": "codes"},
]


@pytest.mark.parametrize(
    "options", CHOICES, ids=["default", "paper", "codes", "none", "same start"]
)
@pytest.mark.parametrize("K", [1, 2, 3, 5, 10])
def test_codes_in_memory_do_not_change_the_result(K: int, options: dict[str, Any]) -> None:
    target, sampler = nonlinear(), Full(K=N, n=N, inner_steps=4, **options)
    whole, rows = outer_iterations(sampler, target, 3)
    parts, other_rows = outer_iterations(replace(sampler, K=K), target, 3)
    torch.testing.assert_close(parts.state.u, whole.state.u, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(parts.state.lambda_, whole.state.lambda_, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(other_rows, rows, rtol=1e-8, atol=1e-10)
    assert not torch.equal(whole.state.u, sampler.init(target, seeded()).u)
    for name, value in parts.kept.trimmed().items():
        torch.testing.assert_close(value, whole.kept.trimmed()[name], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("options", CHOICES[:4], ids=["default", "paper", "codes", "none"])
def test_seeds_of_two_stage_are_the_case_n_equal_to_k(options: dict[str, Any]) -> None:
    target = nonlinear()
    same = {
        "n": N,
        "inner_steps": 3,
        "epsilon0": 0.5,
        "diversity": 0.2,
        "step_rule": Adam(0.05),
        **options,
    }
    full, seeds = Full(K=4, **same), TwoStage(K=N, **same)
    a, b = full.init(target, seeded()), seeds.init(target, seeded())
    for _ in range(6):  # two_stage updates its multipliers at the beginning of an outer iteration
        a, _ = full.step(target, a, seeded())
        b, _ = seeds.step(target, b, seeded())
        torch.testing.assert_close(a.u, b.u, rtol=1e-9, atol=1e-11)
    assert a.outer == b.outer == 2
    assert not b.complete


def test_order_of_the_codes_does_not_matter() -> None:
    target, sampler, order = (
        nonlinear(),
        Full(K=4, n=N, inner_steps=5),
        torch.randperm(N, generator=seeded(1)),
    )
    first = sampler.init(target, seeded())
    a, _ = steps(sampler, target, first, 15)
    b, _ = steps(sampler, target, replace(first, u=first.u[order], f=first.f[order]), 15)
    torch.testing.assert_close(b.u, a.u[order], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(b.lambda_, a.lambda_[order], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("step", [Adam(0.05), Normalized(0.02)], ids=["adam", "normalized"])
@pytest.mark.parametrize(("scale", "shift"), [(100.0, 0.0), (0.01, 0.0), (1.0, 50.0)])
def test_units_of_f_do_not_matter(scale: float, shift: float, step: StepRule) -> None:
    f = tanh_net(p=1)
    plain = plain_set(f, [(0.1, 0.3)], cube())
    other = plain_set(
        lambda c: scale * f(c) + shift, [(0.1 * scale + shift, 0.3 * scale + shift)], cube()
    )
    sampler = Full(K=3, n=7, step_rule=step)
    a, b = (outer_iterations(sampler, t, 3)[0] for t in (plain, other))
    torch.testing.assert_close(a.state.u, b.state.u, rtol=1e-6, atol=1e-8)


def slab() -> Target:
    return plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())


def spread(x: Tensor) -> float:
    """Eq. (6) a pair."""
    return torch.cdist(x, x).square().mean().item()


def test_slab_of_a_linear_unit() -> None:
    state = run(Full(K=7, n=40, epsilon0=0.99), slab())
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
    assert kept["parent"].tolist() == list(range(40))
    assert slab().range.contains(kept["u"] @ linear()).all()
    assert kept["f"].min() < 0.02  # both faces
    assert kept["f"].max() > 0.48
    assert (kept["u"] == kept["u"].clamp(0, 1)).all()
    # at a maximum of eq. (6), a convex function, over the slab in the cube no code has more than
    # one coordinate off the faces
    between = ((kept["u"] > 0.02) & (kept["u"] < 0.98)).sum(1)
    assert (between <= 1).double().mean() > 0.9
    x = uniform(20000, 8, seed=9)
    assert spread(kept["u"]) > 1.9 * spread(x[slab().range.contains(x @ linear())][:1000])


def test_to_the_end_is_farther_apart_than_just_inside() -> None:
    inside, settled = (
        run(Full(K=20, n=20, until=until), slab()) for until in ("inside", "settled")
    )
    assert inside.status is settled.status is Status.REACHED
    assert inside.steps < settled.steps
    assert spread(settled.kept.trimmed()["u"]) > 1.1 * spread(inside.kept.trimmed()["u"])


def test_published_codes_leave_through_the_upper_end() -> None:
    state = run(Full(K=8, n=20, constraint="paper", epsilon0=0.5, max_outer=40), slab())
    f = state.kept.trimmed()["f"]
    assert (f >= 0).all()
    assert (f > 0.5).double().mean() > 0.2


def test_samples_are_of_the_outer_iteration_that_had_the_most() -> None:
    sampler, target = Full(K=4, n=12, inner_steps=2, step_rule=Adam(0.2)), slab()
    most = 0
    fell = False
    for found, _ in looks(sampler, target, 15):
        now = int(target.range.holds(found.state.f).sum())
        fell = fell or now < most
        most = max(most, now)
        assert found.count == int(found.kept.count) == found.state.most == most
        kept = found.kept.trimmed()
        if now == most:
            assert (kept["step"] == found.steps - 1).all()
            assert torch.equal(kept["u"], found.state.u[kept["parent"]])
    assert most == 12
    assert fell


def test_what_is_all_inside_in_the_end_is_reached_even_if_it_has_not_settled() -> None:
    state = run(Full(K=20, n=20, max_outer=6, tolerance=0.0), slab())
    assert state.status is Status.REACHED
    assert state.state.outer == 6


def test_some_inside_is_a_budget_and_none_is_unreachable_soon() -> None:
    # f does not depend on the code, but on which half it began in
    target = plain_set(lambda c: (c[:, :1] - 0.5).sign() + 0.0 * c[:, :1], [(0.5, 1.5)], cube())
    state = run(Full(K=3, n=8, inner_steps=3, max_outer=2, objective="none"), target)
    assert state.status is Status.BUDGET
    assert 0 < state.count < 8
    never = plain_set(lambda c: c @ linear() * 0.0, [(0.5, 1.5)], cube())
    state = run(Full(K=3, n=8, inner_steps=3, patience=5), never)
    assert (state.status, state.steps, state.count) == (Status.UNREACHABLE, 15, 0)


@pytest.mark.parametrize("K", [4, N])
def test_the_last_part_is_not_passed_forwards_twice(K: int) -> None:
    calls, target = Counter(), nonlinear()

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls[torch.is_grad_enabled()] += len(codes)
        return target.evaluate(codes)

    watched = replace(target, evaluate=evaluate)
    sampler = Full(K=K, n=N, inner_steps=5)
    state = sampler.init(watched, seeded())
    calls.clear()
    steps(sampler, watched, state, 5)
    # 5 second passes, of which 4 begin with the graph of the first one before
    last = N % K or K
    assert calls[True] == 5 * N
    assert calls[False] == 5 * N - 4 * last


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("K", [1, 4, N])
def test_every_pass_is_counted(K: int, exact: bool) -> None:
    target, seen = counted(nonlinear(), exact)
    sampler = Full(K=K, n=N, inner_steps=5, max_outer=3, tolerance=0.0)
    end = run(sampler, target)
    assert end.steps == 15
    assert end.meter == target.meter == seen
    last = N % K or K
    # the start; in an outer iteration two passes a step, but that the codes it begins with are
    # known and the last part's graph serves both passes; and the codes that it ends with
    assert seen.forwards == N + 3 * (5 * N + 4 * (N - last) + N)
    assert seen.backwards == 15 * N
    assert end.meter.code_steps == pytest.approx(seen.forwards / 3 + seen.backwards * 2 / 3)


def test_passes_without_a_gradient_decide_where_they_differ() -> None:
    target, _ = counted(slab(), exact=False)
    end = run(Full(K=7, n=20), target)
    kept = end.kept.trimmed()
    assert end.status is Status.REACHED
    torch.testing.assert_close(kept["f"], kept["u"] @ linear() - 0.01)
    assert target.range.holds(kept["f"]).all()


class HeldForBackward:
    """The bytes of all tensors that graphs hold on to, and the most that there were at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    class _Box:
        def __init__(self, owner: HeldForBackward, value: Tensor) -> None:
            self.owner, self.value = owner, value
            owner.now += value.nbytes
            owner.most = max(owner.most, owner.now)

        def __del__(self) -> None:
            self.owner.now -= self.value.nbytes

    def __call__(self) -> Any:
        return torch.autograd.graph.saved_tensors_hooks(
            lambda value: self._Box(self, value), lambda box: box.value
        )


@pytest.mark.parametrize("n", [64, 640])
def test_graphs_hold_no_more_for_more_codes(n: int) -> None:
    target, held = nonlinear(CodePrior.gaussian(8)), HeldForBackward()
    widen = normal(8, 500).float()
    target = replace(
        target, evaluate=lambda c: (torch.tanh(c @ widen)[:, :2], torch.relu(c @ widen) ** 2)
    )
    sampler = Full(K=8, n=n, inner_steps=3)
    state = sampler.init(target, seeded())
    with held():
        steps(sampler, target, state, 3)
    # tanh and relu and the square keep 500 numbers each for a code, the distance 500 in float64,
    # everything else is narrow
    assert 8 * 500 * 3 * 4 < held.most < 8 * 500 * 8 * 4
    assert held.now == 0


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in plain values."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [tensor for one in value.values() for tensor in tensors(one)]
    return []


def test_only_codes_grow_with_n() -> None:
    def held(n: int) -> int:
        found, _ = outer_iterations(Full(K=5, n=n, inner_steps=2), nonlinear(), 1)
        return sum(tensor.nbytes for tensor in tensors(to_plain(found)))

    # u, f, lambda, s, Adam's two averages and age; of a sample u, f, e, step, parent and origin
    per_code = 8 * (8 + 2 + 4 + 4 + 8 + 8 + 1) + 8 * (8 + 2 + 7 + 3)
    assert held(30) - held(10) == 20 * per_code


@pytest.mark.parametrize("broken_at", [24, 26, 31, 41, 44, 45])
def test_interrupted_between_parts_leaves_the_state_before_whole(broken_at: int) -> None:
    target, calls, seen = nonlinear(), Counter(), []

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls["parts"] += 1
        # 3 at the start, 21 in an outer iteration: in each of the passes of the second of them
        if calls["parts"] == broken_at + 1:
            raise KeyboardInterrupt
        return target.evaluate(codes)

    def copied(found: Run[Any]) -> list[Tensor]:
        kept = found.kept.trimmed().values()
        return [t.clone() for t in (*tensors(to_plain(found.state)), *kept)]

    sampler = Full(K=4, n=N, inner_steps=4, until="settled", tolerance=0.0, max_outer=5)
    broken = drive(
        sampler,
        replace(target, evaluate=evaluate),
        seeded(),
        on_look=lambda found, _: seen.append(copied(found)),
    )
    assert broken.status is Status.INTERRUPTED
    assert len(seen) == 1 + (broken_at == 45)
    assert all(torch.equal(a, b) for a, b in zip(copied(broken), seen[-1], strict=True))
    gone_on = drive(sampler, target, seeded(), replace(broken, status=Status.RUNNING))
    whole = run(sampler, nonlinear())
    assert gone_on.meter == whole.meter
    assert all(torch.equal(a, b) for a, b in zip(copied(gone_on), copied(whole), strict=True))


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(InvsetError, match=r"sampler\.until must be settled or inside, not .other"):
        Full(until="other")


def test_distances_between_inputs_are_those_between_codes_where_g_is_the_identity() -> None:
    """Eq. (5) for all n codes, in parts of K."""
    w = linear()

    def with_inputs(c: Tensor) -> tuple[Tensor, Tensor]:
        return c @ w, torch.cat([c, torch.tanh(c)], 1)

    found = {}
    for objective in ("inputs", "codes"):
        region = unit_cube()
        range_ = ActivationRange.of([(0.0, 0.5)], region.sample(1, seeded()))
        target = Target(
            lambda c: (c @ w, torch.tanh(c)), range_, region, inputs=Inputs(with_inputs, 8)
        )
        sampler = Full(K=3, n=8, inner_steps=3, max_outer=4, objective=objective)
        found[objective] = run(sampler, target).kept.trimmed()["u"]
    assert found["inputs"].equal(found["codes"])

"""The published sampler: two iterations unrolled by hand, and the slab of section 3.1."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from cases import cube, linear, mean_distance, normal, plain_set, run, seeded, tanh_net, uniform
from looks import begun, counted, looks, steps
from torch import Tensor

from invset.core.moments import Moments
from invset.core.ranges import ActivationRange
from invset.core.space import Free
from invset.core.steps import Adam, Plain
from invset.core.target import Inputs, Meter, Target
from invset.errors import InvsetError
from invset.samplers.base import Status
from invset.samplers.drive import Run, drive
from invset.samplers.full import Full
from invset.samplers.two_stage import SAMPLE, SEED, SEEDS_LOOK, TwoStage

#: Every published choice (``experiment=paper/base``), with small numbers.
PAPER = {
    "constraint": "paper",
    "units": "raw",
    "slack": "frozen",
    "objective": "encodings",
    "diversity_units": "raw",
    "earlier": "last",
    "mu0": 10.0,
    "alpha": 10.0,
    "mu_max": float("inf"),
    "diversity": 1.0,
    "walk": 0.0,
}


class ByHand:
    """Section 3.4 in plain numpy for f(c) = w c and E = identity."""

    def __init__(self, c: np.ndarray, w: np.ndarray, z1: float, z2: float, beta: float) -> None:
        self.c, self.w, self.z1, self.z2, self.beta = c, w, z1, z2, beta
        self.lambda_, self.mu = np.zeros(len(c)), 10.0

    @property
    def g(self) -> np.ndarray:
        epsilon0 = (self.z2 - self.z1) / 2
        return epsilon0 - self.z2 + self.c @ self.w

    @property
    def s(self) -> np.ndarray:
        return np.maximum(0, self.g - self.lambda_ / self.mu)

    @property
    def inside(self) -> np.ndarray:
        return self.z2 - self.c @ self.w <= self.z2 - self.z1

    def step(self, s: np.ndarray, earlier: np.ndarray) -> None:
        """One gradient step of eq. (9), or of eq. (11) with earlier samples."""
        gradient = np.zeros_like(self.c)
        for i, c in enumerate(self.c):
            for other in self.c:
                gradient[i] -= 4 * (c - other)  # every pair is counted twice
            for y in earlier:
                gradient[i] -= 2 * (c - y)
            gradient[i] += (-self.lambda_[i] + self.mu * (self.g[i] - s[i])) * self.w
        self.c = self.c - self.beta * gradient

    def outer(self, inner_steps: int) -> np.ndarray:
        s = self.s
        for _ in range(inner_steps):
            self.step(s, self.c[:0])
        return s

    def update(self) -> None:
        self.lambda_ = np.maximum(self.lambda_ - self.mu * self.g, 0)
        self.mu *= 10


def unit_free(dim: int) -> Free:
    """The whole space, with a scale of one, so that beta is the paper's beta."""
    start = normal(64, dim)
    return Free((start - start.mean(0)) / start.std(0, correction=0))


@pytest.mark.parametrize("ends", [(3.0, 5.0), (-0.2, 0.2)], ids=["far", "slack"])
def test_two_outer_iterations_by_hand(ends: tuple[float, float]) -> None:
    w = np.array([0.6, -0.3, 0.2])
    # some seed stays outside during two iterations, as the step is short; in the near range others
    # lie above the middle
    sampler = TwoStage(K=4, n=40, inner_steps=2, step_rule=Plain(1e-3), **PAPER)
    target = plain_set(lambda c: (c @ torch.tensor(w)).unsqueeze(1), [ends], unit_free(3))
    state = sampler.init(target, seeded(3))
    assert target.space.scale == pytest.approx(1, abs=1e-12)
    hand = ByHand(state.u.numpy().copy(), w, *ends, 1e-3)

    for outer in range(2):
        if outer:
            hand.update()
        s = hand.outer(2)
        for _ in range(2):
            state, offer = sampler.step(target, state, seeded())
            np.testing.assert_allclose(state.s[:, 0].numpy(), s, rtol=1e-10, atol=1e-12)
            assert offer.chosen is None
        np.testing.assert_allclose(state.u.numpy(), hand.c, rtol=1e-10)
        np.testing.assert_allclose(state.lambda_[:, 0].numpy(), hand.lambda_, rtol=1e-10)
        assert state.mu.item() == pytest.approx(hand.mu)
        assert (state.outer, state.inner) == (outer + 1, 0)
    assert (hand.lambda_ > 0).any()
    assert hand.mu == 100
    assert not hand.inside.all()
    assert s.any() == (ends[0] < 0)
    assert not sampler.done(state)


def test_sampling_by_hand() -> None:
    w = np.array([0.6, -0.3, 0.2])
    # the range holds some of the codes' way: C0 changes, some codes leave and come back
    sampler = TwoStage(K=4, n=4000, inner_steps=2, step_rule=Plain(0.01), **PAPER)
    z1, z2 = 1.0, 1.6
    target = plain_set(lambda c: (c @ torch.tensor(w)).unsqueeze(1), [(z1, z2)], unit_free(3))
    first = sampler.init(target, seeded(3))
    hand = ByHand(first.u.numpy().copy(), w, z1, z2, 0.01)
    found = [one for one, _ in looks(sampler, target, 40, begun(target, first))]
    seeds = [one for one in found if one.kept is None]
    for outer, one in enumerate(seeds):
        if outer and not hand.inside.all():
            hand.update()
        s = hand.s
        for _ in range(2):
            if not hand.inside.all():
                hand.step(s, hand.c[:0])
        np.testing.assert_allclose(one.state.u.numpy(), hand.c, rtol=1e-8)
    assert len(seeds) > 1
    assert seeds[-1].state.stage == "sampling"
    np.testing.assert_allclose(seeds[-1].state.lambda_[:, 0].numpy(), hand.lambda_, rtol=1e-8)
    assert seeds[-1].state.mu.item() == pytest.approx(hand.mu)
    assert hand.lambda_.any()

    samples, earlier, counts = [], hand.c, []
    taken = seeds[-1].steps
    for one in found[len(seeds) :][:4]:  # one pass that keeps the seeds, then five at a time
        for _ in range(taken, one.steps):
            inside = hand.c[hand.inside]  # step 4 of section 3.4: C0 becomes the codes inside
            samples.append(inside)
            earlier = inside if len(inside) else earlier
            counts.append(len(inside))
            hand.step(hand.s, earlier)
        taken = one.steps
        np.testing.assert_allclose(one.state.u.numpy(), hand.c, rtol=1e-7)
        kept = one.kept.trimmed()
        np.testing.assert_allclose(kept["u"].numpy(), np.concatenate(samples), rtol=1e-7)
        np.testing.assert_allclose(one.state.earlier.mean.numpy(), earlier.mean(0), rtol=1e-7)
        assert one.state.earlier.count == len(earlier)
    assert len(counts) == 1 + 3 * 5
    assert len(set(counts)) > 1  # C0 was not always all the codes
    assert (kept["origin"] == torch.where(torch.arange(len(kept["u"])) < 4, SEED, SAMPLE)).all()
    assert one.state.mu.item() == pytest.approx(hand.mu)  # frozen
    np.testing.assert_allclose(one.state.lambda_[:, 0].numpy(), hand.lambda_, rtol=1e-8)


def test_whole_iterations_by_hand() -> None:
    """``tested=iteration``: the seeds end with an outer iteration, after its lambda and mu."""
    w = np.array([0.6, -0.3, 0.2])
    sampler = TwoStage(
        K=4, n=4000, inner_steps=5, step_rule=Plain(0.01), tested="iteration", **PAPER
    )
    z1, z2 = 1.0, 1.6
    target = plain_set(lambda c: (c @ torch.tensor(w)).unsqueeze(1), [(z1, z2)], unit_free(3))
    first = sampler.init(target, seeded(3))
    hand = ByHand(first.u.numpy().copy(), w, z1, z2, 0.01)
    passed = 0  # iterations after whose first step all were inside once, but not at the end
    outer = 0
    while not hand.inside.all() or not outer:
        outer += 1
        s = hand.s
        for _ in range(5):
            hand.step(s, hand.c[:0])
            passed += hand.inside.all()
        hand.update()
    assert passed > 1  # a test at each step would have ended sooner
    seeds = [one for one, _ in looks(sampler, target, 60, begun(target, first)) if one.kept is None]
    state = seeds[-1].state
    assert (state.stage, state.outer) == ("sampling", outer)
    np.testing.assert_allclose(state.u.numpy(), hand.c, rtol=1e-8)
    np.testing.assert_allclose(state.lambda_[:, 0].numpy(), hand.lambda_, rtol=1e-8)
    assert state.mu.item() == pytest.approx(hand.mu)


def test_sampling_without_constraint_is_the_objective_alone() -> None:
    """End of section 3.4: all codes leave the range soon, and stay outside."""
    w = np.array([0.6, -0.3, 0.2])
    options = {**PAPER, "inner_steps": 2, "step_rule": Plain(0.01), "walk_constraint": False}
    sampler = TwoStage(K=4, n=4000, **options)
    z1, z2 = 1.0, 1.6
    target = plain_set(lambda c: (c @ torch.tensor(w)).unsqueeze(1), [(z1, z2)], unit_free(3))
    found = [
        one for one, _ in looks(sampler, target, 40, begun(target, sampler.init(target, seeded(3))))
    ]
    seeds = [one for one in found if one.kept is None][-1]
    c = seeds.state.u.numpy().copy()
    earlier = c
    for _ in range(6):  # one pass that keeps the seeds, then five
        inside = c[c @ w >= z1]
        earlier = inside if len(inside) else earlier
        gradient = np.zeros_like(c)
        for i, code in enumerate(c):
            gradient[i] -= 4 * (code - c).sum(0) + 2 * (code - earlier).sum(0)
        c = c - 0.01 * gradient
    later = next(one for one in found if one.steps == seeds.steps + 6)
    np.testing.assert_allclose(later.state.u.numpy(), c, rtol=1e-7)


def test_memory_is_carried_into_the_sampling_or_begins_anew() -> None:
    target = plain_set(lambda c: c[:, :1], [(1.0, 1.6)], unit_free(3))
    sampler = TwoStage(K=4, n=8, inner_steps=2, step_rule=Adam(0.1), **PAPER)
    state = sampler.init(target, seeded(3))
    for _ in range(3):
        state, _ = sampler.step(target, state, seeded())
    carried = sampler.turn(state, True, 8)
    anew = replace(sampler, carried=False).turn(state, True, 8)
    assert carried is not None
    assert anew is not None
    assert carried.memory["age"].tolist() == [[3.0]] * 4
    assert anew.memory == {}


def test_distances_between_inputs_are_those_between_codes_where_g_is_the_identity() -> None:
    """Eq. (5) is eq. (14) there, and eq. (6) is not, as E is another thing."""
    w = linear(3)
    region = unit_free(3)
    like = region.sample(1, seeded())

    def f_and_e(c: Tensor) -> tuple[Tensor, Tensor]:
        return c @ w, torch.tanh(c)

    def with_inputs(c: Tensor) -> tuple[Tensor, Tensor]:
        f, e = f_and_e(c)
        return f, torch.cat([c, e], 1)

    range_ = ActivationRange.of([(1.0, 1.6)], like)
    target = Target(f_and_e, range_, region, inputs=Inputs(with_inputs, 3))
    options = {**PAPER, "inner_steps": 2, "step_rule": Plain(0.01)}
    found = {}
    for objective in ("inputs", "codes", "encodings"):
        sampler = TwoStage(K=4, n=40, **{**options, "objective": objective})
        found[objective] = run(sampler, target).kept.trimmed()
    assert found["inputs"]["u"].equal(found["codes"]["u"])
    assert not found["inputs"]["u"].equal(found["encodings"]["u"])
    assert found["inputs"]["e"].shape[1] == 3  # E, not inputs and E
    with pytest.raises(InvsetError, match="codes and no inputs"):
        run(TwoStage(K=4, n=4, objective="inputs"), plain_set(lambda c: c @ w, [(1, 2)], region))


def test_c0_stays_as_it_was_when_no_code_is_inside() -> None:
    sampler, e = TwoStage(), normal(4, 3)
    earlier, nobody = Moments.of(normal(5, 3, seed=1)), torch.zeros(4, dtype=torch.bool)
    for choice in ("last", "all"):
        after = replace(sampler, earlier=choice)._earlier(earlier, e, nobody)
        assert moments(after) == moments(earlier)
    some = torch.tensor([True, False, True, True])
    for choice, rows in (("last", e[some]), ("all", torch.cat([normal(5, 3, seed=1), e[some]]))):
        after = replace(sampler, earlier=choice)._earlier(earlier, e, some)
        expected = Moments.of(rows)
        torch.testing.assert_close(
            (after.count, after.mean, after.scatter),
            (expected.count, expected.mean, expected.scatter),
        )


def moments(of: Moments) -> list[Any]:
    return [of.count.tolist(), of.mean.tolist(), of.scatter.tolist()]


def test_relative_diversity_is_a_mean_over_partners() -> None:
    """Eq. (7) by the double loop, each sum over its number of partners."""
    e, old = normal(4, 3), normal(7, 3, seed=1)
    among = sum(((a - b) ** 2).sum() for a in e for b in e) / len(e)
    to_old = sum(((a - b) ** 2).sum() for a in e for b in old) / len(old)
    size = 2 * (e**2).sum(1).mean()
    sampler = TwoStage(diversity=0.3)
    torch.testing.assert_close(sampler.objective_of(e, None), 0.3 * among / size)
    both = sampler.objective_of(e, Moments.of(old))
    torch.testing.assert_close(both, 0.3 * (among + to_old) / size)


SLAB = 0.0, 0.5  # of w x over the unit cube


def exact_samples(target: Target, dim: int = 8) -> Tensor:
    x = uniform(20000, dim, seed=9)
    return x[target.range.contains(target.look(x).f)]


def test_slab_of_a_linear_unit() -> None:
    w = linear()
    target = plain_set(lambda c: c @ w, [SLAB], cube())
    found = run(TwoStage(K=10, n=200, epsilon0=1.0, walk=0.0), target)
    kept = found.kept.trimmed()
    assert found.status is Status.REACHED
    assert len(kept["u"]) == 200
    assert target.range.contains(kept["u"] @ w).all()
    assert (kept["u"] == kept["u"].clamp(0, 1)).all()
    assert kept["f"].min() < 0.05  # both faces, to a tenth
    assert kept["f"].max() > 0.45
    exact = mean_distance(exact_samples(target)[:1000])
    # eq. (6) drives samples apart, to the cube's corners: farther than uniform samples, but no
    # farther than corners are
    assert exact < mean_distance(kept["u"]) < 1.6 * exact


def test_half_space_of_a_logistic_unit() -> None:
    w = linear()
    target = plain_set(lambda c: torch.sigmoid(4 * (c - 0.5) @ w), [(0.8, 1.0)], cube())
    found = run(TwoStage(K=10, n=200), target)
    kept = found.kept.trimmed()
    assert found.status is Status.REACHED
    # the half-space w x + c >= logit(z1) of section 3.1
    assert (4 * (kept["u"] - 0.5) @ w >= np.log(0.8 / 0.2)).all()
    assert mean_distance(kept["u"]) == pytest.approx(
        mean_distance(exact_samples(target)[:1000]), rel=0.3
    )


def test_the_published_constraint_leaves_through_the_upper_end_and_both_does_not() -> None:
    w = linear()
    target = plain_set(lambda c: c @ w, [SLAB], cube())
    published = run(TwoStage(K=10, n=200, constraint="paper", walk=0.0), target).kept.trimmed()["f"]
    assert (published >= SLAB[0]).all()
    assert (published > SLAB[1]).double().mean() > 0.3
    both = run(TwoStage(K=10, n=200, walk=0.0), target).kept.trimmed()["f"]
    assert target.range.contains(both).all()


@pytest.mark.parametrize("objective", ["encodings", "codes", "none"])
def test_three_neurons_at_once(objective: str) -> None:
    f = tanh_net()
    middle = f(uniform(2000, 8, seed=5)).median(0).values
    ranges = [(m - 0.1, m + 0.1) for m in middle.tolist()]
    target = plain_set(f, ranges, cube())
    found = run(TwoStage(K=10, n=100, objective=objective, epsilon0=0.8), target)
    kept = found.kept.trimmed()
    assert found.status is Status.REACHED
    assert target.range.contains(f(kept["u"])).all()
    torch.testing.assert_close(f(kept["u"]), kept["f"])


def test_diversity_spreads_the_samples() -> None:
    target = plain_set(lambda c: c @ linear(), [SLAB], cube())
    runs = [
        run(TwoStage(K=10, n=100, objective=objective, epsilon0=1.0, walk=0.0), target)
        for objective in ("none", "encodings")
    ]
    without, spread = (mean_distance(state.kept.trimmed()["u"]) for state in runs)
    assert spread > 1.2 * without


def test_same_start_begins_with_one_code() -> None:
    target = plain_set(lambda c: c @ linear(), [SLAB], cube())
    state = TwoStage(K=5, n=10, same_start=True).init(target, seeded())
    assert (state.u == state.u[0]).all()


@pytest.mark.parametrize(
    "sampler",
    [TwoStage(K=200, n=400, same_start=True), Full(K=10, n=400, same_start=True)],
)
def test_equal_codes_differ_by_the_noise(sampler: TwoStage | Full) -> None:
    target = plain_set(
        lambda c: c @ linear(), [(0.0, 0.5)], replace(cube(), low=-math.inf, high=math.inf)
    )
    equal = sampler.init(target, seeded()).u
    assert (equal == equal[:1]).all()
    noisy = replace(sampler, start_noise=0.01).init(target, seeded()).u
    torch.testing.assert_close((noisy - equal).std().item(), 0.01 * cube().scale, rtol=0.1, atol=0)


#: Seeds to the end, as in section 4.3.
TO_THE_END: dict[str, Any] = {
    "epsilon0": 0.9,
    "mu_max": 10.0,
    "diversity": 1.0,
    "step_rule": Adam(0.1),
}


def test_equal_codes_stay_equal_without_noise_and_part_with_it() -> None:
    few = TwoStage(K=6, n=6, same_start=True, until="settled", max_outer=60, **TO_THE_END)
    slab = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    apart = []
    for noise in (0.0, 1e-3):
        sampler = replace(few, start_noise=noise)
        state, _ = steps(sampler, slab, sampler.init(slab, seeded()), 3 * sampler.inner_steps)
        apart.append(mean_distance(state.u))
    assert apart[0] < 1e-6
    assert apart[1] > 0.05


@pytest.mark.parametrize(("scale", "shift"), [(100.0, 0.0), (0.01, 0.0), (1.0, 50.0)])
def test_units_of_f_do_not_matter(scale: float, shift: float) -> None:
    f = tanh_net(p=1)
    plain = plain_set(f, [(0.1, 0.3)], cube())
    other = plain_set(
        lambda c: scale * f(c) + shift, [(0.1 * scale + shift, 0.3 * scale + shift)], cube()
    )
    sampler = TwoStage(K=5, n=50, inner_steps=10)
    pairs = zip(looks(sampler, plain, 5), looks(sampler, other, 5), strict=True)
    for (a, _), (b, _) in pairs:
        torch.testing.assert_close(a.state.u, b.state.u, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(a.state.lambda_, b.state.lambda_, rtol=1e-6, atol=1e-8)
    assert a.count == b.count > 5


def test_order_of_the_seeds_does_not_matter() -> None:
    f, order = tanh_net(p=2), torch.tensor([2, 0, 4, 1, 3])
    target = plain_set(f, [(0.1, 0.3), (-0.2, 0.1)], cube())
    sampler = TwoStage(K=5, n=50, inner_steps=7)
    first = sampler.init(target, seeded())
    a, _ = steps(sampler, target, first, 14)
    b, _ = steps(sampler, target, replace(first, u=first.u[order]), 14)
    torch.testing.assert_close(b.u, a.u[order], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(b.lambda_, a.lambda_[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "option", ["constraint", "units", "slack", "objective", "diversity_units", "earlier", "until"]
)
def test_unknown_choices_are_refused(option: str) -> None:
    with pytest.raises(InvsetError, match=rf"sampler\.{option} must be .*, not .xyz"):
        TwoStage(**{option: "xyz"})


def halves() -> Target:
    """f does not depend on the code, but on the half it began in."""
    return plain_set(lambda c: (c[:, :1] - 0.5).sign() + 0.0 * c[:, :1], [(0.5, 1.5)], cube())


@pytest.mark.parametrize("walk", [0.0, 0.6])
def test_seeds_that_are_given_up_are_not_sampled_from(walk: float) -> None:
    target = halves()
    sampler = TwoStage(K=4, n=24, inner_steps=2, max_outer=3, objective="none", walk=walk)
    first = sampler.init(target, seeded())
    for inside in range(5):
        u = first.u.clone()
        u[:, 0] = torch.where(torch.arange(4) < inside, 0.9, 0.1)
        end = drive(sampler, target, seeded(), begun(target, replace(first, u=u)))
        if inside == 4:
            assert end.status is Status.REACHED
            continue
        # what is inside of seeds that were given up stays
        assert end.count == inside
        assert end.status is (Status.BUDGET if inside else Status.UNREACHABLE)
        assert end.steps == 3 * 2 + 1


def test_seeds_to_the_end_are_farther_apart_than_just_inside() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    inside, settled = (
        run(TwoStage(K=10, n=10, until=until, max_outer=200, **TO_THE_END), target)
        for until in ("inside", "settled")
    )
    assert inside.status is settled.status is Status.REACHED
    assert inside.steps < settled.steps < 200 * 10
    near, far = (mean_distance(state.kept.trimmed()["u"]) for state in (inside, settled))
    assert far > 1.1 * near
    # at a maximum of eq. (6) over the slab in the cube no code has more than one coordinate off the
    # faces
    u = settled.kept.trimmed()["u"]
    assert (((u > 0.02) & (u < 0.98)).sum(1) <= 1).double().mean() > 0.8


def test_seeds_settle_when_they_were_at_rest_three_times() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    sampler = TwoStage(K=4, n=40, until="settled", max_outer=200, **TO_THE_END)
    states = [run.state for run, _ in looks(sampler, target) if run.kept is None]
    assert 3 < len(states) < 200
    assert [one.outer for one in states] == list(range(1, len(states) + 1))
    assert [float(one.calm) for one in states][-3:] == [1, 2, 3]
    assert all(one.calm < 3 and one.stage == "seeds" for one in states[:-1])
    assert states[-1].stage == "sampling"
    sums = [one.scatter.item() for one in states]
    calm = [abs(b / a - 1) <= 1e-3 for a, b in pairwise(sums)]
    assert calm[-3:] == [True] * 3
    assert not all(calm)
    # what is measured: eq. (6) of the codes, here encodings too, in the last pass that was seen
    before, _ = steps(sampler, target, sampler.init(target, seeded()), sampler.inner_steps - 1)
    torch.testing.assert_close(states[0].scatter, Moments.of(before.u).scatter)


def test_inner_steps_end_soon_after_all_seeds_are_inside() -> None:
    target, seen = counted(plain_set(lambda c: c @ linear(), [(-100.0, 100.0)], cube()))
    sampler = TwoStage(K=4, n=40, inner_steps=1000)
    ((run, rows),) = looks(sampler, target, 1)
    assert seen == run.meter == Meter(4 * SEEDS_LOOK, 4 * SEEDS_LOOK)
    assert len(rows) == run.steps == SEEDS_LOOK
    assert run.state.stage == "sampling"
    assert torch.equal(run.state.u, sampler.init(target, seeded()).u)  # inside at the first pass


@pytest.mark.parametrize("slack", ["fresh", "frozen"])
def test_seeds_stand_still_when_all_are_inside(slack: str) -> None:
    target = plain_set(tanh_net(p=1), [(0.1, 0.3)], cube())
    sampler = TwoStage(K=5, n=50, inner_steps=3, slack=slack)
    state = sampler.init(target, seeded())
    before = state
    while not state.complete:
        before = state
        state, _ = sampler.step(target, state, seeded())
    assert target.inside(target.look(before.u).f).all()
    assert before.outer > 0
    after, _ = steps(sampler, target, state, 20)
    for name in ("u", "lambda_", "mu"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert before.memory
    assert all(torch.equal(value, after.memory[name]) for name, value in before.memory.items())


def test_walks_of_a_linear_unit_all_end_inside() -> None:
    # its slope is the same everywhere, so every sampling step gives K samples, which is the fewest
    # steps possible
    target = plain_set(
        lambda c: c @ linear(), [(0.0, 0.5)], replace(cube(), low=-math.inf, high=math.inf)
    )
    walks = run(TwoStage(K=10, n=200, walk=0.6, longest=9.0), target)
    assert walks.status is Status.REACHED
    # one pass for the seeds, 19 for what follows
    assert walks.steps - walks.kept.trimmed()["step"][0] == 20
    assert target.range.contains(walks.kept.trimmed()["f"]).all()
    u = walks.kept.trimmed()["u"][10:]
    assert set(walks.kept.trimmed()["parent"].tolist()) == set(range(10))
    assert (u[10:] - u[:-10]).norm(
        dim=1
    ).mean() > 0.4  # from sample to sample of one seed; draws are 1.1 apart
    # and through the middle, where they aim
    torch.testing.assert_close(
        walks.kept.trimmed()["f"][10:],
        torch.full((190, 1), 0.25, dtype=torch.float64),
        rtol=0,
        atol=1e-5,
    )


def test_walks_find_distinct_samples_where_steps_of_eq_11_repeat_them() -> None:
    f = tanh_net(p=1)
    ends = (
        f(uniform(2000, 8, seed=5))
        .quantile(torch.tensor([0.8, 0.9], dtype=torch.float64), dim=0)
        .T.tolist()
    )
    target = plain_set(f, [(z1, z2) for z1, z2 in ends], cube())
    nearest = []
    for walk in (0.0, 0.6):
        found = run(TwoStage(K=10, n=200, walk=walk), target)
        assert found.status is Status.REACHED
        u = found.kept.trimmed()["u"]
        assert target.range.contains(f(u)).all()
        nearest.append((torch.cdist(u, u) + 9 * torch.eye(len(u))).min(1).values.mean().item())
    assert nearest[1] > 3 * nearest[0]


@pytest.mark.parametrize("bad", [-0.1, 1.5])
def test_bad_shares_of_a_walk_are_refused(bad: float) -> None:
    with pytest.raises(
        InvsetError, match=r"sampler\.walk must be a number of at least 0 and at most 1"
    ):
        TwoStage(walk=bad)


# what the passes cost


def bent() -> Target:
    return plain_set(tanh_net(p=2), [(0.1, 0.3), (-0.2, 0.1)], cube())


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("walk", [0.0, 0.6])
def test_every_pass_is_counted(walk: float, exact: bool) -> None:
    target, seen = counted(bent(), exact)
    end = run(TwoStage(K=5, n=40, walk=walk), target)
    assert end.status is Status.REACHED
    assert end.meter == target.meter == seen
    first = int(end.kept.trimmed()["step"][0])  # the pass that keeps the seeds
    sampling = end.steps - first
    # a step is a pass of K codes forwards; backwards once, or once a neuron for the slopes of walks
    assert seen.backwards == 5 * (first + (2 if walk else 1) * sampling)
    measured = seen.forwards - 5 * end.steps
    assert measured == 0 if exact else measured >= 40
    assert end.meter.code_steps == pytest.approx(seen.forwards / 3 + seen.backwards * 2 / 3)


@pytest.mark.parametrize("walk", [0.0, 0.6])
def test_passes_without_a_gradient_decide_where_they_differ(walk: float) -> None:
    target, _ = counted(bent(), exact=False)
    end = run(TwoStage(K=5, n=40, walk=walk), target)
    kept = end.kept.trimmed()
    assert len(kept["u"]) == 40
    torch.testing.assert_close(kept["f"], bent().look(kept["u"]).f - 0.01)
    assert bent().range.holds(kept["f"]).all()


def test_it_goes_on_from_any_look_as_if_nothing_had_happened() -> None:
    sampler = TwoStage(K=5, n=40)
    rng = seeded()
    on_the_way: list[tuple[Run[Any], Tensor]] = []

    def on_look(one: Run[Any], _: object) -> None:
        on_the_way.append((one, rng.get_state()))

    whole = drive(sampler, bent(), rng, on_look=on_look)
    assert len(on_the_way) > 4
    for one, numbers in on_the_way[:-1]:
        again = torch.Generator()
        again.set_state(numbers)
        end = drive(sampler, bent(), again, one)
        assert end.meter == whole.meter
        assert end.steps == whole.steps
        for name, rows in end.kept.trimmed().items():
            assert torch.equal(rows, whole.kept.trimmed()[name])

"""The published sampler: two iterations unrolled by hand, and the slab of section 3.1."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cases import cube, linear, mean_distance, normal, plain_set, run, seeded, tanh_net, uniform
from torch import Tensor

from invset.core.moments import Moments
from invset.core.space import Free
from invset.core.steps import Adam, Normalized, Plain
from invset.core.target import InverseSet
from invset.errors import InvsetError
from invset.samplers.base import State, Status
from invset.samplers.full import Full
from invset.samplers.two_stage import SAMPLING_ROUND, SEEDS_LOOK, TwoStage

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


def watched(sampler: TwoStage, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The slacks that the sampler steps with, as it goes."""
    slacks: list[Tensor] = []
    original = TwoStage._gradient

    def spy(
        self: TwoStage,
        target: InverseSet,
        u: Tensor,
        f: Tensor,
        e: Tensor,
        s: Tensor,
        *rest: object,
    ) -> object:
        slacks.append(s.clone())
        return original(self, target, u, f, e, s, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(TwoStage, "_gradient", spy)
    return slacks


@pytest.mark.parametrize("ends", [(3.0, 5.0), (-0.2, 0.2)], ids=["far", "slack"])
def test_two_outer_iterations_by_hand(
    monkeypatch: pytest.MonkeyPatch, ends: tuple[float, float]
) -> None:
    w = np.array([0.6, -0.3, 0.2])
    # some seed stays outside during two iterations, as the step is short; in the near range others
    # lie above the middle
    sampler = TwoStage(K=4, n=40, inner_steps=2, step=Plain(1e-3), **PAPER)
    target = plain_set(lambda c: (c @ torch.tensor(w)).unsqueeze(1), [ends], unit_free(3))
    slacks = watched(sampler, monkeypatch)
    state = sampler.init(target, seeded(3))
    assert target.region.scale == pytest.approx(1, abs=1e-12)
    hand = ByHand(state.u.numpy().copy(), w, *ends, 1e-3)

    for outer in range(2):
        if outer:
            hand.update()
        s = hand.outer(2)
        state, _ = sampler.round(target, state, seeded())
        np.testing.assert_allclose(state.u.numpy(), hand.c, rtol=1e-10)
        np.testing.assert_allclose(state.extra["lambda_"][:, 0].numpy(), hand.lambda_, rtol=1e-10)
        assert state.extra["mu"][0].item() == pytest.approx(hand.mu)
        assert len(slacks) == 2 * (outer + 1)
        for seen in slacks[-2:]:
            np.testing.assert_allclose(seen[:, 0].numpy(), s, rtol=1e-10, atol=1e-12)
    assert (hand.lambda_ > 0).any()
    assert hand.mu == 100
    assert not hand.inside.all()
    assert s.any() == (ends[0] < 0)
    assert state.status is Status.RUNNING


def test_sampling_by_hand() -> None:
    w = np.array([0.6, -0.3, 0.2])
    # the range holds some of the codes' way: C0 changes, some codes leave and come back
    sampler = TwoStage(K=4, n=4000, inner_steps=2, step=Plain(0.01), **PAPER)
    z1, z2 = 1.0, 1.6
    target = plain_set(lambda c: (c @ torch.tensor(w)).unsqueeze(1), [(z1, z2)], unit_free(3))
    state = sampler.init(target, seeded(3))
    hand = ByHand(state.u.numpy().copy(), w, z1, z2, 0.01)
    outer = 0
    while state.extra["stage"] == "seeds":
        if outer and not hand.inside.all():
            hand.update()
        s = hand.s
        for _ in range(2):
            if not hand.inside.all():
                hand.step(s, hand.c[:0])
        state, _ = sampler.round(target, state, seeded())
        np.testing.assert_allclose(state.u.numpy(), hand.c, rtol=1e-8)
        outer += 1
    assert outer > 1
    np.testing.assert_allclose(state.extra["lambda_"][:, 0].numpy(), hand.lambda_, rtol=1e-8)
    assert state.extra["mu"][0].item() == pytest.approx(hand.mu)
    assert hand.lambda_.any()

    samples, earlier = [hand.c], hand.c
    counts = []
    for step in range(2 * SAMPLING_ROUND):
        if step:  # step 4 of section 3.4: C0 becomes the codes that are inside
            inside = hand.c[hand.inside]
            samples.append(inside)
            earlier = inside if len(inside) else earlier
            counts.append(len(inside))
        hand.step(hand.s, earlier)
        if step % SAMPLING_ROUND == SAMPLING_ROUND - 1:
            state, _ = sampler.round(target, state, seeded())
            np.testing.assert_allclose(state.u.numpy(), hand.c, rtol=1e-7)
            kept = state.kept.trimmed()
            np.testing.assert_allclose(kept["u"].numpy(), np.concatenate(samples), rtol=1e-7)
            np.testing.assert_allclose(
                state.extra["moments"][1][0].numpy(), earlier.mean(0), rtol=1e-7
            )
            assert state.extra["moments"][0] == len(earlier)
    assert len(set(counts)) > 1  # C0 was not always all the codes
    assert state.extra["mu"][0].item() == pytest.approx(hand.mu)  # frozen
    np.testing.assert_allclose(state.extra["lambda_"][:, 0].numpy(), hand.lambda_, rtol=1e-8)


def test_c0_stays_as_it_was_when_no_code_is_inside() -> None:
    sampler, e = TwoStage(), normal(4, 3)
    earlier, nobody = Moments.of(normal(5, 3, seed=1)), torch.zeros(4, dtype=torch.bool)
    for choice in ("last", "all"):
        after = replace(sampler, earlier=choice)._next_moments(earlier, e, nobody)
        assert [x.tolist() for x in after] == [
            x.tolist() for x in (earlier.count, earlier.mean, earlier.scatter)
        ]
    some = torch.tensor([True, False, True, True])
    for choice, rows in (("last", e[some]), ("all", torch.cat([normal(5, 3, seed=1), e[some]]))):
        after = Moments(*replace(sampler, earlier=choice)._next_moments(earlier, e, some))
        expected = Moments.of(rows)
        torch.testing.assert_close(
            (after.count, after.mean, after.scatter),
            (expected.count, expected.mean, expected.scatter),
        )


SLAB = 0.0, 0.5  # of w x over the unit cube


def exact_samples(target: InverseSet, dim: int = 8) -> Tensor:
    x = uniform(20000, dim, seed=9)
    return x[target.range.contains(target(x)[0])]


def test_slab_of_a_linear_unit() -> None:
    w = linear()
    target = plain_set(lambda c: c @ w, [SLAB], cube())
    state = run(TwoStage(K=10, n=200, epsilon0=1.0, walk=0.0), target)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
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
    state = run(TwoStage(K=10, n=200), target)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
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
    state = run(TwoStage(K=10, n=100, objective=objective, epsilon0=0.8), target)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
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
    [TwoStage(K=200, n=400, chains=2, same_start=True), Full(K=10, n=400, same_start=True)],
)
def test_equal_codes_stay_equal_without_noise_and_part_with_it(sampler: TwoStage | Full) -> None:
    target = plain_set(
        lambda c: c @ linear(), [(0.0, 0.5)], replace(cube(), low=-math.inf, high=math.inf)
    )
    parts = 2 if isinstance(sampler, TwoStage) else 1
    equal = sampler.init(target, seeded()).u.unflatten(0, (parts, -1))
    assert (equal == equal[:, :1]).all()
    noisy = replace(sampler, start_noise=0.01).init(target, seeded()).u.unflatten(0, (parts, -1))
    torch.testing.assert_close((noisy - equal).std().item(), 0.01 * cube().scale, rtol=0.1, atol=0)
    few = TwoStage(
        K=6,
        n=6,
        same_start=True,
        until="settled",
        max_outer=60,
        epsilon0=0.9,
        mu_max=10.0,
        diversity=1.0,
        step=Adam(0.1),
    )
    slab = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    apart = []
    for noise in (0.0, 1e-3):
        state = replace(few, start_noise=noise).init(slab, seeded())
        for _ in range(3):
            state, _ = few.round(slab, state, seeded())
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
    a, b = sampler.init(plain, seeded()), sampler.init(other, seeded())
    for _ in range(4):
        a, b = (sampler.round(t, s, seeded())[0] for t, s in ((plain, a), (other, b)))
        torch.testing.assert_close(a.u, b.u, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(a.extra["lambda_"], b.extra["lambda_"], rtol=1e-6, atol=1e-8)
    assert a.extra["stage"] == b.extra["stage"] == "sampling"


def test_order_of_the_seeds_does_not_matter() -> None:
    f, order = tanh_net(p=2), torch.tensor([2, 0, 4, 1, 3])
    target, sampler = (
        plain_set(f, [(0.1, 0.3), (-0.2, 0.1)], cube()),
        TwoStage(K=5, n=50, inner_steps=7),
    )
    a = sampler.init(target, seeded())
    b = replace(a, u=a.u[order])
    for _ in range(2):
        a, b = (sampler.round(target, s, seeded())[0] for s in (a, b))
    torch.testing.assert_close(b.u, a.u[order], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(b.extra["lambda_"], a.extra["lambda_"][order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "option", ["constraint", "units", "slack", "objective", "diversity_units", "earlier"]
)
def test_unknown_choices_are_refused(option: str) -> None:
    with pytest.raises(InvsetError, match=rf"sampler\.{option} must be "):
        TwoStage(**{option: "other"})


# chains: several runs side by side


def run_all(sampler: TwoStage, target: InverseSet, state: State) -> State:
    while state.status is Status.RUNNING:
        state, _ = sampler.round(target, state, seeded())
    return state


def starting_at(sampler: TwoStage, target: InverseSet, u: Tensor) -> State:
    """The sampler's first state for these codes, as `init` makes it of codes that it draws."""
    given = Free(u)
    given.sample = lambda count, rng: u  # type: ignore[method-assign, misc]
    return sampler.init(replace(target, region=given), seeded())


CHOICES: dict[str, dict[str, Any]] = {
    "remedies": {},
    "frozen": {"slack": "frozen", "earlier": "all", "inner_steps": 4},
    "raw": {
        "diversity_units": "raw",
        "diversity": 0.01,
        "units": "raw",
        "constraint": "paper",
        "mu0": 10.0,
    },
    "codes": {"objective": "codes", "step": Normalized(0.03)},
    "none": {"objective": "none", "step": Plain(0.02)},
}


@pytest.mark.parametrize("name", list(CHOICES))
def test_each_chain_is_a_run_of_its_own(name: str) -> None:
    f, K, chains = tanh_net(p=2), 4, 3
    target = plain_set(f, [(0.1, 0.3), (-0.2, 0.1)], cube())
    start = uniform(chains * K, 8, seed=11)
    together = TwoStage(K=K, n=72, chains=chains, **{"walk": 0.0, **CHOICES[name]})
    first = starting_at(together, target, start)
    state = run_all(together, target, first)
    kept = state.kept.trimmed()
    assert state.status is Status.REACHED
    assert len(kept["u"]) == 72
    steps = set()
    for chain in range(chains):
        alone = replace(together, chains=1)
        own = run_all(alone, target, starting_at(alone, target, start[chain * K : (chain + 1) * K]))
        steps.add(own.extra["seed_steps"])
        mine = (kept["parent"] // K == chain).nonzero().squeeze(1)
        assert len(mine) > 3 * K
        for column in ("u", "f", "e"):
            torch.testing.assert_close(
                kept[column][mine], own.kept.trimmed()[column][: len(mine)], rtol=1e-7, atol=1e-9
            )
        assert torch.equal(
            kept["parent"][mine] - chain * K, own.kept.trimmed()["parent"][: len(mine)]
        )
    # they do not need equally many steps for their seeds, and those that are done do not go on
    assert len(steps) > 1
    assert state.extra["seed_steps"] == max(steps)


def test_one_chain_is_what_there_was_before() -> None:
    f = tanh_net(p=2)
    target = plain_set(f, [(0.1, 0.3), (-0.2, 0.1)], cube())
    default, one = run(TwoStage(K=5, n=40), target), run(TwoStage(K=5, n=40, chains=1), target)
    for column, rows in default.kept.trimmed().items():
        assert torch.equal(rows, one.kept.trimmed()[column])


def test_chains_without_seeds_are_given_up_and_the_others_go_on() -> None:
    # f does not depend on the code, but on the half it began in
    target = plain_set(lambda c: (c[:, :1] - 0.5).sign() + 0.0 * c[:, :1], [(0.5, 1.5)], cube())
    start = uniform(12, 8, seed=1)
    start[:, 0] = torch.tensor([0.9] * 4 + [0.1] * 4 + [0.9] * 3 + [0.1])
    sampler = TwoStage(K=4, n=24, chains=3, inner_steps=2, max_outer=3, objective="none")
    state = run_all(sampler, target, starting_at(sampler, target, start))
    parents = state.kept.trimmed()["parent"]
    assert state.status is Status.REACHED
    assert set((parents // 4).tolist()) == {0, 2}
    assert (parents // 4 == 2).sum() == 3  # what is inside of a chain that was given up stays
    assert len(state.u) == 4
    nobody = starting_at(sampler, target, torch.where(torch.arange(8) == 0, 0.1, start))
    state = run_all(sampler, target, nobody)
    assert (state.status, int(state.kept.count)) == (Status.UNREACHABLE, 0)


def test_chains_share_one_pass() -> None:
    target, sizes = plain_set(lambda c: c @ linear(), [(0.2, 0.4)], cube()), []

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        sizes.append(len(codes))
        return target.evaluate(codes)

    state = run(TwoStage(K=5, n=600, chains=20), replace(target, evaluate=evaluate))
    assert max(sizes) == 100
    assert len(sizes) < 100  # 20 runs one after the other take ten times as many
    assert state.status is Status.REACHED


def test_chains_of_equal_codes_start_at_different_ones() -> None:
    target = plain_set(lambda c: c @ linear(), [SLAB], cube())
    u = TwoStage(K=3, n=12, chains=4, same_start=True).init(target, seeded()).u.unflatten(0, (4, 3))
    assert (u == u[:, :1]).all()
    assert len(u[:, 0].unique(dim=0)) == 4


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"chains": 0}, "sampler.chains must be a whole number"),
        ({"chains": 2.5}, "not 2.5"),
        ({"chains": 4}, "type sampler.chains=3"),
    ],
)
def test_bad_numbers_of_chains_are_refused(bad: dict[str, Any], message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        TwoStage(K=10, n=30, **bad)


def test_seeds_to_the_end_are_farther_apart_than_just_inside() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    options: dict[str, Any] = {
        "K": 10,
        "n": 10,
        "epsilon0": 0.9,
        "mu_max": 10.0,
        "diversity": 1.0,
        "step": Adam(0.1),
    }
    inside, settled = (
        run(TwoStage(until=until, max_outer=200, **options), target)
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


@pytest.mark.parametrize("chains", [1, 3])
def test_each_chain_settles_by_itself(chains: int) -> None:
    target = plain_set(lambda c: c @ linear(), [(0.0, 0.5)], cube())
    sampler = TwoStage(
        K=4, n=40, chains=chains, until="settled", max_outer=100, epsilon0=0.9, mu_max=10.0
    )
    state, rng = sampler.init(target, seeded()), seeded(1)
    while len(state.u) == 4 * chains and state.extra["stage"] == "seeds":
        state, _ = sampler.round(target, state, rng)
        codes = state.u if state.extra["stage"] == "seeds" and len(state.u) == 4 * chains else None
        if codes is not None:
            assert state.extra["settled"].shape == (4 * chains,)
            assert (
                state.extra["settled"].view(chains, 4)
                == state.extra["settled"].view(chains, 4)[:, :1]
            ).all()
            assert (state.extra["settled"] < 3).all()
    assert state.extra["outer"] > 3


def test_inner_steps_end_soon_after_all_seeds_are_inside() -> None:
    calls = 0

    def f(c: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return c @ linear()

    target = plain_set(f, [(-100.0, 100.0)], cube())
    sampler = TwoStage(K=4, n=40, inner_steps=1000)
    state = sampler.init(target, seeded())
    calls = 0
    state, rows = sampler.round(target, state, seeded())
    assert calls == SEEDS_LOOK + 1  # and the look at the end
    assert len(rows) == 1
    assert state.steps == 0
    assert state.code_steps == 4  # inside at the first pass: what came after it is not counted


def test_walks_of_a_linear_unit_all_end_inside() -> None:
    # its slope is the same everywhere, so every sampling step gives K samples, which is the fewest
    # steps possible
    target = plain_set(
        lambda c: c @ linear(), [(0.0, 0.5)], replace(cube(), low=-math.inf, high=math.inf)
    )
    walks = run(TwoStage(K=10, n=200, walk=0.6, longest=9.0), target)
    assert walks.status is Status.REACHED
    assert walks.steps - walks.extra["seed_steps"] <= 19 + SAMPLING_ROUND
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
        state = run(TwoStage(K=10, n=200, walk=walk), target)
        assert state.status is Status.REACHED
        u = state.kept.trimmed()["u"]
        assert target.range.contains(f(u)).all()
        nearest.append((torch.cdist(u, u) + 9 * torch.eye(len(u))).min(1).values.mean().item())
    assert nearest[1] > 3 * nearest[0]


@pytest.mark.parametrize("bad", [-0.1, 1.5])
def test_bad_shares_of_a_walk_are_refused(bad: float) -> None:
    with pytest.raises(InvsetError, match=r"sampler\.walk must be at least 0 and at most 1"):
        TwoStage(walk=bad)

"""PPGN's chains against a transcription of the authors' rule in NumPy, and how they end, go on and
run on the embedded pair.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import cube, normal, plain_set, run, seeded
from chain_toy import DIM, UNIT, UNITS, e_, evaluate, g_, target, w1_, w2_
from test_drive import assert_same, through_a_file
from torch import Tensor
from typed import typed

from invset import Neuron, Problem, mini_generator, mini_network
from invset.core.probability import softmax
from invset.core.space import CodePrior
from invset.core.target import Layer
from invset.errors import InvsetError
from invset.samplers.base import Status
from invset.samplers.drive import drive
from invset.samplers.ppgn import PPGN
from invset.studies.study import study_of


def published(s: PPGN, seed: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """One chain as in Evolving-AI-Lab/ppgn: sampler.py, `sampling`: its last code, and the code and
    p behind each pass.
    """

    def draw(number: int) -> torch.Generator:
        return torch.Generator().manual_seed(number)

    def gaussian(rng: torch.Generator) -> np.ndarray:
        return torch.randn(DIM, generator=rng, dtype=torch.float64).numpy()

    h, eps1, seen, probs = gaussian(draw(seed)), s.eps1, [], []
    lr_end = s.lr if s.lr_end is None else s.lr_end
    i = 0
    while True:
        rng = draw(seed + 1 + i)
        step_size = s.lr + ((lr_end - s.lr) * i) / s.n_iters
        x = h @ g_
        d_prior = np.maximum(x @ e_, 0) - h
        hidden = np.tanh(x @ w1_)
        acts = hidden @ w2_
        exp_acts = np.exp(acts - np.max(acts))
        prob = (exp_acts / (1e-10 + exp_acts.sum()))[UNIT]
        one_hot = np.zeros(UNITS)
        one_hot[UNIT] = 1 - prob
        d_condition = g_ @ (w1_ @ ((1 - hidden**2) * (w2_ @ one_hot)))
        noise = s.eps3 * gaussian(rng) if s.eps3 > 0 else 0.0
        d_h = eps1 * d_prior + s.eps2 * d_condition + noise
        seen.append(h.copy())
        probs.append(prob)
        h = np.clip(h + step_size / np.abs(d_h).mean() * d_h, 0, 30)
        if s.reset_every > 0 and i % s.reset_every == 0 and i > 0:
            h = gaussian(rng)
            eps1 = torch.rand(1, 1, generator=rng).item() * (1e-2 - 1e-6) + 1e-6
        if i > 0 and i % s.n_iters == 0:
            return h, seen, np.array(probs)
        i += 1


def everything(**options: Any) -> PPGN:
    n_iters = options.pop("n_iters", 10)
    return PPGN(K=3, n=3 * (n_iters + 1), n_iters=n_iters, pick="all", **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eps1": 0.3, "eps3": 0.2},
        {"lr": 2.0, "lr_end": 0.5, "eps1": 0.1},
        {"reset_every": 4, "eps1": 0.1, "eps3": 0.01},
        {"eps2": 0.0, "eps1": 1.0},
    ],
    ids=["published", "noise", "rates", "resets", "prior"],
)
def test_ten_steps_are_those_of_the_published_code(options: dict[str, float]) -> None:
    sampler = everything(**options)
    state = run(sampler, target())
    kept = state.kept.trimmed()
    assert (state.status, state.steps) == (Status.REACHED, 11)  # n_iters + 1 passes
    assert (state.meter.forwards, state.meter.backwards) == (1 + 33, 33)
    for chain, seed in enumerate(state.state.seeds):
        last, seen, _ = published(sampler, seed)
        rows = kept["parent"] == chain
        assert kept["step"][rows].tolist() == list(range(11))
        # the picture of pass i is G of the code before its update; the first shows the start, which
        # nothing clips
        np.testing.assert_allclose(kept["u"][rows].numpy(), np.stack(seen), rtol=0, atol=1e-10)
        np.testing.assert_allclose(state.state.u[chain].numpy(), last, rtol=0, atol=1e-10)
        np.testing.assert_allclose(
            kept["f"][rows].numpy(),
            evaluate(kept["u"][rows])[0][:, [UNIT]].numpy(),
            rtol=0,
            atol=1e-12,
        )
    assert state.kept.u.min() < 0


def test_only_what_is_above_the_threshold_is_kept() -> None:
    plain = everything(n_iters=30)
    probabilities = [published(plain, seed)[2] for seed in plain.init(target(), seeded()).seeds]
    middle = float(np.median(np.concatenate(probabilities))) + 1e-9
    state = run(replace(plain, threshold=middle), target())
    above = [p > middle for p in probabilities]
    assert 0 < sum(a.sum() for a in above) < 93
    assert state.status is Status.BUDGET
    kept = state.kept.trimmed()
    for chain, passes in enumerate(above):
        assert kept["step"][kept["parent"] == chain].tolist() == np.flatnonzero(passes).tolist()


def test_codes_are_clipped_after_every_step() -> None:
    state = run(everything(lr=20.0), target())
    later = state.kept.trimmed()["u"][state.kept.trimmed()["step"] > 0]
    assert later.min() == 0
    assert later.max() == 30
    free = run(everything(lr=20.0), target(-1e9, 1e9))
    assert free.kept.trimmed()["u"].min() < -30


@pytest.mark.parametrize(
    ("pick", "n", "steps"),
    [
        ("spread", 500, list(range(4, 201, 4))),
        ("last", 500, list(range(151, 201))),
        ("spread", 20, [100, 200]),
        ("last", 10, [200]),
    ],
)
def test_which_of_the_2000_are_kept(pick: str, n: int, steps: list[int]) -> None:
    kept = run(PPGN(n=n, pick=pick), target()).kept.trimmed()
    for chain in range(10):
        assert kept["step"][kept["parent"] == chain].tolist() == steps


def test_a_chain_is_the_same_whatever_runs_beside_it() -> None:
    many, one = (
        run(
            PPGN(K=K, n=11 * K, n_iters=10, pick="all", eps1=0.1, eps3=0.1, reset_every=4), target()
        )
        for K in (5, 1)
    )
    first = many.kept.trimmed()["parent"] == 0
    torch.testing.assert_close(
        many.kept.trimmed()["u"][first], one.kept.trimmed()["u"], rtol=0, atol=1e-12
    )
    assert not torch.equal(many.state.u[0], many.state.u[1])


def test_a_chain_without_a_gradient_ends() -> None:
    flat = replace(
        target(), layer=Layer(lambda c: (torch.zeros(len(c), UNITS).to(c) + 0 * c[:, :1], c), UNIT)
    )
    state = run(everything(eps3=0.0), flat)
    assert state.status is Status.BUDGET
    assert state.kept.trimmed()["step"].tolist() == [
        0,
        0,
        0,
    ]  # the pass that finds d = 0 is still saved
    assert torch.isfinite(state.state.u).all()


def test_softmax() -> None:
    x = 50 * normal(4, 9)
    torch.testing.assert_close(softmax(x), x.softmax(1), rtol=0, atol=1e-9)


def test_same_seed_same_bytes() -> None:
    a, b, other = (run(everything(eps3=0.1), target(), seed) for seed in (3, 3, 4))
    assert torch.equal(a.kept.u, b.kept.u)
    assert not torch.equal(a.kept.u, other.kept.u)


@pytest.mark.parametrize("call", [8, 13, 24])
def test_interrupted_in_the_middle_of_a_round_and_gone_on(call: int) -> None:
    sampler, calls = everything(n_iters=30, reset_every=7, eps3=0.1), []
    whole = run(sampler, target())

    def broken(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return evaluate(codes)

    rng = seeded()
    first = drive(sampler, replace(target(), layer=Layer(broken, UNIT)), rng)
    assert first.status is Status.INTERRUPTED
    assert 0 < first.steps < whole.steps
    one = study_of(sampler)
    state, rng = through_a_file(one, first, rng)
    again = target()
    assert_same(one.found(again, one.run(again, rng, state)), one.found(again, whole))


def test_numbers_that_are_not_finite_end_the_run() -> None:
    calls: list[int] = []

    def bad(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(1)
        f, e = evaluate(codes)
        return f * (float("nan") if len(calls) > 9 else 1), e

    state = run(everything(n_iters=30), replace(target(), layer=Layer(bad, UNIT)))
    assert state.status is Status.NOT_FINITE
    assert len(state.kept.trimmed()["u"]) == 24  # of the eight passes that were sound
    assert torch.isfinite(state.kept.trimmed()["u"]).all()


def test_what_it_cannot_do_is_told() -> None:
    with pytest.raises(InvsetError, match="one neuron"):
        run(everything(), plain_set(lambda c: c[:, :1], [(0, 1)], cube()))
    with pytest.raises(InvsetError, match="prior=clip"):
        run(everything(), replace(target(), space=CodePrior.gaussian(DIM)))
    with pytest.raises(InvsetError, match="encodings that are codes"):
        run(everything(), replace(target(), layer=Layer(lambda c: (c, c[:, :2]), UNIT)))
    with pytest.raises(InvsetError, match="n=2000"):
        PPGN(K=10, n=2001)
    with pytest.raises(InvsetError, match="spread, last or all"):
        PPGN(pick="some")


@pytest.mark.parametrize(
    ("layer", "position"),
    [("fc8", "center"), ("conv5", "center"), ("conv5", "max"), ("conv5", (1, 0))],
)
def test_the_layer_of_a_problem_holds_its_neuron(layer: str, position: Any) -> None:
    problem = Problem(
        mini_network(), mini_generator(), neurons=[Neuron(layer, 3, (0.0, 1.0), position)]
    )
    codes = 3 * torch.rand(2, problem.generator.code_dim, generator=seeded())
    whole = problem.layer()
    assert whole is not None
    activations, e = whole.evaluate(codes)
    f, encodings = problem.evaluate(codes)
    assert activations.shape == (2, problem.network.shape(layer)[0])
    assert torch.equal(activations[:, whole.unit], f[:, 0])
    assert torch.equal(e, encodings)


def test_a_run_on_the_embedded_pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = [
        "sampler=ppgn",
        "sampler.n_iters=6",
        "network=mini",
        "neuron=horse",
        "z1=4",
        "z2=6",
        "n=5",
        "K=2",
        "progress=false",
    ]
    assert typed(monkeypatch, "run", *words, f"hydra.run.dir={tmp_path}") == 0
    summary = json.loads((tmp_path / "summary.json").read_text())
    rows = list(csv.DictReader((tmp_path / "activations.csv").read_text().splitlines()))
    assert (summary["status"], summary["prior"], summary["meter"]["gradient_steps"]) == (
        "reached",
        "clip",
        7,
    )
    assert [(row["origin"], row["step"], row["parent"]) for row in rows[:3]] == [
        ("chain", "2", "0"),
        ("chain", "2", "1"),
        ("chain", "4", "0"),
    ]
    assert sum(row["in_range"] == "True" for row in rows) == summary["counts"]["in_range"] < 5
    assert f"The other {5 - summary['counts']['in_range']} are outside" in summary["sentences"][0]
    assert len(rows) == 5 == len(list((tmp_path / "samples").iterdir()))


def test_chains_that_come_by_the_range_never(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = [
        "sampler=ppgn",
        "sampler.n_iters=3",
        "network=mini",
        "neuron=horse",
        "z1=30",
        "z2=31",
        "n=4",
        "K=2",
        "progress=false",
    ]
    assert typed(monkeypatch, "run", *words, f"hydra.run.dir={tmp_path}") == 3
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["counts"]["saved"], summary["counts"]["in_range"]) == (
        "unreachable",
        4,
        0,
    )
    assert "All are outside" in summary["sentences"][0]

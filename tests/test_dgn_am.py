"""DGN-AM against a transcription of the authors' two steps in NumPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import run
from chain_toy import DIM, UNIT, UNITS, g_, target, w1_, w2_
from typed import typed

from invset.core.ranges import ActivationRange
from invset.core.space import CodePrior
from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.base import Status
from invset.samplers.dgn_am import DGNAM


def free(high: float = 30.0) -> Target:
    """The toy of two layers behind a linear generator, of which no range is asked."""
    ends = torch.full((1,), torch.inf, dtype=torch.float64)
    return replace(target(0.0, high), range=ActivationRange(-ends, ends))


def activation(x: np.ndarray) -> tuple[float, np.ndarray]:
    """f of a picture, and its slope there."""
    hidden = np.tanh(x @ w1_)
    one_hot = np.eye(UNITS)[UNIT]
    return float((hidden @ w2_)[UNIT]), w1_ @ ((1 - hidden**2) * (w2_ @ one_hot))


def published(code: np.ndarray, s: DGNAM, upper: float, sign: float) -> tuple[np.ndarray, float]:
    """Evolving-AI-Lab/synthesizing, act_max.py, `activation_maximization`: the code of the last
    picture, and its activation.
    """
    for i in range(s.steps):
        step_size = s.lr + ((s.lr_end - s.lr) * i) / s.steps
        shown = code.copy()
        x0 = code @ g_
        act, g = activation(x0)
        x = x0 + sign * step_size / np.abs(g).mean() * g
        d = g_ @ (x - x0)
        code = code + step_size / np.abs(d).mean() * d
        code = np.minimum(np.maximum(code, 0), upper)
        code = code * s.decay
    return shown, act


@pytest.mark.parametrize(
    "options",
    [{}, {"decay": 1.0}, {"lr": 0.5}, {"lr": 2.0, "lr_end": 0.5, "decay": 0.9}],
    ids=["published", "no decay", "short", "rates"],
)
@pytest.mark.parametrize(("goal", "sign"), [("max", 1.0), ("min", -1.0)])
def test_two_steps_of_the_published_code_are_one(
    options: dict[str, Any], goal: str, sign: float
) -> None:
    sampler = DGNAM(K=3, n=3, steps=12, goal=goal, **options)
    starts = sampler.init(free(4.0), torch.Generator().manual_seed(0)).u.numpy()
    kept = run(sampler, free(4.0)).kept.trimmed()
    for chain, start in enumerate(starts):
        code, act = published(start, sampler, 4.0, sign)
        np.testing.assert_allclose(kept["u"][chain].numpy(), code, rtol=0, atol=1e-9)
        assert kept["f"][chain].item() == pytest.approx(act, abs=1e-9)


def test_the_last_code_is_kept_and_not_the_best() -> None:
    # the toy comes to its largest value, and then decay takes the code away from it
    last, best = (
        run(DGNAM(K=4, n=4, steps=40, goal="max", keep=keep, decay=0.5, lr=3.0), free())
        for keep in ("last", "best")
    )
    assert (best.kept.trimmed()["f"] >= last.kept.trimmed()["f"]).all()
    assert (best.kept.trimmed()["f"] > last.kept.trimmed()["f"]).any()
    assert (last.kept.trimmed()["step"] == 39).all()


def test_starts() -> None:
    normal = DGNAM().init(free(), torch.Generator()).u
    assert normal.min() == 0 < normal.max()  # half of N(0, I) lies outside of the bounds
    region = DGNAM(start_at="region").init(free(), torch.Generator()).u
    assert (region == region[0]).all()  # the toy has one start


def test_a_code_without_a_slope_stays() -> None:
    flat = replace(free(), evaluate=lambda c: (0 * c[:, :1], c))
    ended = run(DGNAM(K=2, n=2, steps=5, goal="max"), flat)
    assert ended.status is Status.REACHED
    start = DGNAM(K=2, n=2).init(flat, torch.Generator().manual_seed(0)).u
    assert torch.equal(ended.kept.trimmed()["u"], start.clamp(0, 30))


def test_starts_outside_of_the_bounds_are_no_samples() -> None:
    every = target(0.0, 4.0)
    every = every.at(ActivationRange(every.range.z1 - 100, every.range.z2 + 100))
    kept = run(DGNAM(K=3, n=9, steps=4), every).kept.trimmed()
    assert ((kept["u"] >= 0) & (kept["u"] <= 4)).all()
    best = run(DGNAM(K=3, n=3, steps=4, goal="min", keep="best"), free(4.0)).kept.trimmed()
    assert ((best["u"] >= 0) & (best["u"] <= 4)).all()


def test_it_needs_plain_codes() -> None:
    natural = replace(free(), space=CodePrior.gaussian(DIM))
    with pytest.raises(InvsetError, match="prior=clip"):
        run(DGNAM(goal="max"), natural)


def test_a_run_on_the_embedded_pair(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = "sampler=dgn_am sampler.steps=20 network=mini neuron=horse goal=max n=2 K=2"
    folder = f"hydra.run.dir={tmp_path}"
    assert typed(monkeypatch, "run", *words.split(), "progress=false", folder) == 0
    assert len(list((tmp_path / "samples").iterdir())) == 2

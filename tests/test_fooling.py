"""Ascent of a probability by the authors' rule: their loop in plain numbers; what it reaches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from cases import normal, plain_set, run, seeded

from invset.core.space import Box
from invset.core.target import Layer, Target
from invset.errors import InvsetError
from invset.samplers.base import Status
from invset.samplers.fooling import Fooling

SIDE = 4
W = normal(SIDE * SIDE, 3, seed=3)


def grey() -> Target:
    """Three linear units that look at the pixels of a grey picture."""
    space = Box(0.0, 1.0, torch.rand(32, SIDE**2, generator=seeded(), dtype=torch.float64))
    target = plain_set(lambda c: c @ W[:, 1:2], [(0.0, 1.0)], space)
    return replace(target, layer=Layer(lambda c: (c @ W, c), 1), picture=(1, SIDE, SIDE))


def theirs(x0: np.ndarray, steps: int, options: dict[str, float]) -> np.ndarray:
    """The rule in pixels from 0 to 255 about the mean, one number after the other."""
    w = W.numpy() / 255
    mean = 255 * options["mean"]
    x = 255 * x0 - mean
    for _ in range(steps):
        z = np.exp((x + mean) @ w)
        p = z / z.sum()
        slope = p[1] * (w[:, 1] - w @ p)
        lr = min(1e12, min(0.03, 0.1 * (1 - p[1])) / (slope**2).sum())
        x = (x + lr * slope) * (1 - options["decay"])
        x = np.clip(x + mean, 0, 255) - mean
    return (x + mean) / 255


@pytest.mark.parametrize("options", [{"mean": 0.5, "decay": 0.01}, {"mean": 0.2, "decay": 0.1}])
def test_the_loop_is_the_authors(options: dict[str, Any]) -> None:
    sampler = Fooling(K=2, n=2, steps=25, keep="last", **options)
    state = sampler.init(grey(), seeded())
    ended = run(sampler, grey())
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    for start, found in zip(state.u, kept["u"], strict=True):
        assert found.numpy() == pytest.approx(theirs(start.numpy(), 25, options), abs=1e-7)
    assert (kept["step"] == 25).all()
    assert (state.u - options["mean"]).std() < 2 / 255


def test_the_probability_rises_by_what_is_wanted() -> None:
    """A step is small enough here for the first order to hold."""
    sampler = Fooling(K=1, n=1, gain=1e-4, decay=0.0, mean=0.5)
    target = grey()
    before = sampler.init(target, seeded())
    seen, slope = sampler.slope(target, before, seeded())
    after = sampler.moved(target, before, seen, slope)
    p = [((state.u @ W).softmax(1)[0, 1]).item() for state in (before, after)]
    assert p[1] - p[0] == pytest.approx(1e-4, rel=1e-3)


@pytest.mark.parametrize("goal", ["max", "min"])
def test_the_network_becomes_sure(goal: str) -> None:
    target = grey()
    strong = replace(target, layer=Layer(lambda c: (20 * c @ W, c), 1))
    ended = run(Fooling(K=3, n=3, goal=goal, decay=0.0), strong)
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    p = (20 * ended.kept.trimmed()["u"] @ W).softmax(1)[:, 1]
    assert (p > 0.9999).all() if goal == "max" else (p < 1e-4).all()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"after_softmax": False}, "follows the probability"),
        ({"goal": "range"}, "goal must be max or min"),
        ({"gain": 0.0}, "gain must be a number above 0"),
    ],
)
def test_what_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(InvsetError, match=word):
        Fooling(**options)


def test_what_is_of_pixels_alone() -> None:
    with pytest.raises(InvsetError, match="mean is of pixels"):
        run(Fooling(K=1, n=1, mean=0.4), replace(grey(), picture=None))

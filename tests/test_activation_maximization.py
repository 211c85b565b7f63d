"""Priors of pictures against SciPy, loops and the rules of their sources, and steps with them by
hand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import normal, run, seeded, uniform
from scipy import ndimage
from torch import Tensor
from typed import typed

from invset import Neuron, Problem, mini_network
from invset.core import picture_priors as priors
from invset.core.ranges import ActivationRange
from invset.core.space import Box, CodePrior
from invset.core.steps import Normalized, Plain
from invset.core.target import Target
from invset.errors import InvsetError
from invset.nets.pixels import pixels_generator
from invset.samplers.activation_maximization import ActivationMaximization
from invset.samplers.climbing import Climbers

SIZE = (2, 5, 7)
DIM = 70
W = normal(DIM, 1, seed=3)
U = uniform(3, DIM, seed=4)
X = U.unflatten(1, SIZE)


def pictures() -> Target:
    """A linear unit of pictures of two channels, of which no range is asked."""
    ends = torch.full((1,), torch.inf, dtype=torch.float64)
    space = Box(0.0, 1.0, uniform(20, DIM))
    return Target(lambda c: (c @ W, c), ActivationRange(-ends, ends), space, picture=SIZE)


def upwards(**options: Any) -> ActivationMaximization:
    return ActivationMaximization(**{"K": 3, "n": 3, "steps": 4, "goal": "max", **options})


def at(u: Tensor, number: int = 1) -> Climbers:
    """A state after some passes."""
    rows = torch.arange(len(u))
    return Climbers(u, torch.zeros_like(u[:, :1]), rows, torch.tensor(len(u)), number, {})


def moved(u: Tensor, number: int = 1, **options: Any) -> Tensor:
    """Codes after one step."""
    sampler = upwards(**{"step_rule": Plain(0.01), **options})
    target = pictures()
    state = at(u, number)
    seen, slope = sampler.slope(target, state, seeded())
    return sampler.moved(target, state, seen, slope).u


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


STEP = 0.01 * pictures().space.scale


@pytest.mark.parametrize("sd", [0.5, 1.0, 2.3])
def test_blur_is_scipys(sd: float) -> None:
    expected = ndimage.gaussian_filter(X.numpy(), sd, axes=(2, 3), mode="nearest")
    np.testing.assert_allclose(priors.blurred(X, sd).numpy(), expected, rtol=0, atol=1e-12)


def test_total_variation_is_the_sum_over_pixels() -> None:
    for power in (1.0, 2.0):
        for x, found in zip(X, priors.total_variation(X, power), strict=True):
            expected = sum(
                ((c[i, j + 1] - c[i, j]) ** 2 + (c[i + 1, j] - c[i, j]) ** 2).item() ** (power / 2)
                for c in x
                for i in range(4)
                for j in range(6)
            )
            assert found.item() == pytest.approx(expected)
    flat = torch.full((1, 1, 3, 3), 0.4, requires_grad=True)
    priors.total_variation(flat, 1.0).sum().backward()
    assert flat.grad is not None
    assert (flat.grad == 0).all()  # and no NaN


def test_a_step_by_the_norm_and_total_variation() -> None:
    """Yosinski's and Mahendran & Vedaldi's penalties: their slopes by finite differences."""
    sampler = upwards(norm=0.3, norm_power=6.0, tv=0.2, tv_power=2.0)
    _, slope = sampler.slope(pictures(), at(U), seeded())

    def height(u: Tensor) -> Tensor:
        x = u.unflatten(1, SIZE)
        rest = 0.3 * ((x - 0.5) ** 6).flatten(1).sum(1) + 0.2 * priors.total_variation(x, 2.0)
        return rest - (u @ W)[:, 0]

    for k in (0, 13, 69):
        change = torch.zeros(DIM, dtype=torch.float64)
        change[k] = 1e-6
        expected = (height(U + change) - height(U - change)) / 2e-6
        torch.testing.assert_close(slope[:, k], expected, rtol=1e-6, atol=1e-8)


def test_the_optimum_with_an_l2_norm() -> None:
    """Simonyan et al. 2014: w·x - norm |x - grey|² is largest at grey + w / (2 norm)."""
    sampler = upwards(norm=4.0, steps=60, step_rule=Plain(0.3), keep="last")
    kept = run(sampler, pictures()).kept.trimmed()
    best = (0.5 + W[:, 0] / 8).clamp(0, 1)
    torch.testing.assert_close(kept["u"], best.expand(3, DIM), rtol=0, atol=1e-6)


def test_decay_and_blur_follow_the_step() -> None:
    """Yosinski et al. 2015: x <- r(x + η ∂f/∂x), where r is decay or blur."""
    stepped = U + STEP * W[:, 0]
    close(moved(U, decay=0.3), (0.5 + 0.7 * (stepped - 0.5)).clamp(0, 1))
    blurred = priors.blurred(stepped.unflatten(1, SIZE), 1.0).flatten(1)
    close(moved(U, number=3, blur=1.0, blur_every=4), blurred.clamp(0, 1))
    close(moved(U, number=2, blur=1.0, blur_every=4), stepped.clamp(0, 1))


def test_a_step_with_jitter_is_deepdreams() -> None:
    """google/deepdream, `make_step`: roll, step of 1 / mean |g|, roll back."""
    shift = priors.drawn_shift(3, seeded())
    assert any(shift)
    expected = []
    for x in X.numpy():
        rolled = np.roll(np.roll(x, shift[1], -1), shift[0], -2)
        g = W.numpy()[:, 0].reshape(SIZE)
        rolled = rolled + STEP / np.abs(g).mean() * g
        rolled = np.roll(np.roll(rolled, -shift[1], -1), -shift[0], -2)
        expected.append(np.clip(rolled, 0, 1))
    found = moved(U, jitter=3, step_rule=Normalized(0.01)).unflatten(1, SIZE)
    np.testing.assert_allclose(found.numpy(), np.stack(expected), rtol=0, atol=1e-12)


def test_pixels_with_a_small_norm_or_effect_become_grey() -> None:
    """Yosinski et al. 2015, in the NumPy of their toolbox (optimize/gradient_optimizer.py)."""
    stepped = (U + STEP * W[:, 0]).unflatten(1, SIZE).numpy() - 0.5
    expected = []
    for x in stepped:
        norms = np.linalg.norm(x, axis=0)
        x = x - x * (norms < np.percentile(norms, 30))
        effect = np.abs((W.numpy()[:, 0].reshape(SIZE) * -x).sum(0))
        expected.append(x - x * (effect < np.percentile(effect, 50)))
    found = moved(U, small_norm=0.3, small_effect=0.5)
    close(found.unflatten(1, SIZE), torch.from_numpy(np.stack(expected) + 0.5).clamp(0, 1))
    grey = (found.unflatten(1, SIZE) == 0.5).all(1).flatten(1).double().mean(1)
    assert ((grey >= 0.45) & (grey <= 0.55)).all()  # pixels that are grey already have no effect


def test_octaves_step_in_small_pictures_first() -> None:
    sampler = upwards(octaves=3, octave_scale=2.0, steps=6)
    factors = [sampler._octave(at(U, number)) for number in range(6)]
    assert factors == [4, 4, 2, 2, 1, 1]
    # a picture of 4 x 4 and half of it: means of four, and what lies between them in the middle
    x = torch.arange(16.0).view(1, 1, 4, 4)
    rows = torch.tensor([2.5, 4.5, 8.5, 10.5])  # of the means 2.5 and 10.5 down, a quarter apart
    across = torch.tensor([0.0, 0.5, 1.5, 2.0])
    close(priors.coarse(x, 2.0), (rows[:, None] + across)[None, None])
    assert priors.coarse(x, 1.0) is x
    step = STEP * priors.coarse(W[:, 0].unflatten(0, SIZE)[None], 2.0).flatten()
    close(moved(U, number=2, octaves=3, octave_scale=2.0, steps=6), (U + step).clamp(0, 1))


def test_patches_are_compared_with_the_nearest_known_ones() -> None:
    x = torch.tensor([[[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]]])
    known = torch.tensor([[0.0, 1.0, 3.0, 4.0], [5.0, 5.0, 7.0, 7.0]])
    # patches 2 wide, 1 apart: 0134, 1245, 3467, 4578
    expected = 0 + (1 + 1 + 1 + 1) + (4 + 1 + 1 + 0) + (1 + 0 + 0 + 1)
    assert priors.patch_distance(x, known, 2).tolist() == [expected]
    assert priors.patch_distance(x, x.new_tensor([[0, 1, 3, 4]]), 2).tolist() == [0 + 4 + 36 + 64]


def test_known_patches_are_parts_of_real_pictures() -> None:
    real = torch.arange(3 * 2 * 5 * 7).view(3, 2, 5, 7)
    found = priors.patches(real, 3, 7)
    assert found.shape == (7, 2 * 9)
    every = real.double().unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 1, 4, 5)
    rows = {tuple(row) for row in every.flatten(3).flatten(0, 2).tolist()}
    assert all(tuple(row) in rows for row in found.tolist())
    assert len({tuple(row) for row in found.tolist()}) == 7
    pictures = found[:, 0] // 70
    assert pictures.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert (priors.patches(real, 3, 2)[:, 0] // 70).tolist() == [0, 1]


def test_the_patch_prior_has_the_slope_of_its_distance() -> None:
    target = replace(pictures(), real=uniform(9, DIM, seed=8))
    sampler = upwards(patch=0.5, patch_size=3)
    assert sampler.needs_real
    _, slope = sampler.slope(target, at(U), seeded())
    assert target.real is not None
    known = priors.patches(target.real.unflatten(1, SIZE), 3, 1000)
    u = U.clone().requires_grad_()
    (0.5 * priors.patch_distance(u.unflatten(1, SIZE), known, 3).sum() - (u @ W).sum()).backward()
    assert u.grad is not None
    close(slope, u.grad)
    # so strong a prior makes a picture of known patches, as far as they overlap alike
    strong = upwards(patch=50.0, patch_size=5, steps=200, keep="last", step_rule=Plain(0.002))
    kept = run(strong, target).kept.trimmed()
    known = priors.patches(target.real.unflatten(1, SIZE), 5, 1000)
    far, near = (
        priors.patch_distance(v.unflatten(1, SIZE), known, 5).mean() for v in (U, kept["u"])
    )
    assert near < 0.2 * far


def test_samples_are_pictures_that_are_not_shifted() -> None:
    sampler = upwards(jitter=3, steps=6, shown_every=4)
    assert [sampler.shows(at(U, number)) for number in (0, 1, 4, 5)] == [True, False, True, False]
    kept = run(sampler, pictures()).kept.trimmed()
    assert set(kept["step"].tolist()) <= {0, 4, 6}
    # with a unit that knows no place, shifts change nothing
    even = replace(pictures(), evaluate=lambda c: (c.sum(1, keepdim=True), c))
    kept, plain = (run(upwards(jitter=j, keep="last"), even).kept.trimmed()["u"] for j in (3, 0))
    close(kept, plain)


def test_the_window() -> None:
    window = priors.centre_window(5, 7, 0.5, X)
    expected = [
        [np.exp(-((i - 2) ** 2 + (j - 3) ** 2) / (2 * 2.5**2)) for j in range(7)] for i in range(5)
    ]
    np.testing.assert_allclose(window.numpy(), expected)
    step = STEP * (W[:, 0].unflatten(0, SIZE) * window).flatten()
    close(moved(U, centre=0.5), (U + step).clamp(0, 1))


def test_starts_about_grey() -> None:
    u = upwards(start_sd=0.0, grey=0.25).init(pictures(), seeded()).u
    assert (u == 0.25).all()
    u = upwards(start_sd=0.1).init(pictures(), seeded()).u
    assert u.std().item() == pytest.approx(0.1, rel=0.2)
    assert u.mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "options",
    [{"blur": 1.0}, {"jitter": 2}, {"decay": 0.1}, {"start_sd": 0.0}, {"octaves": 2}],
    ids=str,
)
def test_priors_of_codes_that_are_no_pixels_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    target = replace(pictures(), picture=None)
    with pytest.raises(InvsetError, match=rf"sampler\.{name} is of pixels.*generator=pixels"):
        run(upwards(**options), target)


def test_which_coordinates_are_pixels() -> None:
    generator = pixels_generator(32)
    problem = Problem(mini_network(), generator, neurons=[Neuron("fc8", 8, (3.0, 4.0))])
    assert problem.target(problem.region("clip")).picture == (3, 32, 32)
    assert generator.picture_of(CodePrior.gaussian(3072)) is None


def test_a_run_on_pixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = (
        "sampler=am_mahendran sampler.steps=8 network=mini generator=pixels robust=0 neuron=horse"
        " goal=max n=2 K=2 progress=false"
    )
    assert typed(monkeypatch, "run", *words.split(), f"hydra.run.dir={tmp_path}") == 0
    assert len(list((tmp_path / "samples").iterdir())) == 2

"""Facets of real inputs by hand and beside scikit-learn, and steps of the octaves unrolled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import cube, linear, normal, plain_set, run, seeded, uniform
from torch import Tensor
from torch.nn import functional
from typed import typed

from invset.core.denoise import denoised
from invset.core.kmeans import kmeans, spread_rows
from invset.core.ranges import ActivationRange
from invset.core.space import Box
from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.climbing import Climbers
from invset.samplers.multifaceted import Faceted, Multifaceted, even, middles

SIZE = (2, 12, 12)
DIM = 288
W = normal(DIM, 1, seed=3)


def pictures() -> Target:
    ends = torch.full((1,), torch.inf, dtype=torch.float64)
    space = Box(0.0, 1.0, uniform(20, DIM))
    real = uniform(30, DIM, seed=5)
    return Target(
        lambda c: (c @ W, c), ActivationRange(-ends, ends), space, picture=SIZE, real=real
    )


def three_groups() -> Tensor:
    """Rows about three points of the cube, 20 each, in a mixed order."""
    centres = torch.tensor([[0.2] * 8, [0.5] * 8, [0.8] * 8], dtype=torch.float64)
    rows = centres.repeat(20, 1) + 0.02 * normal(60, 8)
    return rows.clamp(0, 1)


def at(u: Tensor, number: int) -> Faceted:
    rows = torch.arange(len(u))
    begun = Climbers(u, torch.zeros_like(u[:, :1]), rows, torch.tensor(len(u)), number, {})
    return Faceted(**vars(begun), facets=u)


def upwards(**options: Any) -> Multifaceted:
    return Multifaceted(**{"K": 3, "n": 3, "goal": "max", "facets": 3, **options})


def test_groups_are_scikit_learns() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    x = normal(80, 3)
    start = spread_rows(x, 5, seeded())
    group, centres = kmeans(x, start)
    theirs = cluster.KMeans(5, init=start.numpy(), n_init=1, tol=0, max_iter=100).fit(x.numpy())
    assert group.tolist() == theirs.labels_.tolist()
    np.testing.assert_allclose(centres.numpy(), theirs.cluster_centers_, rtol=0, atol=1e-12)


def test_a_group_that_loses_its_rows_keeps_its_centre() -> None:
    x = torch.tensor([[0.0], [1.0], [5.0]])
    group, centres = kmeans(x, torch.tensor([[0.5], [4.0], [99.0]]))
    assert group.tolist() == [0, 0, 1]
    assert centres.tolist() == [[0.5], [5.0], [99.0]]


def test_starts_of_groups_lie_apart() -> None:
    x = three_groups()
    for seed in range(5):
        chosen = spread_rows(x, 3, seeded(seed))
        assert sorted((chosen.mean(1) * 10 / 3).round().tolist()) == [1, 2, 3]
    same = torch.ones(4, 2)
    assert spread_rows(same, 3, seeded()).tolist() == [[1, 1]] * 3


def test_a_facet_is_the_mean_of_the_rows_nearest_to_a_centre() -> None:
    rows = torch.tensor([[10.0], [20.0], [30.0], [40.0]])
    x = torch.tensor([[0.0], [1.0], [3.0], [9.0]])
    group = torch.tensor([0, 0, 0, 2])
    centres = torch.tensor([[1.3], [5.0], [9.0]])
    # of the first group 1.0 and 0.0 are nearest; the second has no row
    assert middles(rows, x, group, centres, 2).tolist() == [[15.0], [40.0]]


def test_facets_of_three_groups_are_their_means() -> None:
    real = three_groups()
    target = replace(plain_set(lambda c: c @ linear(), [(0, 1)], cube()), real=real)
    state = upwards(nearest=20).init(target, seeded())
    expected = real.unflatten(0, (20, 3)).mean(0)
    found = state.facets[state.facets.mean(1).argsort()]
    torch.testing.assert_close(found, expected)
    assert torch.equal(state.u, state.facets)
    assert target.meter.forwards == 60
    # those that excite most are grouped: of 20 + 20 rows
    w = linear().sum()
    assert w != 0
    few = upwards(facets=1, top=20, nearest=20).init(target, seeded()).facets
    f = (real @ linear())[:, 0]
    torch.testing.assert_close(few[0], real[f.argsort(descending=True)[:20]].mean(0))


def test_every_start_is_its_facet() -> None:
    real = three_groups()
    target = replace(plain_set(lambda c: c @ linear(), [(0, 1)], cube()), real=real)
    sampler = upwards(n=9, steps=4, lr=1e-9, spread=0.0)
    facets = sampler.init(target, seeded()).facets
    kept = run(sampler, target).kept
    assert kept is not None
    found = kept.trimmed()
    assert found["parent"].tolist() == list(range(9))
    torch.testing.assert_close(found["u"], facets.repeat(3, 1), rtol=0, atol=1e-6)
    # what begins at a facet again begins beside it
    kept = run(upwards(n=9, steps=4, lr=1e-9, spread=0.1), target).kept
    assert kept is not None
    apart = (kept.trimmed()["u"] - facets.repeat(3, 1)).std(1)
    assert (apart[:3] < 1e-6).all()
    assert (apart[3:] > 0.01).all()


def test_an_edge_is_lowered_by_the_strength() -> None:
    # two halves, 4 columns each: each moves by strength / 4 towards the other
    x = torch.zeros(1, 1, 5, 8, dtype=torch.float64)
    x[..., 4:] = 1
    found = denoised(x, 0.4, rounds=4000)
    torch.testing.assert_close(
        found[..., :4], torch.full((1, 1, 5, 4), 0.1).double(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(
        found[..., 4:], torch.full((1, 1, 5, 4), 0.9).double(), atol=1e-4, rtol=0
    )
    flat = torch.full((1, 1, 4, 4), 0.3)
    torch.testing.assert_close(denoised(flat, 1.0), flat)
    noise = uniform(1, 2, 9, 9)
    torch.testing.assert_close(denoised(noise, 0.2).mean((2, 3)), noise.mean((2, 3)))


def test_which_octave_a_pass_is_in() -> None:
    sampler = upwards(steps=37)
    u = uniform(3, DIM)
    found = [sampler._octave(at(u, number)) for number in (0, 18, 19, 33, 34, 35, 36)]
    lengths = [octave.until for octave, _ in found]
    assert lengths == [190, 190, 340, 340, 360, 360, 370]
    assert [share for _, share in found] == pytest.approx([0, 18 / 19, 0, 14 / 15, 0, 0.5, 0])
    assert [sampler.shows(at(u, number)) for number in (0, 18, 19)] == [True, True, False]
    inside = Multifaceted(K=3, n=3, facets=3)
    assert inside._octave(at(u, 300))[0].until == 190


def test_a_step_of_the_first_octave() -> None:
    """act_max.tvd.mean.py: x + step g / mean |g|, clipped, denoised; half way the step is 1.5."""
    u = uniform(3, DIM, seed=7)
    target = pictures()
    state = at(u, 95)
    sampler = upwards()
    found = sampler.moved(target, state, *sampler.slope(target, state, seeded())).u
    g = W[:, 0]
    stepped = (u + 1.5 * 0.004 * g / g.abs().mean()).clamp(0, 1)
    expected = denoised(stepped.unflatten(1, SIZE), 1 / (0.4 * 255)).flatten(1)
    torch.testing.assert_close(found, expected)


def test_a_step_on_a_crop_goes_back_into_the_picture() -> None:
    u = uniform(3, DIM, seed=7)
    target = pictures()
    state = at(u, 350)  # half way through the third octave
    sampler = upwards()
    seen, slope = sampler.slope(target, state, seeded())
    found = sampler.moved(target, state, seen, slope).u.unflatten(1, SIZE)
    places = torch.randn(2, generator=seeded()).tolist()
    top, left = (int(np.clip(1 + 2 * place * 0.2, 0, 2)) for place in places)  # room of 2 pixels
    x = u.unflatten(1, SIZE)
    crop = x[..., top : top + 10, left : left + 10]
    large = functional.interpolate(crop, (12, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(seen.u, large.flatten(1))
    g = W[:, 0].unflatten(0, SIZE).clone()
    for edge in (g[:, :2], g[:, -2:], g[:, :, :2], g[:, :, -2:]):  # 0.22 of 12 pixels
        edge.zero_()
    stepped = (large + 2 * 0.004 * g / g.abs().mean()).clamp(0, 1)
    after = denoised(stepped, 1 / (1.05 * 255))
    expected = x.clone()
    expected[..., top : top + 10, left : left + 10] += functional.interpolate(
        after - large, (10, 10), mode="area"
    )
    torch.testing.assert_close(found, expected.clamp(0, 1))


def test_a_step_of_codes() -> None:
    target = replace(pictures(), picture=None)
    u = uniform(3, DIM, seed=7)
    sampler = upwards(lr=0.01)
    state = at(u, 0)
    found = sampler.moved(target, state, *sampler.slope(target, state, seeded())).u
    g = W[:, 0]
    expected = u + 0.01 * target.space.scale * g / g.abs().mean()
    torch.testing.assert_close(found, expected.clamp(0, 1))
    assert even(W.T).abs().mean().item() == pytest.approx(1)


def test_the_corner_of_the_cube_is_found() -> None:
    w = linear()
    target = replace(plain_set(lambda c: c @ w, [(0, 1)], cube()), real=three_groups())
    kept = run(upwards(lr=0.5), target).kept
    assert kept is not None
    best = w.clamp_min(0).sum()
    torch.testing.assert_close(kept.trimmed()["f"], best.expand(3, 1), rtol=0, atol=1e-3)


def test_real_inputs_are_needed() -> None:
    target = plain_set(lambda c: c @ linear(), [(0, 1)], cube())
    with pytest.raises(InvsetError, match=r"there are 0; type images=FOLDER"):
        run(upwards(), target)
    with pytest.raises(InvsetError, match="there are 2;"):
        run(upwards(), replace(target, real=uniform(2, 8)))


@pytest.mark.parametrize("generator", ["pixels", "mini"])
def test_a_run(
    generator: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from PIL import Image

    folder = tmp_path / "real"
    folder.mkdir()
    for number in range(6):
        x = (255 * uniform(32, 32, 3, seed=number)).byte().numpy()
        Image.fromarray(x).save(folder / f"{number}.png")
    words = (
        f"sampler.steps=8 network=mini generator={generator} robust=0 neuron=horse goal=max n=2 K=2"
        " progress=false report=false animation=false"
    ).split()
    faceted = ["sampler=multifaceted", "sampler.facets=2", *words]
    out = f"hydra.run.dir={tmp_path}/out"
    assert typed(monkeypatch, "run", *faceted, f"images={folder}", out) == 0
    assert len(list((tmp_path / "out/samples").iterdir())) == 2
    out = f"hydra.run.dir={tmp_path}/other"
    assert typed(monkeypatch, "run", *faceted, out) != 0
    assert "needs real inputs; give them by images=FOLDER" in capsys.readouterr().err
    assert typed(monkeypatch, "run", "sampler=gradient", *words, f"images={folder}", out) != 0
    assert "looks at no real inputs; leave images=FOLDER out" in capsys.readouterr().err

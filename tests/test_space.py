"""The natural region: fitted to a known Gaussian, compared with SciPy's chi distribution, saved and
read again.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import normal, seeded, uniform
from safetensors.torch import save_file
from scipy.stats import chi

from invset.core.space import Box, CodePrior, Free
from invset.errors import InvsetError
from invset.nets.natural import read_prior, save_prior

MEAN = torch.tensor([1.0, -2.0, 3.0, 0.5], dtype=torch.float64)
#: Standard deviations along the columns of ROTATION.
DEVIATION = torch.tensor([5.0, 2.0, 1.0, 0.5], dtype=torch.float64)
ROTATION = torch.linalg.qr(normal(4, 4, seed=3))[0]


def codes(count: int = 40000) -> torch.Tensor:
    return MEAN + normal(count, 4, seed=4) * DEVIATION @ ROTATION.T


def test_fit_finds_a_known_gaussian() -> None:
    prior = CodePrior.fit(codes(), variance=1.0)
    assert prior.dim == 4
    torch.testing.assert_close(prior.mean.double(), MEAN, atol=0.05, rtol=0)
    torch.testing.assert_close(prior.deviation.double(), DEVIATION, rtol=0.02, atol=0)
    torch.testing.assert_close(
        (prior.basis.double() * ROTATION).sum(0).abs(),
        torch.ones(4, dtype=torch.float64),
        rtol=1e-3,
        atol=0,
    )
    torch.testing.assert_close(prior.basis.T @ prior.basis, torch.eye(4), atol=1e-6, rtol=0)
    assert prior.radius.item() == pytest.approx(chi.ppf(0.95, 4), rel=0.01)


def test_fit_keeps_the_directions_that_hold_the_variance() -> None:
    # variances 25, 4, 1, 0.25 of 30.25: cumulative shares 0.826, 0.959, 0.992, 1
    assert [CodePrior.fit(codes(), variance=v).dim for v in (0.8, 0.9, 0.98, 1.0)] == [1, 2, 3, 4]


def test_fit_does_not_keep_directions_without_variance() -> None:
    flat = codes(500)
    flat[:, 2] = 7.0
    assert CodePrior.fit(flat, variance=1.0).dim == 3


def test_whitened_codes_are_standard_and_the_ball_holds_its_share() -> None:
    x = codes()
    prior = CodePrior.fit(x, variance=1.0, share=0.9)
    w = prior.encode(x)
    torch.testing.assert_close(torch.cov(w.T), torch.eye(4, dtype=torch.float64), atol=1e-3, rtol=0)
    assert (w.norm(dim=1) <= prior.radius).double().mean().item() == pytest.approx(0.9, abs=1e-3)


def test_encode_undoes_decode() -> None:
    prior = CodePrior.fit(codes(), variance=0.98)
    u = normal(6, prior.dim, seed=5)
    torch.testing.assert_close(prior.encode(prior.decode(u)), u, atol=1e-5, rtol=0)


def test_encode_gives_the_nearest_coordinates() -> None:
    prior = CodePrior.fit(codes(), variance=0.9)  # two of four directions
    code = normal(1, 4, seed=6).float() * 3
    missed = code - prior.decode(prior.encode(code))
    torch.testing.assert_close(
        missed @ prior.basis, torch.zeros(1, 2), atol=1e-5, rtol=0
    )  # orthogonal to what can be moved
    assert missed.norm() > 0.1


def test_signs_do_not_depend_on_the_eigensolver() -> None:
    basis = CodePrior.fit(codes(), variance=1.0).basis
    assert (basis.gather(0, basis.abs().argmax(0, keepdim=True)) > 0).all()


@pytest.mark.parametrize("dim", [1, 2, 3, 10, 128, 4096])
@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_radius_of_gaussian_codes_is_the_chi_quantile(dim: int, share: float) -> None:
    assert CodePrior.gaussian(dim, share).radius.item() == pytest.approx(
        chi.ppf(share, dim), rel=1e-6
    )


def test_gaussian_is_the_identity() -> None:
    prior, u = CodePrior.gaussian(5), normal(3, 5)
    assert torch.equal(prior.decode(u), u)
    assert torch.equal(prior.encode(u), u)


def test_projection_is_the_nearest_point() -> None:
    prior, u = (
        CodePrior.gaussian(5),
        normal(6, 5) * torch.tensor([[4.0], [0.5], [4.0], [0.5], [4.0], [0.5]]),
    )
    nearest = prior.project(u)
    radius = prior.radius.double()
    assert (nearest.norm(dim=1) <= radius * (1 + 1e-12)).all()
    others = prior.project(4 * normal(2000, 5, seed=1))
    assert (torch.cdist(u, others).min(1).values >= (u - nearest).norm(dim=1)).all()
    inside = u.norm(dim=1) <= radius
    assert inside.any()
    assert not inside.all()
    assert torch.equal(nearest[inside], u[inside])
    torch.testing.assert_close(prior.project(nearest), nearest)
    assert torch.equal(prior.project(torch.zeros(1, 5)), torch.zeros(1, 5))


def test_tangent_removes_the_radial_part_on_the_sphere_only() -> None:
    prior = replace(CodePrior.gaussian(6), radius=torch.tensor(2.0, dtype=torch.float64))
    rows, u = normal(2, 3, 6), normal(2, 6, seed=1)
    u = u / u.norm(dim=1, keepdim=True) * torch.tensor([[2.0], [1.8]])
    along = prior.tangent(rows, u)
    normal_ = u[0] / u[0].norm()
    torch.testing.assert_close(along[0] @ normal_, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(along[0], rows[0] - (rows[0] @ normal_).outer(normal_))
    assert torch.equal(along[1], rows[1])
    # to first order, the projection takes nothing back from a step along it
    step = 1e-5 * along[0, :1]
    torch.testing.assert_close(prior.project(u[:1] + step) - u[:1], step, rtol=0, atol=1e-9)
    for region in (Free(u), Box(0.0, 1.0, u)):
        assert torch.equal(region.tangent(rows, u), rows)


def test_which_coordinates_are_the_codes_themselves() -> None:
    start, u = uniform(50, 2), normal(3, 2)
    for region in (Free(start), Box(0.0, 1.0, start)):
        assert region.plain
        assert region.decode(u) is u
    assert not CodePrior.gaussian(2).plain


def test_samples_are_seeded_and_inside() -> None:
    prior = CodePrior.gaussian(5, share=0.5)
    a = prior.sample(400, seeded(3))
    assert torch.equal(a, prior.sample(400, seeded(3)))
    assert not torch.equal(a, prior.sample(400, seeded(4)))
    assert (a.norm(dim=1) <= prior.radius * (1 + 1e-6)).all()


def test_save_and_load(tmp_path: Path) -> None:
    prior = CodePrior.fit(codes(), variance=0.98)
    save_prior(tmp_path / "p.safetensors", prior)
    again = read_prior(tmp_path / "p.safetensors")
    for name in ("mean", "deviation", "radius"):
        assert torch.equal(getattr(again, name), getattr(prior, name))
    torch.testing.assert_close(again.basis, prior.basis, rtol=1e-3, atol=1e-4)  # float16
    u = normal(3, 3)
    torch.testing.assert_close(again.decode(u), prior.decode(u), rtol=1e-2, atol=1e-2)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvsetError, match="no prior at"):
        read_prior(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(InvsetError, match="as a safetensors file"):
        read_prior(tmp_path / "text.safetensors")
    save_file({"weight": torch.ones(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(InvsetError, match=r"not a prior: it holds \['weight'\]"):
        read_prior(tmp_path / "weights.safetensors")


@pytest.mark.parametrize("same", [torch.ones(1, 4), torch.ones(5, 4)])
def test_equal_codes_make_no_prior(same: torch.Tensor) -> None:
    with pytest.raises(InvsetError, match="codes that differ"):
        CodePrior.fit(same)


def test_box() -> None:
    start = uniform(50, 2)
    box = Box(torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.6]), start)
    u = torch.tensor([[-1.0, 0.0], [0.3, 0.55], [2.0, 9.0]])
    torch.testing.assert_close(box.project(u), torch.tensor([[0.0, 0.5], [0.3, 0.55], [1.0, 0.6]]))
    assert Box(0.0, 30.0, start).project(torch.tensor([[-1.0, 31.0]])).tolist() == [[0.0, 30.0]]
    assert Box(0.0, 30.0, start).project(torch.tensor([[math.nan, 31.0]])).isnan().tolist() == [
        [True, False]
    ]
    drawn = box.sample(20, seeded())
    assert torch.equal(drawn, box.project(drawn))
    # root mean square of the two columns' deviations
    assert box.scale == pytest.approx(math.sqrt(start.numpy().var(0).mean()))
    assert Box(0.0, 1.0, torch.ones(1, 2)).scale == 1.0


def test_free_projects_nothing() -> None:
    free, u = Free(uniform(50, 2)), 1e9 * normal(3, 2)
    assert torch.equal(free.project(u), u)
    assert all((free.start == row).all(1).any() for row in free.sample(5, seeded()))

"""Subspaces of regions by hand."""

from __future__ import annotations

import pytest
import torch
from cases import cube, normal, seeded

from invset.core.ball import Ball
from invset.core.space import CodePrior, Free
from invset.core.subspace import Kind, Subspace
from invset.errors import InvsetError


def test_all_directions_hold_every_code_of_a_cube() -> None:
    space = cube(5)
    all_ = Subspace.drawn(Kind.of("auto").within(space), space, seeded())
    assert torch.equal(all_.directions, torch.eye(5, dtype=torch.float64))
    corners = torch.tensor([[0.0] * 5, [1.0] * 5, [0.0, 1.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    # points reach beyond the cube, and are projected onto it
    assert torch.equal(all_.lift(corners, space), corners)
    u = space.sample(20, seeded(1))
    torch.testing.assert_close(all_.lift(all_.points(u), space), u)


def test_principal_directions_of_a_prior_are_those_with_the_largest_deviations() -> None:
    deviation = torch.tensor([1.0, 4.0, 2.0])
    prior = CodePrior(torch.zeros(3), torch.eye(3), deviation, torch.tensor(5.0))
    assert prior.principal(2).tolist() == [[0, 1, 0], [0, 0, 1]]


def test_principal_directions_of_a_box_are_those_of_its_start_codes() -> None:
    start = normal(200, 1) * torch.tensor([3.0, 4.0]) / 5 + 0.01 * normal(200, 2, seed=1)
    found = Free(start).principal(1)
    assert found is not None
    torch.testing.assert_close(found[0], torch.tensor([0.6, 0.8]).double(), atol=0.01, rtol=0)
    assert Free(start[:1]).principal(1) is None


def test_points_leave_what_lies_across_the_directions_as_it_is() -> None:
    space = Ball.holding(30)
    part = Subspace.drawn(Kind.of("random:4").within(space), space, seeded())
    rows = part.directions
    torch.testing.assert_close(rows @ rows.T, torch.eye(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows @ part.origin, torch.zeros(4), atol=1e-5, rtol=0)
    x = torch.rand(50, 4, generator=seeded(2), dtype=torch.float64)
    u = part.lift(x, space)
    assert (u.norm(dim=1) <= space.radius * 1.0001).all()
    inside = u.norm(dim=1) < 0.999 * space.radius
    assert inside.sum() > 5
    across = u[inside] - (u[inside] @ rows.T) @ rows
    torch.testing.assert_close(across, part.origin.expand_as(across), atol=1e-5, rtol=0)
    torch.testing.assert_close(part.points(u[inside]), x[inside].float(), atol=1e-5, rtol=0)


def test_auto_takes_all_numbers_up_to_twenty() -> None:
    small, large = Ball.holding(20), Ball.holding(21)
    assert Kind.of("auto").within(small) == Kind("none", 20)
    assert Kind.of("auto").within(large) == Kind("random", 16)
    assert Kind.of("auto").within(cube(21)) == Kind("pca", 16)
    with pytest.raises(InvsetError, match=r"type sampler\.subspace=random:4"):
        Kind.of("pca:4").within(large)


def test_all_numbers_of_a_large_code_are_refused() -> None:
    assert Kind.of("none").within(Ball.holding(4096)) == Kind("none", 4096)
    with pytest.raises(InvsetError, match=r"have 4097; type sampler\.subspace=random:16"):
        Kind.of("none").within(Ball.holding(4097))

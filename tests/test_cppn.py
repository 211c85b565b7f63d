"""Networks that draw pictures: one node at a time in plain Python, and how they grow, by hand."""

from __future__ import annotations

import colorsys
import math
from dataclasses import replace

import pytest
import torch
from cases import seeded
from torch import Tensor

from invset.core.cppn import INPUTS, KINDS, LARGEST, Cppns, Growth, begun, inputs_of, rendered
from invset.core.cppn_growth import (
    _with_link,
    _with_link_moved,
    _with_node,
    _without_link,
    _without_node,
    mutated,
)
from invset.core.polynomial import polynomial, polynomial_steps

FUNCTIONS = {
    "sine": math.sin,
    "sigmoid": lambda t: 2 / (1 + math.exp(-t)) - 1,
    "gaussian": lambda t: math.exp(-(t**2)),
    "linear": lambda t: min(max(t, -3), 3) / 3,
}


def grown(count: int, outputs: int, mutations: int = 25, hidden: int = 8) -> Cppns:
    growth = Growth(hidden)
    rng = seeded(5)
    nets = begun(count, outputs, growth, rng)
    for _ in range(mutations):
        nets = mutated(nets, growth, 0.1, 15.0, rng)
    return nets


def by_node(nets: Cppns, number: int, node: int, place: list[float]) -> float:
    """The value of a node of one network, by recursion along its links."""
    if node < INPUTS:
        return place[node]
    links = nets.linked[number, :, node].nonzero().flatten().tolist()
    total = sum(
        nets.weight[number, source, node].item() * by_node(nets, number, source, place)
        for source in links
    )
    return FUNCTIONS[KINDS[nets.kind[number, node]]](total)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("grid", ["unit", "pixels"])
def test_pictures_are_those_of_one_node_at_a_time(outputs: int, grid: str) -> None:
    nets = grown(6, outputs)
    assert nets.used.sum(1).min() >= 2
    nets = replace(nets, weight=nets.weight.double() / 3)
    found = rendered(nets, (outputs, 3, 4), grid).view(6, outputs, 3, 4)
    for number in range(6):
        for row in range(3):
            for column in range(4):
                x, y = -1 + 2 * column / 3, -1 + 2 * row / 2
                far = math.hypot(x, y)
                place = [x, y, far, 1.0] if grid == "unit" else [column, row, far, 1.0]
                last = INPUTS + nets.hidden
                values = [abs(by_node(nets, number, last + k, place)) for k in range(outputs)]
                wanted = colorsys.hls_to_rgb(*values) if outputs == 3 else values
                assert found[number, :, row, column].tolist() == pytest.approx(wanted, abs=1e-9)


def test_parts_of_a_batch_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    nets = grown(7, 3)
    whole = rendered(nets, (3, 5, 5), "unit")
    monkeypatch.setattr("invset.core.cppn._AT_A_TIME", 2 * 25 * nets.weight.shape[1])
    torch.testing.assert_close(rendered(nets, (3, 5, 5), "unit"), whole)


def test_one_row_or_column_of_pixels() -> None:
    places = inputs_of(1, 2, "unit", torch.zeros(1))
    assert places.tolist()[0] == [-1, 1]
    assert rendered(grown(2, 1), (1, 1, 1), "pixels").isfinite().all()


def test_networks_begin_without_hidden_nodes() -> None:
    nets = begun(50, 3, Growth(4), seeded())
    assert not nets.used.any()
    assert nets.linked.sum() == 50 * INPUTS * 3
    assert nets.linked[:, :INPUTS, -3:].all()
    assert nets.weight[nets.linked].abs().max() <= LARGEST
    assert nets.weight[nets.linked].std() == pytest.approx(LARGEST / math.sqrt(3), rel=0.05)
    assert nets.kind.flatten().unique().tolist() == [0, 1, 2, 3]


def sound(nets: Cppns) -> None:
    """No circle, no link of a node that is not there, no weight without a link."""
    level = nets.levels()
    rises = level.unsqueeze(2) < level.unsqueeze(1)
    assert not (nets.linked & ~rises).any()
    there = torch.ones_like(nets.kind, dtype=torch.bool)
    there[:, INPUTS : INPUTS + nets.hidden] = nets.used
    assert not (nets.linked & ~(there.unsqueeze(2) & there.unsqueeze(1))).any()
    assert not nets.weight[~nets.linked].any()
    assert nets.weight.abs().max() <= LARGEST
    assert torch.equal(nets.rank.sort(1).values, torch.arange(nets.hidden).expand_as(nets.rank))


def test_networks_stay_sound_as_they_grow() -> None:
    growth = Growth(5)  # soon full
    rng = seeded(1)
    nets = begun(40, 3, growth, rng)
    for _ in range(60):
        nets = mutated(nets, growth, 0.1, 15.0, rng)
        sound(nets)
    assert nets.used.all(1).any()
    assert len({tuple(row) for row in nets.used.tolist()}) > 3


def only(nets: Cppns, before: Cppns) -> tuple[Tensor, Tensor]:
    """Links that are new, and that are gone."""
    return (nets.linked & ~before.linked), (before.linked & ~nets.linked)


def test_a_node_divides_a_link() -> None:
    before = begun(30, 1, Growth(3), seeded())
    after = _with_node(before, 1.0, seeded(1))
    new, gone = only(after, before)
    assert (gone.sum((1, 2)) == 1).all()
    assert (new.sum((1, 2)) == 2).all()
    for number in range(30):
        ((source, end),) = gone[number].nonzero().tolist()
        w = before.weight[number, source, end]
        assert new[number].nonzero().tolist() == [[source, INPUTS], [INPUTS, end]]
        assert after.weight[number, source, INPUTS] == after.weight[number, INPUTS, end] == w
    # a second one before, behind or beside the first; a network without room stays as it is
    full = _with_node(_with_node(after, 1.0, seeded(2)), 1.0, seeded(3))
    sound(full)
    assert full.used.all()
    assert torch.equal(_with_node(full, 1.0, seeded(4)).weight, full.weight)


def test_links_come_go_and_move() -> None:
    before = grown(200, 2)
    new, gone = only(_with_link(before, 0.5, seeded(1)), before)
    assert not gone.any()
    assert new.any((1, 2)).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert new.sum((1, 2)).max() == 1
    new, gone = only(_without_link(before, 0.3, seeded(2)), before)
    assert not new.any()
    assert gone.sum((1, 2)).float().mean().item() == pytest.approx(0.3, abs=0.1)
    moved = _with_link_moved(before, 1.0, seeded(3))
    sound(moved)
    new, gone = only(moved, before)
    assert torch.equal(new.sum((1, 2)), gone.sum((1, 2)))
    moves = new.any((1, 2))
    assert moves.float().mean() > 0.8
    same_source = (new.any(2) & gone.any(2)).any(1)
    same_end = (new.any(1) & gone.any(1)).any(1)
    assert ((same_source | same_end) == moves).all()
    assert 0.3 < same_end[moves].float().mean() < 0.7
    old = (before.weight * gone).sum((1, 2))
    torch.testing.assert_close((moved.weight * new).sum((1, 2)), old, rtol=0, atol=0)


def test_a_node_goes_with_its_links() -> None:
    before = grown(100, 1)
    after = _without_node(before, 1.0, seeded(1))
    sound(after)
    assert torch.equal(before.used.sum(1) - after.used.sum(1), before.used.any(1).long())
    kept = before.linked & after.linked
    assert torch.equal(after.linked, kept)
    assert torch.equal(
        _without_node(begun(3, 1, Growth(2), seeded()), 1.0, seeded()).used.any(),
        torch.tensor(False),
    )


def test_polynomial_steps_by_hand() -> None:
    v = torch.tensor([0.0, 0.25, 0.5, 0.75], dtype=torch.float64)
    # η = 1: the root of 2v, less 1; and 1 less the root of 2 (1 - v)
    wanted = [-1.0, math.sqrt(0.5) - 1, 0.0, 1 - math.sqrt(0.5)]
    assert polynomial(v, 1.0).tolist() == pytest.approx(wanted)
    assert polynomial(v, 0.0).tolist() == pytest.approx([-1, -0.5, 0, 0.5])  # even


def test_the_spread_of_polynomial_steps() -> None:
    steps = polynomial_steps((1000, 1000), 0.1, 15.0, seeded())
    hit = steps != 0
    assert hit.float().mean().item() == pytest.approx(0.1, rel=0.02)
    # the density (η + 1)/2 (1 - |δ|)^η has the variance 2 / ((η + 2) (η + 3))
    assert steps[hit].std().item() == pytest.approx(math.sqrt(2 / (17 * 18)), rel=0.02)
    assert steps[hit].mean().item() == pytest.approx(0, abs=0.001)

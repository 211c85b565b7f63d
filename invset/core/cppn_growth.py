"""How compositional pattern-producing networks grow: links and nodes that come and go by chance.

Rates and operators are those of the code for Nguyen, Yosinski & Clune 2015 (Evolving-AI-Lab/fooling
with the module nn2 of Sferes). Two things differ. Links that lead back are allowed there, and
never arise here. There, each link may move until one has moved, with a chance of 0.5 each; here
``move_link`` is the chance that one does.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.cppn import INPUTS, KINDS, LARGEST, Cppns, Growth, drawn_weights
from invset.core.polynomial import polynomial_steps


def mutated(nets: Cppns, growth: Growth, rate: float, eta: float, rng: torch.Generator) -> Cppns:
    """Networks after one mutation, in the order of the code for Nguyen et al. 2015.

    Args:
        nets: as they are.
        growth: chances.
        rate: share of the weights that change, by `polynomial_steps`.
        eta: of these steps.
        rng: of the draws.
    """
    steps = polynomial_steps(nets.weight.shape, rate, eta, rng) * (2 * LARGEST)
    weight = (nets.weight + send(steps, nets.weight.device)).clamp(-LARGEST, LARGEST)
    nets = replace(nets, weight=weight * nets.linked)
    nets = _with_link_moved(nets, growth.move_link, rng)
    nets = _with_new_kinds(nets, growth.new_kind, rng)
    nets = _with_link(nets, growth.add_link, rng)
    nets = _without_link(nets, growth.drop_link, rng)
    nets = _with_node(nets, growth.add_node, rng)
    return _without_node(nets, growth.drop_node, rng)


def _with_link_moved(nets: Cppns, chance: float, rng: torch.Generator) -> Cppns:
    old = _one_of(nets.linked, chance, rng)
    keeps_end = _happens(0.5, len(old), rng, old.device).view(-1, 1, 1)
    beside = torch.where(keeps_end, old.any(1, keepdim=True), old.any(2, keepdim=True))
    new = _one_of(nets.free() & beside, 1.0, rng)
    old = old & new.any((1, 2)).view(-1, 1, 1)  # a link that can't move stays
    moved = (nets.weight * old).sum((1, 2)).view(-1, 1, 1)
    weight = torch.where(new, moved, nets.weight * ~old)
    return replace(nets, weight=weight, linked=nets.linked & ~old | new)


def _with_new_kinds(nets: Cppns, chance: float, rng: torch.Generator) -> Cppns:
    drawn = torch.randint(len(KINDS), nets.kind.shape, generator=rng, device=rng.device)
    hit = torch.rand(nets.kind.shape, generator=rng, device=rng.device) < chance
    device = nets.kind.device
    return replace(nets, kind=torch.where(send(hit, device), send(drawn, device), nets.kind))


def _with_link(nets: Cppns, chance: float, rng: torch.Generator) -> Cppns:
    new = _one_of(nets.free(), chance, rng)
    drawn = send(drawn_weights(new.shape, rng), nets.weight.device)
    weight = torch.where(new, drawn.to(nets.weight), nets.weight)
    return replace(nets, weight=weight, linked=nets.linked | new)


def _without_link(nets: Cppns, chance: float, rng: torch.Generator) -> Cppns:
    old = _one_of(nets.linked, chance, rng)
    return replace(nets, weight=nets.weight * ~old, linked=nets.linked & ~old)


def _with_node(nets: Cppns, chance: float, rng: torch.Generator) -> Cppns:
    """A node in the middle of a link, both parts of which have its weight."""
    room = ~nets.used.all(1)
    old = _one_of(nets.linked & room.view(-1, 1, 1), chance, rng)
    happens = old.any((1, 2))
    place = (~nets.used).long().argmax(1)  # the first that is not used
    node = torch.arange(nets.weight.shape[1], device=old.device) == (place + INPUTS).unsqueeze(1)
    node = node & happens.unsqueeze(1)
    source, end = old.any(2), old.any(1)
    new = source.unsqueeze(2) & node.unsqueeze(1) | node.unsqueeze(2) & end.unsqueeze(1)
    w = (nets.weight * old).sum((1, 2)).view(-1, 1, 1)
    slot = node[:, INPUTS : INPUTS + nets.hidden]
    level = nets.levels()
    between = ((level * source).sum(1) + (level * end).sum(1)).unsqueeze(1) / 2
    order = torch.where(slot, between, nets.rank.to(between))
    return Cppns(
        weight=torch.where(new, w, nets.weight * ~old),
        linked=nets.linked & ~old | new,
        kind=nets.kind,
        used=nets.used | slot,
        rank=order.argsort(dim=1, stable=True).argsort(1),
    )


def _without_node(nets: Cppns, chance: float, rng: torch.Generator) -> Cppns:
    slot = _one_of(nets.used, chance, rng)
    gone = torch.zeros_like(nets.kind, dtype=torch.bool)
    gone[:, INPUTS : INPUTS + nets.hidden] = slot
    stays = ~(gone.unsqueeze(2) | gone.unsqueeze(1))
    return replace(
        nets, weight=nets.weight * stays, linked=nets.linked & stays, used=nets.used & ~slot
    )


def _one_of(mask: Tensor, chance: float, rng: torch.Generator) -> Tensor:
    """In each row one that is true, drawn evenly, with a chance; none where none is."""
    flat = mask.flatten(1)
    score = send(torch.rand(flat.shape, generator=rng, device=rng.device), mask.device)
    best = torch.where(flat, score, -1.0).argmax(1, keepdim=True)
    one = torch.arange(flat.shape[1], device=mask.device) == best
    happens = _happens(chance, len(mask), rng, mask.device).unsqueeze(1)
    return (one & flat & happens).view_as(mask)


def _happens(chance: float, count: int, rng: torch.Generator, device: torch.device) -> Tensor:
    return send(torch.rand(count, generator=rng, device=rng.device) < chance, device)

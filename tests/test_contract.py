"""What the author of a sampler is told: who breaks the contract hears it at the first step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from cases import cube, plain_set, run
from torch import Tensor

from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.base import Column, Offer, Sampler, Status


@dataclass(frozen=True)
class Where:
    """What a toy knows: its codes."""

    u: Any


@dataclass(frozen=True)
class Draws(Sampler[Where]):
    """Fresh draws, a batch a step, and no word more than the contract asks for."""

    def init(self, target: Target, rng: torch.Generator) -> Where:
        return Where(target.space.sample(self.K, rng))

    def step(self, target: Target, state: Where, rng: torch.Generator) -> tuple[Where, Offer]:
        seen = target.look(state.u)
        return replace(state, u=target.space.sample(self.K, rng)), Offer(seen, self.picked(seen.f))

    def picked(self, f: Tensor) -> Tensor:
        return f[:, 0] > 0.5


def everything() -> Target:
    """The first coordinate of the cube."""
    return plain_set(lambda c: c[:, :1], [(0.0, 1.0)], cube())


def test_an_offer_needs_no_more_than_what_was_seen_and_chosen() -> None:
    ended = run(Draws(K=4, n=10), everything())
    assert ended.status is Status.REACHED
    assert ended.kept is not None
    kept = ended.kept.trimmed()
    assert (kept["f"] > 0.5).all()
    assert set(kept["parent"].tolist()) <= {0, 1, 2, 3}
    # rows of a batch, in their order
    for step in range(ended.steps):
        rows = kept["parent"][kept["step"] == step].tolist()
        assert rows == sorted(set(rows))


class Untyped(Draws):
    def init(self, target, rng):  # type: ignore[no-untyped-def]
        return super().init(target, rng)


class NoDataclass(Draws):
    def init(self, target: Target, rng: torch.Generator) -> Tensor:  # type: ignore[override]
        return target.space.sample(self.K, rng)


class HoldsRandomness(Draws):
    def init(self, target: Target, rng: torch.Generator) -> Where:
        return Where(rng)


class Numbers(Draws):
    def picked(self, f: Tensor) -> Tensor:
        return (f[:, 0] > 0.5).long()


class TwoAxes(Draws):
    def picked(self, f: Tensor) -> Tensor:
        return f > 0.5


class NoLog(Draws):
    columns: ClassVar[tuple[Column, ...]] = (Column("a", "b"),)


class Choosy(Draws):
    def check(self, target: Target) -> None:
        raise InvsetError("not this one")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Untyped, r"Untyped\.init must say which one it returns"),
        (NoDataclass, r"a frozen dataclass.* NoDataclass\.init"),
        (HoldsRandomness, "and dataclasses of these, no Generator"),
        (Numbers, r"`chosen` of shape \(4,\) and type torch.int64; it must be a boolean"),
        (TwoAxes, r"`chosen` of shape \(4, 1\).*, with shape \(4,\)"),
        (NoLog, "offers no `log`; it must hold a"),
        (Choosy, "not this one"),
    ],
)
def test_what_breaks_the_contract_is_told(kind: type[Draws], message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        run(kind(K=4, n=10), everything())


def bad(offer: Any) -> Sampler[Where]:
    """A sampler whose step gives what `offer` makes of the state and of what was seen."""

    class Bad(Draws):
        def step(self, target: Target, state: Where, rng: torch.Generator) -> Any:
            return offer(state, target.look(state.u))

    return Bad(K=4, n=10)


ALL = torch.ones(4, dtype=torch.bool)


@pytest.mark.parametrize(
    ("offer", "sentence"),
    [
        (lambda state, seen: state, "must return a pair"),
        (lambda state, seen: (state, ALL), "must return a pair"),
        (lambda state, seen: (state, Offer(seen.u, ALL)), "not what target.look gave"),
        (lambda state, seen: (state, Offer(seen, ALL, torch.arange(3))), "`parent` of shape"),
        (lambda state, seen: (state, Offer(seen, ALL, torch.ones(4))), "whole numbers"),
        (lambda state, seen: (state, Offer(seen, ALL, origin=7)), "`origin` 7"),
        (
            lambda state, seen: (state, Offer(replace(seen, f=seen.f.requires_grad_()), ALL)),
            "with its gradient; offer seen.detached",
        ),
        (lambda state, seen: (state, Offer(seen, ALL, origin=True)), "`origin` True"),
    ],
)
def test_what_a_step_may_not_give(offer: Any, sentence: str) -> None:
    with pytest.raises(InvsetError, match=sentence):
        run(bad(offer), everything())


def test_what_is_chosen_outside_of_the_range_is_not_kept() -> None:
    target = plain_set(lambda c: c[:, :1], [(0.8, 1.0)], cube())
    ended = run(Draws(K=4, n=10), target)  # it chooses all above one half
    assert ended.kept is not None
    assert (ended.kept.trimmed()["f"] >= 0.8).all()

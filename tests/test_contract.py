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
        (Numbers, r"`chosen` of shape \(4,\) and type torch.int64; of 4 codes it must be a bool"),
        (TwoAxes, r"`chosen` of shape \(4, 1\).* of shape \(4,\)"),
        (NoLog, r"a log of shape \(0,\), but NoLog\.columns names 1: it must be of shape \(1,\)"),
        (Choosy, "not this one"),
    ],
)
def test_what_breaks_the_contract_is_told(kind: type[Draws], message: str) -> None:
    with pytest.raises(InvsetError, match=message):
        run(kind(K=4, n=10), everything())

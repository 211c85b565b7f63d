"""A target whose passes are shared with other problems: it asks for them, and somebody takes those
of all that wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from invset.core.gradient import gradients
from invset.core.target import Seen, Target
from invset.problem.problem import Problem
from invset.problem.shared_passes import INPUTS, NEURONS, UNITS, Ask, Look, Part, Pull

#: Waits until something that was asked for has its answer, and gives it.
Wait = Callable[[Ask], Any]


@dataclass(frozen=True)
class Link:
    """From what a problem sees of a shared pass back to its coordinates.

    Attributes:
        wait: see `Wait`.
        codes: of the problem, with the graph that leads to its coordinates.
        part: of the pass.
    """

    wait: Wait
    codes: Tensor
    part: Part

    def pull(self, scalar: Tensor, u: Tensor, keep: bool) -> Tensor:
        """Gradient of a scalar in the coordinates, with shape (B, dim)."""
        *slopes, direct = gradients(scalar, (self.part.first, self.part.second, u), keep)
        if all(one is None for one in slopes):
            assert direct is not None  # `gradients` finds one
            return direct
        found = self.wait(Pull(self.part, slopes, keep))
        if self.codes is not u:
            (found,) = torch.autograd.grad(self.codes, u, found, retain_graph=keep)
        return found if direct is None else found + direct


@dataclass(frozen=True)
class LinkedSeen(Seen):
    """What a problem sees of a shared pass.

    Attributes:
        link: to its coordinates.
    """

    link: Link | None = None


class Asking:
    """Evaluates codes by asking for passes.

    Args:
        problem: whose neurons are read.
        wait: see `Wait`.

    Attributes:
        link: of the latest pass.
    """

    def __init__(self, problem: Problem, wait: Wait) -> None:
        self.problem = problem
        self.wait = wait
        self.link: Link | None = None

    def evaluate(self, kind: str) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """What takes codes, with shape (B, code_dim), for one kind of pass."""

        def ask(codes: Tensor) -> tuple[Tensor, Tensor]:
            grad = torch.is_grad_enabled() and codes.requires_grad
            part = self.wait(Look(self.problem, kind, codes.detach(), grad))
            self.link = Link(self.wait, codes, part)
            return part.first, part.second

        return ask


@dataclass(frozen=True, kw_only=True)
class SharedTarget(Target):
    """A target that asks for its passes.

    Attributes:
        asking: asks.
    """

    asking: Asking

    def _look(self, u: Tensor, also: Sequence[str], moving: bool) -> Seen:
        seen = super()._look(u, also, moving)
        values = {one.name: getattr(seen, one.name) for one in fields(Seen)}
        return LinkedSeen(**values, link=self.asking.link)

    def pull(self, seen: Seen, scalar: Tensor, keep: bool = False) -> Tensor:
        if not isinstance(seen, LinkedSeen) or seen.link is None:
            return super().pull(seen, scalar, keep)
        found = seen.link.pull(scalar, seen.u, keep)
        self.meter.backwards += len(seen.u) * seen.passes
        return found


def shared(problem: Problem, target: Target, wait: Wait) -> SharedTarget:
    """A target of a problem, with the same meter, that asks for its passes.

    Args:
        problem: that has the target.
        target: of it.
        wait: see `Wait`.
    """
    asking = Asking(problem, wait)
    values: dict[str, Any] = {one.name: getattr(target, one.name) for one in fields(Target)}
    values["evaluate"] = asking.evaluate(NEURONS)
    if target.layer is not None:
        values["layer"] = replace(target.layer, evaluate=asking.evaluate(UNITS))
    if target.inputs is not None:
        values["inputs"] = replace(target.inputs, evaluate=asking.evaluate(INPUTS))
    return SharedTarget(**values, asking=asking)

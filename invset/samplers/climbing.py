"""What samplers that follow the gradient of activations have in common.

K codes start somewhere and take `steps` gradient steps, then other starts take their place. Where a
range is asked for, a code that comes inside is a sample and makes room at once. Where the largest
or smallest activation is asked for, each start gives one sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.checks import GOALS
from invset.core.goal import loss
from invset.core.options import option
from invset.core.probability import softmax
from invset.core.ranges import ActivationRange
from invset.core.steps import Memory
from invset.core.target import Seen, Target
from invset.errors import InvsetError
from invset.samplers.base import LOOK, Column, Limits, Offer, Sampler

#: Share of the width, from each end of a range, in which codes still take steps: a slope that ends
#: at the end itself leaves them just outside.
INNER = 0.1


@dataclass(frozen=True)
class Climbers:
    """Where the codes are.

    Attributes:
        u: coordinates, with shape (K, dim).
        age: steps of each since its start, with shape (K, 1).
        parent: number of the start that each came from, with shape (K,).
        starts: starts so far, with shape ().
        number: passes so far.
        memory: of the step rule.
    """

    u: Tensor
    age: Tensor
    parent: Tensor
    starts: Tensor
    number: int
    memory: Memory


@dataclass(frozen=True)
class Climbing(Sampler[Climbers]):
    """K codes that follow a gradient; a sampler of this kind says how, by `moved`.

    Attributes:
        K: codes at a time.
        n: samples.
        goal: "range": activations in [z1, z2]; "max" or "min": as large or as small as they get.
        steps: gradient steps of a code.
        keep: of a start with goal=max or min: the code with the "best" activation, or the "last".
        after_softmax: follow the neuron's probability, after a softmax over its layer, and not its
            activation.
        patience: starts of each code, one after the other, without a sample of the range before
            the run gives up.
    """

    n: int = option(20, at_least=1)
    goal: str = option("range", words=GOALS)
    steps: int = option(200, at_least=1)
    keep: str = option("best", words=("best", "last"))
    after_softmax: bool = False
    patience: int = option(5, at_least=1)

    origins: ClassVar[tuple[str, ...]] = ("start",)
    columns: ClassVar[tuple[Column, ...]] = (Column("slope", "mean absolute slope"),)

    def limits(self) -> Limits:
        passes = self.patience * (self.last + 1)
        return Limits(patience=passes) if self.goal == "range" else Limits()

    def check(self, target: Target) -> None:
        if self.after_softmax and self.goal == "range":
            raise InvsetError(
                "sampler.after_softmax=true follows a probability, and ranges are of activations;"
                " type goal=max or goal=min, or leave sampler.after_softmax out"
            )

    def init(self, target: Target, rng: torch.Generator) -> Climbers:
        self.check(target)
        u = self.start(target, self.K, rng)
        parent = torch.arange(self.K, device=u.device)
        starts = torch.full((), self.K, dtype=torch.long, device=u.device)
        return Climbers(u, torch.zeros_like(u[:, :1]), parent, starts, 0, {})

    def step(self, target: Target, state: Climbers, rng: torch.Generator) -> tuple[Climbers, Offer]:
        """One pass: codes that end make room for other starts, the others take a step."""
        if self._ends(state):  # no slope is needed any more
            seen = target.look(state.u)
            every = torch.ones_like(state.parent, dtype=torch.bool)
            after = replace(state, number=state.number + 1)
            log = torch.zeros_like(seen.f[0, :1])
            return self._restarted(target, after, every, rng), Offer(seen, every, state.parent, log)
        seen, slope = self.slope(target, state, rng)
        log = slope.abs().mean().unsqueeze(0)
        after = self.moved(target, state, seen, slope)
        after = replace(after, age=state.age + 1, number=state.number + 1)
        chosen = self._chosen(target, state, seen)
        if self.goal == "range":
            ended = after.age[:, 0] > self.last
            ended = ended if chosen is None else ended | chosen
            after = self._restarted(target, after, ended, rng)
        return after, Offer(seen, chosen, state.parent, log)

    def _chosen(self, target: Target, state: Climbers, seen: Seen) -> Tensor | None:
        """Which codes may be samples before they end."""
        if not self.shows(state) or (self.goal != "range" and self.keep == "last"):
            return None
        return self.accepts(target, seen.f)

    # what differs

    @property
    def last(self) -> int:
        """Steps that a code has taken when it ends."""
        return self.steps

    def start(self, target: Target, count: int, rng: torch.Generator) -> Tensor:
        """Coordinates to start at, with shape (count, dim)."""
        return target.space.sample(count, rng)

    def shows(self, state: Climbers) -> bool:
        """Whether this pass sees what may be a sample."""
        return True

    def slope(self, target: Target, state: Climbers, rng: torch.Generator) -> tuple[Seen, Tensor]:
        """What a pass sees, and the gradient of `height`, with shape (K, dim)."""
        seen = self.look(target, state.u)
        found = target.pull(seen, self.height(target, seen).sum())
        return seen.detached(), found

    def moved(self, target: Target, state: Climbers, seen: Seen, slope: Tensor) -> Climbers:
        """The codes after a step against the slope; `age` and `number` are counted elsewhere."""
        raise NotImplementedError

    # what they share

    def look(self, target: Target, u: Tensor) -> Seen:
        """One pass whose gradient will be asked for."""
        return target.look(u, grad=True, also=("units",) if self.after_softmax else ())

    def height(self, target: Target, seen: Seen) -> Tensor:
        """What is made small, with shape (K,)."""
        if not self.after_softmax:
            range_ = _inner(target.range) if self.goal == "range" else target.range
            return loss(self.goal, range_, seen.f)
        assert seen.units is not None
        assert target.layer is not None
        p = softmax(seen.units)[:, target.layer.unit]
        return -p if self.goal == "max" else p

    def _ends(self, state: Climbers) -> bool:
        """Whether all codes end in this pass, as they do where there is no range."""
        return self.goal != "range" and self.passed(state) == self.last

    def passed(self, state: Climbers) -> int:
        """Steps since the last start of all codes."""
        return state.number % (self.last + 1)

    def _restarted(
        self, target: Target, state: Climbers, ended: Tensor, rng: torch.Generator
    ) -> Climbers:
        """The state after other starts have taken the place of the codes that ended."""
        column = ended.unsqueeze(1)
        fresh = self.start(target, len(ended), rng).to(state.u)
        parent = state.starts + ended.long().cumsum(0) - 1
        memory = {
            name: torch.where(ended.view(-1, *[1] * (value.ndim - 1)), 0, value)
            for name, value in state.memory.items()
        }
        return replace(
            state,
            u=torch.where(column, fresh, state.u),
            age=torch.where(column, 0, state.age),
            parent=torch.where(ended, parent, state.parent),
            starts=state.starts + ended.sum(),
            memory=memory,
        )

    # what the driver asks

    def done(self, state: Climbers) -> Tensor | bool:
        return self.goal != "range" and self._left(state) <= 0

    def _left(self, state: Climbers) -> int:
        """Starts that have not ended, where all K end together."""
        return self.n - self.K * (state.number // (self.last + 1))

    def stride(self, state: Climbers, wanted: int) -> int:
        if self.goal == "range":
            return super().stride(state, wanted)
        return min(LOOK, self.last + 1 - self.passed(state))

    def turn(self, state: Climbers, done: bool, wanted: int) -> Climbers | None:
        """Only as many codes as samples are still wanted: those that have gone farthest."""
        if done:
            return None
        left = wanted if self.goal == "range" else self._left(state)
        if left >= len(state.u):
            return state
        stay = state.age[:, 0].argsort(descending=True, stable=True)[:left].sort().values
        memory = {name: value[stay] for name, value in state.memory.items()}
        u, age, parent = (value[stay] for value in (state.u, state.age, state.parent))
        return replace(state, u=u, age=age, parent=parent, memory=memory)


def _inner(range_: ActivationRange) -> ActivationRange:
    """The range without what is near its ends."""
    edge = INNER * range_.width
    return ActivationRange(range_.z1 + edge, range_.z2 - edge)

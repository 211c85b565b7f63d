"""``sampler=bayesian``: Bayesian optimisation by BoTorch (Balandat et al. 2020), which takes no
gradient of the network.

A search looks at a few draws of the region, fits Gaussian processes to what it saw, and asks them
for the next K points. What is asked for:

- goal=max or min: the batch with the largest log expected improvement (Ament et al. 2023). A search
  gives one sample, its best code.
- goal=range: the processes of the activations are constraints z1 <= f <= z2. Until a search has a
  code inside, the batch that most likely has one; from then on, the code that is expected to be
  farthest in E from all samples so far, times its chance to be inside. Every code inside is a
  sample, so the distance to beat is 0.

A code that has many numbers is moved along a few directions (`invset.core.subspace`). With more
than ten of them proposals lie in the trust region of TuRBO (`invset.core.trust_region`), about the
best code; with a range, about the code nearest to it, or the sample farthest from the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.checks import GOALS, check_batch
from invset.core.goal import loss
from invset.core.options import check_options, option
from invset.core.subspace import Kind, Subspace
from invset.core.target import Target
from invset.core.trust_region import TrustRegion
from invset.samplers.base import Column, Limits, Offer, Sampler
from invset.samplers.surrogate import Hunt, Surrogate, alone, botorch

#: Most numbers in a point without a trust region.
LOCAL = 10

#: Least improvement that counts as a success, a share of what is improved (TuRBO's).
LEAST = 1e-3


@dataclass(frozen=True)
class Search:
    """Where a search is. What it saw is on the CPU, in float64.

    Attributes:
        number: of the search, from 0.
        ended: whether the next step begins another one.
        subspace: where its points lie.
        waiting: points to look at before the model is asked, with shape (W, d).
        x: points that it looked at, in [0, 1], with shape (N, d).
        f: their activations, with shape (N, p).
        e: their encodings, with shape (N, width).
        loss: what it minimises, of each, with shape (N,).
        inside: which of them are samples of a range, with shape (N,).
        earlier: encodings of the samples of earlier searches, each with shape (M, width).
        region: the trust region.
        parameters: of the latest model.
        told: points, activations, encodings, losses and samples of the latest step.
    """

    number: int
    ended: bool
    subspace: Subspace
    waiting: Tensor
    x: Tensor
    f: Tensor
    e: Tensor
    loss: Tensor
    inside: Tensor
    earlier: list[Tensor]
    region: TrustRegion
    parameters: dict[str, Tensor]
    told: list[Tensor]


@dataclass(frozen=True)
class Bayesian(Sampler[Search]):
    """One search at a time, which asks for K points at a time.

    Attributes:
        K: points of a batch.
        goal: "range": samples are codes inside [z1, z2]; "max" or "min": the best code of each
            search. Several neurons: of the sum of their activations.
        subspace: directions that points move along: "none": all; "pca:16": 16 principal ones of
            the region; "random:16": 16 random ones. "auto": all up to 20 numbers in a code, else
            16.
        initial: draws of the region that a search begins with, in whole batches; None: two for
            each direction.
        evaluations: codes of a search, and so the most points in the model.
        trust_region: whether proposals lie in a box about the best point, and a search ends when
            the box is small. None: where points have more than ten numbers.
        draws: points that are evaluated in the model, to find the best proposal.
        starts: the best of them, at which L-BFGS starts.
        climb: its steps; 0: the best of these points is proposed. None: 20 where a batch is chosen
            as a whole, 5 where its points are chosen one after the other.
        patience: searches without a sample of the range before the run gives up.
        budget: code-steps a sample of goal=range, on average, before the run gives up; a code costs
            1/3.
    """

    K: int = option(5, at_least=1)
    n: int = option(20, at_least=1)
    goal: str = option("range", words=GOALS)
    subspace: str = "auto"
    initial: int | None = option(None, at_least=1)
    evaluations: int = option(200, at_least=1)
    trust_region: bool | None = None
    draws: int = option(512, at_least=1)
    starts: int = option(2, at_least=1)
    climb: int | None = option(None, at_least=0)
    patience: int = option(2, at_least=1)
    budget: float = option(200.0, above=0)

    origins: ClassVar[tuple[str, ...]] = ("draw", "proposal")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("points", "codes in the model"),
        Column("side", "side of the trust region"),
    )

    def __post_init__(self) -> None:
        check_options(self, "sampler")
        if self.goal == "range":  # else all codes of a batch are for one sample
            check_batch(self.K, self.n)
        Kind.of(self.subspace)

    def limits(self) -> Limits:
        if self.goal != "range":
            return Limits()
        return Limits(self.budget * self.n, self.patience * -(-self.evaluations // self.K))

    def check(self, target: Target) -> None:
        botorch()
        Kind.of(self.subspace).within(target.space)

    def init(self, target: Target, rng: torch.Generator) -> Search:
        self.check(target)
        return self._begun(target, 0, [], rng)

    def _begun(
        self, target: Target, number: int, earlier: list[Tensor], rng: torch.Generator
    ) -> Search:
        """A search that has seen nothing yet."""
        kind = Kind.of(self.subspace).within(target.space)
        subspace = Subspace.drawn(kind, target.space, rng)
        batches = -(-(self.initial or 2 * kind.count) // self.K)
        initial = min(batches * self.K, self.evaluations)
        waiting = subspace.points(target.space.sample(initial, rng)).double().cpu()
        empty = waiting[:0]
        return Search(
            number=number,
            ended=False,
            subspace=subspace,
            waiting=waiting,
            x=empty,
            f=empty,
            e=empty,
            loss=empty[:, 0],
            inside=empty[:, 0] > 0,
            earlier=earlier,
            region=TrustRegion(),
            parameters={},
            told=[],
        )

    def step(self, target: Target, state: Search, rng: torch.Generator) -> tuple[Search, Offer]:
        """One batch: of the first draws, or of what the model proposes."""
        if state.ended:
            found = [state.e[state.inside]] if state.inside.any() else []
            state = self._begun(target, state.number + 1, [*state.earlier, *found], rng)
        seed = int(torch.randint(2**31, (1,), generator=rng, device=rng.device))
        drawn = len(state.waiting) > 0
        if drawn:
            asked = state.waiting[: self.K]
            state = replace(state, waiting=state.waiting[self.K :])
        else:
            count = min(self.K, self.evaluations - len(state.x))
            asked, state = self._proposed(target, state, count, seed)
        seen = target.look(state.subspace.lift(asked, target.space))
        chosen = self.accepts(target, seen.f)
        losses = loss(self.goal, target.range, seen.f)
        after = replace(state, told=[asked, seen.f, seen.e, losses, chosen])
        parent = torch.full_like(chosen, state.number, dtype=torch.long)
        log = torch.stack([losses.new_full((), x) for x in (len(state.x), state.region.side)])
        return after, Offer(seen, chosen, parent, log, origin=0 if drawn else 1)

    def _local(self, dim: int) -> bool:
        return dim > LOCAL if self.trust_region is None else self.trust_region

    def _proposed(
        self, target: Target, state: Search, count: int, seed: int
    ) -> tuple[Tensor, Search]:
        """The points to look at next, with shape (count, d)."""
        ends = torch.stack([target.range.z1, target.range.z2], 1).double().cpu()
        searching = not state.earlier and not state.inside.any()
        with alone(seed):
            if self.goal != "range":
                y = -state.loss.unsqueeze(1)
            else:
                y = state.f if searching else torch.cat([state.f, _distances(state)], 1)
            model = Surrogate.fitted(state.x, y, state.parameters)
            lengths = model.lengths(y.shape[1] if searching else target.p)
            hunt = self._hunt(state, lengths, 20 if searching else 5, seed)
            if self.goal != "range":
                asked = model.best(hunt, count, y.max())
            elif searching:
                asked = model.feasible(hunt, count, ends)
            else:
                asked = model.farthest(hunt, count, ends)
        return asked, replace(state, parameters=model.parameters)

    def _hunt(self, state: Search, lengths: Tensor, climb: int, seed: int) -> Hunt:
        """Where and how proposals are looked for; `climb` if the option leaves it open."""
        centre = state.x[_middle(state)]
        if self._local(len(centre)):
            bounds = state.region.bounds(centre, lengths)
        else:
            bounds = torch.stack([torch.zeros_like(centre), torch.ones_like(centre)])
        climb = climb if self.climb is None else self.climb
        return Hunt(bounds, self.draws, self.starts, climb, seed)

    def stride(self, state: Search, wanted: int) -> int:
        return 1

    def turn(self, state: Search, done: bool, wanted: int) -> Search | None:
        """Tell the search what the latest step saw."""
        x, f, e, losses, inside = (value.cpu() for value in state.told)
        proposed = len(state.waiting) == 0 and len(state.x) > 0
        after = replace(
            state,
            x=torch.cat([state.x, x]),
            f=_joined(state.f, f.double()),
            e=_joined(state.e, e.double()),
            loss=torch.cat([state.loss, losses.double()]),
            inside=torch.cat([state.inside, inside if self.goal == "range" else inside & False]),
            told=[],
        )
        if proposed:
            success = self._success(state, losses.double(), inside)
            region = state.region.after(success, x.shape[1], len(x))
            after = replace(after, region=region)
        local = self._local(x.shape[1])
        ended = len(after.x) >= self.evaluations or (local and after.region.ended)
        if ended and self.goal != "range" and state.number + 1 >= self.n:
            return None
        return replace(after, ended=ended)

    def _success(self, state: Search, losses: Tensor, inside: Tensor) -> bool:
        """Whether a batch was better than all before."""
        if self.goal == "range" and inside.any():
            return True
        best = state.loss.min()
        return bool(losses.min() < best - LEAST * best.abs())


def _joined(rows: Tensor, more: Tensor) -> Tensor:
    return torch.cat([rows, more]) if len(rows) else more


def _distances(state: Search) -> Tensor:
    """Distance in E of each point from the nearest sample, 0 of samples, with shape (N, 1)."""
    samples = torch.cat([*state.earlier, state.e[state.inside]])
    apart = torch.cdist(state.e, samples).amin(1, keepdim=True)
    return torch.where(state.inside.unsqueeze(1), 0, apart)


def _middle(state: Search) -> Tensor:
    """Number of the point that the trust region is about: the sample that is farthest in E from all
    others; without one, the point with the least loss.
    """
    rows = state.inside.nonzero().squeeze(1)
    if not len(rows):
        return state.loss.argmin()
    mine = state.e[rows]
    apart = torch.cdist(mine, mine).fill_diagonal_(torch.inf)
    others = [torch.cdist(mine, one) for one in state.earlier]
    nearest = torch.cat([apart, *others], 1).amin(1)
    return rows[nearest.argmax()]

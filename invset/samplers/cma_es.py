"""``sampler=cma_es``: covariance matrix adaptation (Hansen and Ostermeier 2001), without gradients.

Each search is one evolution strategy of pycma, from one draw of the region. It asks for a
population, all searches' populations are one batch, and it is told what each code's `loss` is
(`invset.core.goal`). A code outside of the region counts as the nearest inside, and pycma is told
its loss: where the optimum lies on the boundary, the whole population may lie beyond it. A search
gives one sample.

A strategy is not saved. Its random numbers have a seed of their own, so that a search that goes on
asks and is told again what it was told before, which takes no pass of a network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.checks import GOALS
from invset.core.goal import loss
from invset.core.options import option
from invset.core.space import Region
from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.base import Column, Limits, Offer, Sampler

#: Most numbers in a code that have a full covariance matrix under ``covariance=auto``.
FULL = 512

#: What pycma is kept from: files, messages, and orders by a file.
_QUIET = {"verbose": -10, "verb_log": 0, "verb_disp": 0}


@dataclass(frozen=True)
class Search:
    """One strategy, as it is made again.

    Attributes:
        number: from 0, in the order in which searches begin.
        seed: of its random numbers.
        start: the first mean, with shape (dim,), on the CPU.
        losses: what it was told in each generation, each with shape (population,), on the CPU.
    """

    number: int
    seed: int
    start: Tensor
    losses: list[Tensor]


@dataclass(frozen=True)
class CMAState:
    """Where the searches are.

    Attributes:
        searches: those that go on.
        begun: searches so far.
        losses: of the latest generation, which no strategy was told yet, with shape (searches,
            population).
        arrived: searches that gave a sample in it, with shape (searches,).
        fresh: starts of searches that follow, with shape (K, dim).
        seeds: their seeds.
    """

    searches: list[Search]
    begun: int
    losses: Tensor
    arrived: Tensor
    fresh: Tensor
    seeds: list[int]


@dataclass
class _Strategy:
    """A strategy that is up to date with a search, and what it asked for; not saved."""

    search: Search
    es: Any
    asked: list[np.ndarray] | None = None


@dataclass(frozen=True)
class CMAES(Sampler[CMAState]):
    """K searches side by side, each by pycma.

    Attributes:
        K: searches side by side; their populations are one batch.
        goal: "range": a search ends with its first code inside [z1, z2], which is its sample; "max"
            or "min": its sample is its best code. Several neurons: of the sum of their activations.
        population: codes of a generation; None: 4 + 3 ln(numbers in a code), pycma's own.
        sigma: standard deviation of the first generation, in the region's unit of length; large
            ones diverge.
        iterations: generations after which a search ends.
        covariance: of the proposals: "full", "diagonal", or "vkd": diagonal and a few directions
            (Akimoto and Hansen 2016). "auto": full up to 512 numbers in a code, else diagonal.
        budget: code-steps a sample of goal=range, on average, before the run gives up; a code costs
            1/3.
    """

    goal: str = option("range", words=GOALS)
    population: int | None = option(None, at_least=2)
    sigma: float = option(0.5, above=0)
    iterations: int = option(1000, at_least=1)
    covariance: str = option("auto", words=("auto", "full", "diagonal", "vkd"))
    budget: float = option(2000.0, above=0)

    origins: ClassVar[tuple[str, ...]] = ("search",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("sigma", "step length σ of CMA-ES"),
        Column("loss", "smallest loss of a generation"),
    )

    @cached_property
    def _strategies(self) -> list[_Strategy]:
        """Those at hand, of searches that go on."""
        return []

    def limits(self) -> Limits:
        return Limits(self.budget * self.n if self.goal == "range" else None)

    def init(self, target: Target, rng: torch.Generator) -> CMAState:
        _pycma()
        fresh, seeds = self._drawn(target.space, rng)
        searches = [_begun(i, seeds[i], fresh[i]) for i in range(self.K)]
        nothing = fresh.new_zeros(self.K, 0)
        return CMAState(searches, self.K, nothing, nothing.bool().any(1), fresh, seeds)

    def step(self, target: Target, state: CMAState, rng: torch.Generator) -> tuple[CMAState, Offer]:
        """One generation of every search."""
        space = target.space
        strategies = [self._strategy(one, space) for one in state.searches]
        asked = [self._ask(strategy) for strategy in strategies]
        u = torch.cat(asked).to(state.fresh.dtype)
        seen = target.look(space.project(send(u, state.fresh.device)))
        losses = loss(self.goal, target.range, seen.f).view(len(asked), -1)
        numbers = torch.tensor([one.number for one in state.searches])
        parent = send(numbers, u.device).repeat_interleave(losses.shape[1]).to(seen.u.device)
        inside = self.accepts(target, seen.f).view_as(losses)
        # the first of a generation: one sample a search
        first = inside & (inside.cumsum(1) == 1) if self.goal == "range" else inside
        fresh, seeds = self._drawn(space, rng)
        self._strategies.extend(strategies)
        sigma = sum(float(strategy.es.sigma) for strategy in strategies) / len(strategies)
        log = torch.stack([losses.new_full((), sigma), losses.amin()])
        after = replace(state, losses=losses, arrived=first.any(1), fresh=fresh, seeds=seeds)
        return after, Offer(seen, first.flatten(), parent, log)

    def stride(self, state: CMAState, wanted: int) -> int:
        return 1

    def turn(self, state: CMAState, done: bool, wanted: int) -> CMAState | None:
        """Tell every strategy its losses, and begin a search for each that has ended."""
        losses = state.losses.double().cpu()
        arrived = state.arrived.tolist()
        searches = []
        begun = state.begun
        for place, (search, told) in enumerate(zip(state.searches, losses, strict=True)):
            after = self._told(search, told)
            if after is None or (arrived[place] and self.goal == "range"):
                if self.goal != "range" and begun >= self.n:
                    continue
                after = _begun(begun, state.seeds[place], state.fresh[place])
                begun += 1
            searches.append(after)
        if self.goal == "range":  # no more than samples are wanted: those that are longest at it
            searches = sorted(searches, key=lambda one: one.number)[:wanted]
        going = {id(search) for search in searches}
        self._strategies[:] = [one for one in self._strategies if id(one.search) in going]
        return replace(state, searches=searches, begun=begun) if searches else None

    def _told(self, search: Search, losses: Tensor) -> Search | None:
        """The search after a generation, or None at its end."""
        strategy = self._taken(search)
        assert strategy is not None
        assert strategy.asked is not None
        strategy.es.tell(strategy.asked, losses.tolist())
        after = replace(search, losses=[*search.losses, losses])
        if len(after.losses) >= self.iterations or strategy.es.stop():
            return None
        self._strategies.append(_Strategy(after, strategy.es))
        return after

    def _taken(self, search: Search) -> _Strategy | None:
        """The strategy of a search, out of those at hand. After an interruption it may be missing,
        and is made again.
        """
        for place, one in enumerate(self._strategies):
            if one.search is search:
                return self._strategies.pop(place)
        return None

    def _strategy(self, search: Search, space: Region) -> _Strategy:
        """The strategy of a search that was told all its losses and has not asked yet."""
        strategy = self._taken(search)
        if strategy is not None and strategy.asked is None:
            return strategy
        strategy = _Strategy(search, self._made(search, space))
        for losses in search.losses:
            strategy.es.tell(strategy.es.ask(), losses.tolist())
        return strategy

    def _ask(self, strategy: _Strategy) -> Tensor:
        """The next generation, with shape (population, dim), on the CPU."""
        strategy.asked = strategy.es.ask()
        return torch.from_numpy(np.asarray(strategy.asked))

    def _made(self, search: Search, space: Region) -> Any:
        """A new strategy of pycma."""
        cma = _pycma()
        randn = np.random.RandomState(search.seed).randn
        options = {**_QUIET, "randn": randn, "maxiter": self.iterations}
        if self.population is not None:
            options["popsize"] = self.population
        shape = self.covariance
        if shape == "auto":
            shape = "full" if len(search.start) <= FULL else "diagonal"
        if shape == "vkd":
            vkd = cma.restricted_gaussian_sampler.GaussVkDSampler
            options = vkd.extend_cma_options(options)
            options["CMA_sampler_options"] = {"randn": randn}
        else:
            options["CMA_diagonal"] = shape == "diagonal"
        start = search.start.double().numpy()
        return cma.CMAEvolutionStrategy(start, self.sigma * space.scale, options)

    def _drawn(self, space: Region, rng: torch.Generator) -> tuple[Tensor, list[int]]:
        """Starts and seeds of K searches."""
        fresh = space.sample(self.K, rng)
        seeds = torch.randint(1, 2**31, (self.K,), generator=rng, device=rng.device)
        return fresh, seeds.tolist()


def _begun(number: int, seed: int, start: Tensor) -> Search:
    return Search(number, seed, start.cpu(), [])


def _pycma() -> Any:
    try:
        import cma
    except ImportError as error:
        raise InvsetError(
            "sampler=cma_es needs pycma; type pip install 'invset[evolution]'"
        ) from error
    return cma

"""``sampler=map_elites``: evolution with a niche for each class (Mouret & Clune 2015, Illuminating
search spaces by mapping elites; Nguyen, Yosinski & Clune 2015, Deep neural networks are easily
fooled).

A niche is a unit of the neuron's layer, such as a class. It keeps the candidate that suits it best,
its elite. A generation mutates elites that are drawn evenly, looks at all candidates in one batch,
and compares each of them with every elite: one candidate may win several niches. Nothing is
recombined. The elites of all niches are the samples: `Sampler.niches`.

Candidates are coordinates of the region themselves, such as pixels, or pictures by networks that
grow (`invset.core.cppn`). No range is held: the activation of the neuron that was asked for is only
one of those that elites are for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.checks import GOALS
from invset.core.cppn import Cppns, Growth, begun, rendered
from invset.core.cppn_growth import mutated
from invset.core.options import option
from invset.core.polynomial import polynomial_steps
from invset.core.target import Seen, Target
from invset.errors import InvsetError
from invset.samplers.base import LOOK, Column, Offer, Sampler

#: Width of a uniform density with a standard deviation of 1: of the longest step.
WIDTH = math.sqrt(12)


@dataclass(frozen=True)
class Archive:
    """K archives of N niches each.

    Attributes:
        niche: number from 0 of the unit of each niche, with shape (N,).
        fitness: of the elites, -inf where there is none, with shape (K, N).
        elites: by name, u, f and e of the elites, and the fields of `Cppns` where they are drawn by
            networks; each with shape (K · N, …).
        age: generations so far.
        won: niches that the last generation won, with shape ().
    """

    niche: Tensor
    fitness: Tensor
    elites: dict[str, Tensor]
    age: int
    won: Tensor


@dataclass(frozen=True)
class MapElites(Sampler[Archive]):
    """K archives side by side; the candidates of all are one batch.

    Attributes:
        K: archives, which are independent runs.
        n: samples: the elites of n niches, as many of each archive; that of the chosen neuron
            first, then the best ones. There are no more than niches.
        goal: "max" or "min": a niche's fitness is the probability of its unit, or minus that.
            "range": minus the distance of its unit's activation from [z1, z2].
        fitness: "softmax": probabilities after a softmax over the layer, compared as logarithms;
            "activation": what is before it; null: softmax, and activation with goal=range.
        encoding: what is mutated: "direct": the coordinates, such as pixels; "cppn": networks that
            draw the pixels.
        batch: candidates of a generation, and of the first draw.
        generations: after the first draw.
        rate: chance of each coordinate, or of each link's weight, to be mutated.
        eta: exponent of the polynomial mutation; the larger, the smaller are the steps.
        halved_every: generations after which the rate is halved (Nguyen et al.: 1000, of pixels);
            null: never.
        without: units, numbered from 1, that are no niches, such as a class of fooling images.
        cppn: how networks grow.
    """

    K: int = option(1, at_least=1)
    goal: str = option("range", words=GOALS)
    fitness: str | None = option(None, words=("softmax", "activation"))
    encoding: str = option("direct", words=("direct", "cppn"))
    batch: int = option(100, at_least=1)
    generations: int = option(500, at_least=1)
    rate: float = option(0.1, at_least=0, at_most=1)
    eta: float = option(15.0, at_least=0)
    halved_every: int | None = option(None, at_least=1)
    without: Sequence[int] = ()
    cppn: Growth = field(default_factory=lambda: Growth())

    holds_range: ClassVar[bool] = False
    replaces: ClassVar[bool] = True
    niches: ClassVar[bool] = True
    origins: ClassVar[tuple[str, ...]] = ("niche",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("fitness_min", "fitness: worst niche"),
        Column("fitness_median", "fitness: median niche"),
        Column("fitness_max", "fitness: best niche"),
        Column("won", "niches with a new elite"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.goal == "range" and self.fitness == "softmax":
            raise InvsetError(
                "sampler.fitness=softmax is a probability, and ranges are of activations; type"
                " goal=max or goal=min, or leave sampler.fitness out"
            )
        if self.encoding != "cppn" and self.cppn != Growth():
            raise InvsetError(
                "sampler.cppn is of encoding=cppn; type sampler.encoding=cppn, or leave it out"
            )

    def check(self, target: Target) -> None:
        if self.encoding == "cppn" and target.picture is None:
            raise InvsetError(
                "sampler.encoding=cppn draws pixels, and codes are none here; type generator=pixels"
                " prior=clip, or sampler.encoding=direct"
            )
        if target.layer is not None and target.layer.unit + 1 in self.without:
            raise InvsetError(
                f"sampler.without={[*self.without]} leaves out the neuron that is asked for; type"
                " another neuron="
            )

    def init(self, target: Target, rng: torch.Generator) -> Archive:
        self.check(target)
        count = self.K * self.batch
        like = target.space.sample(count, rng)
        genes = {"u": like}
        if self.encoding == "cppn":
            assert target.picture is not None
            nets = begun(count, target.picture[0], self.cppn, rng)
            genes = self._drawn(target, {k: send(v, like.device) for k, v in vars(nets).items()})
        seen, units = self._look(target, genes["u"])
        niche = self._niches(units)
        none = units.new_full((self.K, len(niche)), -torch.inf)
        elites = {
            name: torch.zeros_like(value[:1]).repeat(none.numel(), *[1] * (value.ndim - 1))
            for name, value in _all(genes, seen).items()
        }
        empty = Archive(niche, none, elites, 0, niche.new_zeros(()))
        return self._with(empty, _all(genes, seen), self._fitness(target, units, niche))

    def step(self, target: Target, state: Archive, rng: torch.Generator) -> tuple[Archive, Offer]:
        """Look at one generation of candidates, and keep the better ones."""
        genes = self._children(target, state, rng)
        seen, units = self._look(target, genes["u"])
        fitness = self._fitness(target, units, state.niche)
        after = self._with(state, _all(genes, seen), fitness)
        after = replace(after, age=state.age + 1)
        return after, self._offer(target, after, seen)

    def _niches(self, units: Tensor) -> Tensor:
        """The units that are niches."""
        count = units.shape[1]
        wrong = [number for number in self.without if not 1 <= number <= count]
        if wrong:
            raise InvsetError(
                f"sampler.without names unit {wrong[0]}, and the layer has 1 to {count}; type"
                " numbers of these"
            )
        numbers = [unit for unit in range(count) if unit + 1 not in self.without]
        return send(torch.tensor(numbers), units.device)

    def _look(self, target: Target, u: Tensor) -> tuple[Seen, Tensor]:
        seen = target.look(u, also=("units",))
        assert seen.units is not None
        return seen, seen.units

    def _fitness(self, target: Target, units: Tensor, niche: Tensor) -> Tensor:
        """How well each candidate suits each niche, with shape (K, batch, N)."""
        if self.goal == "range":
            fitness = -target.range.violation(units) / target.range.width
        else:
            fitness = units if self.fitness == "activation" else units.log_softmax(1)
            fitness = fitness if self.goal == "max" else -fitness
        return fitness.index_select(1, niche).unflatten(0, (self.K, -1))

    def _with(self, state: Archive, found: dict[str, Tensor], fitness: Tensor) -> Archive:
        """The archive after candidates were compared with the elites of every niche.

        Args:
            state: the archive.
            found: the candidates, each with shape (K · batch, …).
            fitness: with shape (K, batch, N).
        """
        best, row = fitness.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).max(1)
        better = best > state.fitness
        row = row + fitness.shape[1] * torch.arange(self.K, device=row.device).unsqueeze(1)
        row, wins = row.flatten(), better.flatten()
        elites = {
            name: torch.where(wins.view(-1, *[1] * (old.ndim - 1)), found[name][row], old)
            for name, old in state.elites.items()
        }
        held = torch.where(better, best, state.fitness)
        return replace(state, fitness=held, elites=elites, won=better.sum())

    def _children(self, target: Target, state: Archive, rng: torch.Generator) -> dict[str, Tensor]:
        """Mutated copies of elites that are drawn evenly, each with shape (K · batch, …)."""
        niches = len(state.niche)
        drawn = torch.randint(niches, (self.K, self.batch), generator=rng, device=rng.device)
        drawn = drawn + niches * torch.arange(self.K, device=rng.device).unsqueeze(1)
        row = send(drawn.flatten(), state.fitness.device)
        if self.encoding == "cppn":
            nets = Cppns(**{name: state.elites[name][row] for name in Cppns.__annotations__})
            nets = mutated(nets, self.cppn, self._rate(state), self.eta, rng)
            return self._drawn(target, vars(nets))
        u = state.elites["u"][row]
        width = 1.0 if target.picture is not None else WIDTH * target.space.scale
        steps = polynomial_steps(u.shape, self._rate(state), self.eta, rng)
        return {"u": target.space.project(u + width * send(steps, u.device).to(u))}

    def _drawn(self, target: Target, nets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Networks with the pictures that they draw."""
        assert target.picture is not None
        u = rendered(Cppns(**nets), target.picture, self.cppn.grid)
        return {"u": target.space.project(u), **nets}

    def _rate(self, state: Archive) -> float:
        halved = 0 if self.halved_every is None else state.age // self.halved_every
        return self.rate * 0.5**halved

    def _offer(self, target: Target, state: Archive, seen: Seen) -> Offer:
        """The elites, and behind them what was looked at, of which nothing is chosen."""
        held = state.elites
        u = torch.cat([held["u"], seen.u])
        f = torch.cat([held["f"], seen.f])
        e = torch.cat([held["e"], seen.e])
        chosen = self._chosen(target, state)
        none = torch.zeros_like(seen.f[:, 0])
        parent = torch.cat([state.niche.repeat(self.K), none.long()])
        shown = state.fitness
        if self.goal != "range" and self.fitness != "activation":
            shown = shown.exp() if self.goal == "max" else (-shown).exp()
        log = torch.stack([shown.amin(), shown.flatten().quantile(0.5), shown.amax()])
        return Offer(
            Seen(u, f, e, passes=seen.passes),
            torch.cat([chosen, none.bool()]),
            parent,
            torch.cat([log, state.won.to(log).unsqueeze(0)]),
        )

    def _chosen(self, target: Target, state: Archive) -> Tensor:
        """Which elites are samples, with shape (K · N,)."""
        assert target.layer is not None
        first = torch.where(state.niche == target.layer.unit, torch.inf, state.fitness)
        rank = first.argsort(dim=1, descending=True, stable=True).argsort(1)
        number = torch.arange(self.K, device=rank.device)
        share = self.n // self.K + (number < self.n % self.K).long()
        return ((rank < share.unsqueeze(1)) & (state.fitness > -torch.inf)).flatten()

    def asked(self, state: Archive) -> int:
        niches = len(state.niche)
        shares = [self.n // self.K + (number < self.n % self.K) for number in range(self.K)]
        return sum(min(share, niches) for share in shares)

    def stride(self, state: Archive, wanted: int) -> int:
        return min(LOOK, self.generations - state.age)

    def done(self, state: Archive) -> bool:
        return state.age >= self.generations


def _all(genes: dict[str, Tensor], seen: Seen) -> dict[str, Tensor]:
    """What an archive keeps of candidates."""
    return {**genes, "u": seen.u, "f": seen.f, "e": seen.e}

"""A sampler of one's own: random-walk Metropolis, which needs no gradient.

invset run sampler._target_=a_sampler.Metropolis network=mini neuron=horse z1=3 z2=5 n=20
invset run --config-dir . sampler=metropolis network=mini neuron=horse z1=3 z2=5 n=20
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invset import InverseSetSampler, Neuron, Problem, mini_generator, mini_network
from invset.core.options import option
from invset.core.space import send
from invset.core.target import Target
from invset.samplers.base import Column, Limits, Offer, Sampler


@dataclass(frozen=True)
class Chains:
    """Where the chains are.

    Attributes:
        u: coordinates of the codes, with shape (K, dim).
        energy: of each chain, with shape (K,).
        steps: steps so far.
    """

    u: Tensor
    energy: Tensor
    steps: int


@dataclass(frozen=True)
class Metropolis(Sampler[Chains]):
    """K Markov chains with the density of natural codes times exp(-energy / temperature).

    The energy is the squared distance of the activations from their ranges, in widths. Samples are
    codes that a chain has just moved to, so that none comes twice.

    Attributes:
        share: share of a fresh draw in a proposal.
        temperature: how far out of the ranges chains go.
        every: steps between two samples of a chain.
        budget: code-steps a sample, on average, before the run gives up.
    """

    share: float = option(0.3, above=0, at_most=1)
    temperature: float = option(0.02, above=0)
    every: int = option(5, at_least=1)
    budget: float = option(100.0, above=0)

    origins: ClassVar[tuple[str, ...]] = ("chain",)
    columns: ClassVar[tuple[Column, ...]] = (Column("accepted", "share of proposals accepted"),)

    def limits(self) -> Limits:
        return Limits(code_steps=self.budget * self.n)

    def init(self, target: Target, rng: torch.Generator) -> Chains:
        u = target.space.sample(self.K, rng)
        return Chains(u, torch.full_like(u[:, 0], torch.inf), 0)

    def step(self, target: Target, state: Chains, rng: torch.Generator) -> tuple[Chains, Offer]:
        space = target.space
        fresh = space.sample(self.K, rng)
        seen = target.look(space.project(space.mixed(state.u, fresh, self.share)))
        energy = (target.range.violation(seen.f) / target.range.width).square().sum(1)
        chance = send(torch.rand(self.K, generator=rng), energy.device)
        moves = chance.log() * self.temperature < state.energy - energy
        u = torch.where(moves.unsqueeze(1), seen.u, state.u)
        after = Chains(u, torch.where(moves, energy, state.energy), state.steps + 1)
        due = after.steps % self.every == 0
        chosen = moves & self.accepts(target, seen.f) if due else None
        return after, Offer(seen, chosen, log=moves.float().mean().unsqueeze(0))


if __name__ == "__main__":
    neuron = Neuron("fc8", "horse", range=(3, 5))
    problem = Problem(mini_network(), mini_generator(), neurons=[neuron])
    result = InverseSetSampler(sampler=Metropolis(K=5, n=20)).run(problem, seed=0)
    print(f"{len(result)} samples, {int(result.in_range.sum())} in range: {result.status.sentence}")

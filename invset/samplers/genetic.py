"""``sampler=genetic``: populations that are selected, crossed and mutated, without gradients.

As the report on MNIST digits in an autoencoder's codes does it: a population is several copies of
each of many starts, a code is a string of bits, and a mutation flips 1 % of them. What the report
leaves open is as in DEAP's simplest algorithm: the winner of a tournament is a parent, and half of
the pairs are crossed at two points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.checks import GOALS
from invset.core.goal import loss
from invset.core.options import option
from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.base import LOOK, Column, Limits, Offer, Sampler

#: Standard deviations on either side of the mean that fixed-point numbers hold.
REACH = 5.0

#: Bits of a number of ``encoding=float32``, and of ``encoding=binary`` if nothing is said.
FLOAT_BITS = 32
FIXED_BITS = 16


@dataclass(frozen=True)
class Populations:
    """K populations before they are looked at.

    Attributes:
        genes: numbers of the encoding, with shape (K, population, dim): whole ones that hold bits,
            or the coordinates themselves.
        new: codes that are not those of a parent, with shape (K, population).
        low, width: of fixed-point numbers, each with shape (dim,).
        age: generations since the starts were drawn.
    """

    genes: Tensor
    new: Tensor
    low: Tensor
    width: Tensor
    age: int


@dataclass(frozen=True)
class Genetic(Sampler[Populations]):
    """K populations side by side; all of them are one batch.

    Attributes:
        K: populations.
        goal: "range": samples are new codes inside [z1, z2]; "max" or "min": the best n of the
            last generation, as many of each population. Several neurons: of the sum of their
            activations.
        starts: draws of the region that a population begins with (report: 900).
        copies: of each of them.
        encoding: "binary": fixed-point numbers over five standard deviations of the starts on
            either side of their mean. "float32": the bits of IEEE numbers, where what gives no
            finite number is undone. "real": the coordinates themselves.
        bits: of a number of encoding=binary; None: 16.
        rate: chance of a mutation of each bit, or of each number of encoding=real (report: 0.01;
            0.1 gave noise, 0.00001 nothing).
        sigma: standard deviation of the mutation of a number of encoding=real, in the region's
            unit of length; None: 1.
        crossover: chance that a pair is crossed, at two points; 0: never.
        tournament: codes out of which the best is a parent.
        elite: best codes that go on as they are.
        iterations: generations; with goal=range, a population then begins anew.
        budget: code-steps a sample of goal=range, on average, before the run gives up; a code costs
            1/3.
    """

    K: int = option(1, at_least=1)
    goal: str = option("range", words=GOALS)
    starts: int = option(20, at_least=1)
    copies: int = option(5, at_least=1)
    encoding: str = option("binary", words=("binary", "float32", "real"))
    bits: int | None = option(None, at_least=2, at_most=32)
    rate: float = option(0.01, at_least=0, at_most=1)
    sigma: float | None = option(None, above=0)
    crossover: float = option(0.5, at_least=0, at_most=1)
    tournament: int = option(3, at_least=1)
    elite: int = option(0, at_least=0)
    iterations: int = option(100, at_least=1)
    budget: float = option(1000.0, above=0)

    origins: ClassVar[tuple[str, ...]] = ("population",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("loss_mean", "loss: mean of the populations"),
        Column("loss_min", "loss: best code"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits is not None and self.encoding != "binary":
            raise InvsetError(
                f"sampler.bits is of encoding=binary; leave it out of encoding={self.encoding}"
            )
        if self.sigma is not None and self.encoding != "real":
            raise InvsetError(
                f"sampler.sigma is of encoding=real; leave it out of encoding={self.encoding}"
            )
        size = self.starts * self.copies
        if self.elite > size:
            raise InvsetError(
                f"sampler.elite={self.elite} is more than a population of {size}; type a smaller"
                " one"
            )
        if self.goal != "range" and self.n > self.K * size:
            raise InvsetError(
                f"{self.K} x {size} codes of a generation are fewer than n={self.n}; type a larger"
                " sampler.starts or a smaller n"
            )

    @property
    def replacing(self) -> bool:
        return self.goal != "range"

    @property
    def gene_bits(self) -> int:
        """Bits of one number; 1 where a number is not divided."""
        if self.encoding == "real":
            return 1
        return FLOAT_BITS if self.encoding == "float32" else self.bits or FIXED_BITS

    def limits(self) -> Limits:
        return Limits(self.budget * self.n if self.goal == "range" else None)

    def init(self, target: Target, rng: torch.Generator) -> Populations:
        u = target.space.sample(self.K * self.starts, rng)
        mean = u.mean(0)
        sd = u.std(0, correction=0)
        # one start has no spread
        sd = torch.where(sd > 0, sd, torch.full_like(sd, target.space.scale))
        low = mean - REACH * sd
        return self._begun(u, low, 2 * REACH * sd)

    def _begun(self, u: Tensor, low: Tensor, width: Tensor) -> Populations:
        """Copies of the starts; the first of each is new."""
        starts = self.encoded(u, low, width).unflatten(0, (self.K, self.starts))
        new = torch.zeros(self.K, self.copies, self.starts, dtype=torch.bool, device=u.device)
        new[:, 0] = True
        return Populations(starts.repeat(1, self.copies, 1), new.flatten(1), low, width, 0)

    def step(
        self, target: Target, state: Populations, rng: torch.Generator
    ) -> tuple[Populations, Offer]:
        """Look at one generation, and make the next."""
        u = self.decoded(state.genes, state.low, state.width)
        seen = target.look(target.space.project(u.flatten(0, 1)))
        losses = loss(self.goal, target.range, seen.f).view(state.new.shape)
        chosen = self.accepts(target, seen.f)
        chosen = chosen & (self._best(losses) if self.replacing else state.new).flatten()
        of = torch.arange(self.K, device=u.device).repeat_interleave(losses.shape[1])
        log = torch.stack([losses.mean(), losses.amin()])
        if self.goal == "range" and state.age + 1 >= self.iterations:
            fresh = target.space.sample(self.K * self.starts, rng)
            after = self._begun(fresh, state.low, state.width)
        else:
            after = self._next(state, losses, target.space.scale, rng)
        return after, Offer(seen, chosen, of, log)

    def _best(self, losses: Tensor) -> Tensor:
        """The n best of all, as many of each population, with shape (K, population)."""
        rank = losses.argsort(dim=1, stable=True).argsort(1)
        number = torch.arange(self.K, device=losses.device)
        share = self.n // self.K + (number < self.n % self.K).long()
        return rank < share.unsqueeze(1)

    def _next(
        self, state: Populations, losses: Tensor, scale: float, rng: torch.Generator
    ) -> Populations:
        """The children of a generation."""
        index = winners(losses, self.tournament, rng)
        parents = state.genes.gather(1, index.unsqueeze(2).expand_as(state.genes))
        # neighbours are a pair; one that is left over has itself
        mates = parents.clone()
        even = parents.shape[1] // 2 * 2
        mates[:, :even] = parents[:, :even].unflatten(1, (-1, 2)).flip(2).flatten(1, 2)
        children = self._crossed(parents, mates, rng)
        children = self._mutated(children, scale, rng)
        new = (children != parents).any(2) & (children != mates).any(2)
        if self.elite:
            best = losses.argsort(dim=1, stable=True)[:, : self.elite]
            best = state.genes.gather(1, best.unsqueeze(2).expand(-1, -1, state.genes.shape[2]))
            children = torch.cat([best, children[:, self.elite :]], 1)
            new = torch.cat([torch.zeros_like(new[:, : self.elite]), new[:, self.elite :]], 1)
        return Populations(children, new, state.low, state.width, state.age + 1)

    def _crossed(self, parents: Tensor, mates: Tensor, rng: torch.Generator) -> Tensor:
        """Parents with what lies between two points of their mates', in some of the pairs."""
        populations, size, dim = parents.shape
        pairs = (populations, -(-size // 2))
        length = dim * self.gene_bits
        first = _whole(length, pairs, rng) + 1
        second = _whole(max(length - 1, 1), pairs, rng) + 1
        second = second + (second >= first).long()
        swaps = torch.rand(pairs, generator=rng, device=rng.device) < self.crossover
        low = torch.where(swaps, torch.minimum(first, second), length)
        high = torch.where(swaps, torch.maximum(first, second), length)
        low, high = (
            send(end.repeat_interleave(2, 1)[:, :size], parents.device) for end in (low, high)
        )
        mask = from_bit(low, dim, self.gene_bits) & ~from_bit(high, dim, self.gene_bits)
        if self.encoding == "real":
            return torch.where(mask > 0, mates, parents)
        return self._sound(parents ^ ((parents ^ mates) & mask), parents)

    def _mutated(self, genes: Tensor, scale: float, rng: torch.Generator) -> Tensor:
        """Genes after flips of bits, or normal steps of numbers."""
        if self.encoding == "real":
            hit = _below(self.rate, genes.shape, rng)
            noise = torch.randn(genes.shape, generator=rng, dtype=genes.dtype, device=rng.device)
            sigma = 1.0 if self.sigma is None else self.sigma
            return genes + send(hit * noise, genes.device) * sigma * scale
        flips = torch.zeros(genes.shape, dtype=torch.long)
        for bit in range(self.gene_bits):  # not all at once: they would be bits times as many
            flips |= _below(self.rate, genes.shape, rng).long() << bit
        return self._sound(genes ^ send(flips, genes.device), genes)

    def _sound(self, bits: Tensor, before: Tensor) -> Tensor:
        """Bits, or those before where they make no finite number."""
        if self.encoding == "binary":
            return bits
        return torch.where(as_float32(bits).isfinite(), bits, before)

    def encoded(self, u: Tensor, low: Tensor, width: Tensor) -> Tensor:
        """Genes of coordinates, of any shape (…, dim)."""
        if self.encoding == "real":
            return u
        if self.encoding == "float32":
            return u.float().view(torch.int32).long() & (2**FLOAT_BITS - 1)
        most = 2**self.gene_bits - 1
        return ((u - low) / width * most).round().long().clamp(0, most)

    def decoded(self, genes: Tensor, low: Tensor, width: Tensor) -> Tensor:
        """The inverse of `encoded`, up to rounding."""
        if self.encoding == "real":
            return genes
        if self.encoding == "float32":
            return as_float32(genes).to(low)
        return low + genes.to(low) * width / (2**self.gene_bits - 1)

    def stride(self, state: Populations, wanted: int) -> int:
        # a generation is many codes: in a range, one more may be many samples too many
        return 1 if self.goal == "range" else min(LOOK, self.iterations - state.age)

    def done(self, state: Populations) -> bool:
        return self.goal != "range" and state.age >= self.iterations


def winners(losses: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """For each place of a population the best of some drawn codes, with shape (K, population)."""
    populations, size = losses.shape
    drawn = send(_whole(size, (populations, size * count), rng), losses.device)
    best = losses.gather(1, drawn).unflatten(1, (size, count)).argmin(2, keepdim=True)
    return drawn.unflatten(1, (size, count)).gather(2, best).squeeze(2)


def from_bit(point: Tensor, dim: int, bits: int) -> Tensor:
    """Masks of strings of dim numbers: the bits from a point on, with shape (…, dim).

    Args:
        point: number from 0 of the first bit, the lowest of the first number being 0.
        dim: numbers in a string.
        bits: of a number.
    """
    before = torch.arange(dim, device=point.device) * bits
    skipped = (point.unsqueeze(-1) - before).clamp(0, bits)
    return (2**bits - 1) & ~((torch.ones_like(skipped) << skipped) - 1)


def as_float32(genes: Tensor) -> Tensor:
    """IEEE numbers of their 32 bits, which are held as whole numbers from 0."""
    signed = torch.where(genes >= 2**31, genes - 2**32, genes)
    return signed.to(torch.int32).view(torch.float32)


def _whole(below: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    return torch.randint(below, shape, generator=rng, device=rng.device)


def _below(rate: float, shape: torch.Size, rng: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=rng, device=rng.device) < rate

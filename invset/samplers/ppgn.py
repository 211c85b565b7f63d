"""``sampler=ppgn``: the Markov chains of "Plug & Play Generative Networks" (Nguyen et al. 2017),
which the paper compares with.

The update is that of the authors' code (Evolving-AI-Lab/ppgn: sampler.py, sampling_class.py), for
pass i = 0 … n_iters:

    d = eps1 (E(G(h)) - h) + eps2 (1 - p) df/dh + N(0, eps3²)
    h <- clip(h + (lr + (lr_end - lr) i / n_iters) d / mean |d|, 0, 30)

where p is the softmax of the layer at the neuron, and the picture saved by pass i is G of h before
the update. Chains know no range: the samples are what the chains visit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.options import option
from invset.core.probability import softmax
from invset.core.target import Target
from invset.errors import InvsetError
from invset.samplers.base import LOOK, Column, Offer, Sampler


@dataclass(frozen=True)
class PPGNState:
    """Where the chains are.

    Attributes:
        u: codes h, with shape (K, code_dim).
        number: number i of the next pass.
        seeds: of the random numbers of each chain: it goes the same way whatever runs beside it.
        eps1: weight of each chain's prior term, with shape (K, 1).
        alive: chains whose update was not zero, with shape (K,).
    """

    u: Tensor
    number: int
    seeds: list[int]
    eps1: Tensor
    alive: Tensor


@dataclass(frozen=True)
class PPGN(Sampler[PPGNState]):
    """K chains side by side, n pictures of which are kept.

    Attributes:
        K: chains, one forward and backward pass for all.
        n: samples to keep.
        n_iters: a chain has n_iters + 1 passes, as published; the first shows the starting code.
        eps1: weight of E(G(h)) - h.
        eps2: weight of the neuron's gradient.
        eps3: standard deviation of the noise; 0 draws none.
        lr: mean absolute step of a coordinate at the first pass.
        lr_end: the same at the last; None: as at the first.
        reset_every: passes between two new starting codes, each with its own eps1 in [1e-6, 1e-2];
            0: none.
        threshold: a picture is kept if p is above it.
        pick: which pictures are kept, ceil(n/K) of each chain: "spread" evenly over the chain, up
            to the last; "last": the last ones. "all": those whose pass is divisible by
            `save_every`, as published, until n are kept.
        save_every: passes between two pictures of ``pick=all``.
    """

    n: int = option(500, at_least=1)
    n_iters: int = option(200, at_least=1)
    eps1: float = option(1e-5, at_least=0)
    eps2: float = option(1.0, at_least=0)
    eps3: float = option(1e-17, at_least=0)
    lr: float = option(1.0, at_least=0)
    lr_end: float | None = option(None, at_least=0)
    reset_every: int = option(0, at_least=0)
    threshold: float = option(0.0, at_least=0)
    pick: str = option("spread", words=("spread", "last", "all"))
    save_every: int = option(1, at_least=1)

    space: ClassVar[str] = "codes"
    holds_range: ClassVar[bool] = False
    origins: ClassVar[tuple[str, ...]] = ("chain",)
    columns: ClassVar[tuple[Column, ...]] = (Column("p_mean", "mean probability of the class"),)

    def __post_init__(self) -> None:
        super().__post_init__()
        most = self.n_iters // self.save_every + 1 if self.pick == "all" else self.n_iters
        if self.n > self.K * most:
            raise InvsetError(
                f"K={self.K} chains of sampler.n_iters={self.n_iters} have"
                f" {self.K * most} pictures, fewer than n={self.n}; type n={self.K * most}, a"
                " larger K or a larger sampler.n_iters"
            )

    def check(self, target: Target) -> None:
        if not target.space.plain:
            raise InvsetError(
                f"sampler=ppgn moves in plain code space, not in prior={target.space.name}; type"
                " prior=clip"
            )

    def init(self, target: Target, rng: torch.Generator) -> PPGNState:
        self.check(target)
        draws = [torch.randint(2**62, (), generator=rng, device=rng.device) for _ in range(self.K)]
        seeds = [int(draw) for draw in draws]
        like = target.space.sample(1, rng)
        u = _normal([torch.Generator().manual_seed(seed) for seed in seeds], like)
        e = target.look(u[:1], also=("units",)).e
        if e.shape[1] != u.shape[1]:
            raise InvsetError(
                f"sampler=ppgn needs encodings that are codes, but E gives {e.shape[1]} numbers and"
                f" codes have {u.shape[1]}; choose encoder= the layer that the generator was"
                " trained for"
            )
        eps1 = torch.full((self.K, 1), float(self.eps1), dtype=u.dtype, device=u.device)
        alive = torch.ones(self.K, dtype=torch.bool, device=u.device)
        return PPGNState(u, 0, seeds, eps1, alive)

    def step(
        self, target: Target, state: PPGNState, rng: torch.Generator
    ) -> tuple[PPGNState, Offer]:
        """Pass i of all chains."""
        i = state.number
        seen = target.look(state.u, grad=True, also=("units",))
        assert seen.units is not None
        assert target.layer is not None
        p = softmax(seen.units.detach())[:, target.layer.unit]
        # not the gradient of log p: only the unit's own activation gets one
        slope = target.pull(seen, ((1 - p) * seen.units[:, target.layer.unit]).sum())
        seen = seen.detached()
        h = seen.u
        draws = [torch.Generator().manual_seed(seed + 1 + i) for seed in state.seeds]
        d = state.eps1 * (seen.e - h) + self.eps2 * slope
        if self.eps3 > 0:
            d = d + self.eps3 * _normal(draws, h)
        moves = state.alive & (d != 0).any(1)  # a chain whose d is zero ends after this pass
        moved = target.space.project(h + self._rate(i) / d.abs().mean(1, keepdim=True) * d)
        u = torch.where(moves.unsqueeze(1), moved, h)
        eps1 = state.eps1
        if self.reset_every > 0 and i > 0 and i % self.reset_every == 0:
            u = torch.where(moves.unsqueeze(1), _normal(draws, h), h)
            share = send(torch.cat([torch.rand(1, 1, generator=g) for g in draws]), h.device)
            eps1 = share.to(h) * (1e-2 - 1e-6) + 1e-6
        chosen = state.alive & (p > self.threshold) if self._picked(i) else None
        chains = torch.arange(self.K, device=h.device)
        after = PPGNState(u, i + 1, state.seeds, eps1, moves)
        return after, Offer(seen, chosen, chains, p.mean().unsqueeze(0))

    def _rate(self, i: int) -> float:
        end = self.lr if self.lr_end is None else self.lr_end
        return self.lr + (end - self.lr) * i / self.n_iters

    def _picked(self, i: int) -> bool:
        """Whether pass i gives a sample."""
        if self.pick == "all":
            return i % self.save_every == 0
        each = -(-self.n // self.K)
        if self.pick == "last":
            return i > self.n_iters - each
        # the passes ceil(j n_iters / each), j = 1 … each: those at which a whole number is passed
        return i > 0 and i * each // self.n_iters > (i - 1) * each // self.n_iters

    def done(self, state: PPGNState) -> Tensor | bool:
        return ~state.alive.any() | (state.number > self.n_iters)

    def stride(self, state: PPGNState, wanted: int) -> int:
        return min(LOOK, self.n_iters + 1 - state.number)


def _normal(draws: list[torch.Generator], like: Tensor) -> Tensor:
    """N(0, 1), a row of each generator, like `like`, with shape (B, dim)."""
    rows = [torch.randn(like.shape[1], generator=g, dtype=like.dtype) for g in draws]
    return send(torch.stack(rows), like.device)

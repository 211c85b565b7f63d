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

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from invset.core.checks import check_choice, check_counts
from invset.core.kept import Kept
from invset.core.options import option
from invset.core.space import Box, send
from invset.core.target import InverseSet, Layer
from invset.errors import InvsetError
from invset.samplers.base import State, Status, closest, extent

PICKS = ("spread", "last", "all")


@dataclass(frozen=True)
class PPGN:
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
            to the last; "last": the last ones; or "all" whose pass is divisible by `save_every`, as
            published, until n are kept.
        save_every: passes between two pictures of ``pick=all``.
        round_steps: passes between two looks at how far the chains are.
    """

    K: int = option(10, at_least=1)
    n: int = option(500, at_least=1)
    n_iters: int = option(200, at_least=1)
    eps1: float = option(1e-5, at_least=0)
    eps2: float = option(1.0, at_least=0)
    eps3: float = option(1e-17, at_least=0)
    lr: float = option(1.0, at_least=0)
    lr_end: float | None = option(None, at_least=0)
    reset_every: int = option(0, at_least=0)
    threshold: float = option(0.0, at_least=0)
    pick: str = option("spread", words=PICKS)
    save_every: int = option(1, at_least=1)
    round_steps: int = option(5, at_least=1)

    columns = ("f_min", "f_mean", "f_max", "p_mean", "inside", "kept")

    def __post_init__(self) -> None:
        check_counts(self.K, self.n, 1, 2)
        check_choice("sampler.pick", self.pick, PICKS)
        if self.n_iters < 1 or self.save_every < 1:
            raise InvsetError(
                f"sampler.n_iters and sampler.save_every must be at least 1, not {self.n_iters} and"
                f" {self.save_every}"
            )
        most = self.n_iters // self.save_every + 1 if self.pick == "all" else self.n_iters
        if self.n > self.K * most:
            raise InvsetError(
                f"K={self.K} chains of sampler.n_iters={self.n_iters} have {self.K * most}"
                f" pictures, fewer than n={self.n}; type n={self.K * most}, a larger K or a larger"
                " sampler.n_iters"
            )

    def init(self, target: InverseSet, rng: torch.Generator) -> State:
        layer = _layer(target)
        # each chain has its own numbers, so that it goes the same way whatever runs beside it
        seeds = [
            int(torch.randint(2**62, (), generator=rng, device=rng.device)) for _ in range(self.K)
        ]
        like = target.region.sample(1, rng)
        u = _normal([torch.Generator().manual_seed(seed) for seed in seeds], like)
        with torch.no_grad():
            f, e = layer.evaluate(target.region.decode(u[:1]))
        if e.shape[1] != u.shape[1]:
            raise InvsetError(
                f"sampler=ppgn needs encodings that are codes, but E gives {e.shape[1]} numbers and"
                f" codes have {u.shape[1]}; choose encoder= the layer that the generator was"
                " trained for"
            )
        f = f[:, [layer.unit]]
        extra: dict[str, Any] = {
            "seeds": seeds,
            "eps1": torch.full((self.K, 1), float(self.eps1), dtype=u.dtype, device=u.device),
            "alive": torch.ones(self.K, dtype=torch.bool, device=u.device),
        }
        return State(u, Kept.empty(self.n, u, f, e), 0, 0, Status.RUNNING, f[0], extra)

    def round(self, target: InverseSet, state: State, rng: torch.Generator) -> tuple[State, Tensor]:
        after, rows = state, []
        for _ in range(min(self.round_steps, self.n_iters + 1 - state.steps)):
            after, row = self._step(target, after)
            rows.append(row)
        return self._judge(state, after, rows), torch.stack(rows)

    def _step(self, target: InverseSet, state: State) -> tuple[State, Tensor]:
        """Pass i of all chains."""
        i, x, layer = state.steps, state.extra, _layer(target)
        h = state.u.detach().requires_grad_()
        activations, e = layer.evaluate(target.region.decode(h))
        p = softmax(activations.detach())[:, layer.unit]
        # not the gradient of log p: only the unit's own activation gets one
        (slope,) = torch.autograd.grad(((1 - p) * activations[:, layer.unit]).sum(), h)
        h, e, f = h.detach(), e.detach(), activations.detach()[:, [layer.unit]]
        draws = [torch.Generator().manual_seed(seed + 1 + i) for seed in x["seeds"]]
        d = x["eps1"] * (e - h) + self.eps2 * slope
        if self.eps3 > 0:
            d = d + self.eps3 * _normal(draws, h)
        moves = x["alive"] & (d != 0).any(1)  # a chain whose d is zero ends after this pass
        u = torch.where(
            moves.unsqueeze(1),
            target.region.project(h + self._rate(i) / d.abs().mean(1, keepdim=True) * d),
            h,
        )
        eps1 = x["eps1"]
        if self.reset_every > 0 and i > 0 and i % self.reset_every == 0:
            u = torch.where(moves.unsqueeze(1), _normal(draws, h), h)
            eps1 = (
                send(torch.cat([torch.rand(1, 1, generator=g) for g in draws]), h.device).to(h)
                * (1e-2 - 1e-6)
                + 1e-6
            )
        chosen = (
            x["alive"] & (p > self.threshold) if self._picked(i) else torch.zeros_like(x["alive"])
        )
        kept = state.kept.add(chosen, h, f, e, i, torch.arange(self.K, device=h.device))
        inside = target.range.contains(f).sum()
        row = torch.cat([extent(f), torch.stack([p.mean(), inside.to(f), kept.count.to(f)])])
        extra = {**x, "eps1": eps1, "alive": moves}
        best = closest(target, state.best_f, f)
        return State(u, kept, i + 1, state.code_steps + self.K, Status.RUNNING, best, extra), row

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

    def _judge(self, before: State, after: State, rows: list[Tensor]) -> State:
        """Look at the device once: has the run ended, and why?"""
        finite = torch.isfinite(after.u).all() & torch.isfinite(torch.stack(rows)).all()
        numbers = [finite.long(), after.kept.count, after.extra["alive"].any().long()]
        finite, count, alive = torch.stack(numbers).tolist()
        if not finite:
            return replace(after, kept=before.kept, best_f=before.best_f, status=Status.NOT_FINITE)
        status = Status.RUNNING
        if count == self.n:
            status = Status.REACHED
        elif after.steps > self.n_iters or not alive:
            status = Status.BUDGET
        return replace(after, status=status)


def softmax(activations: Tensor) -> Tensor:
    """Softmax over the second axis of activations with shape (B, units), with the authors' 1e-10 in
    the denominator.
    """
    powers = (activations - activations.amax(1, keepdim=True)).exp()
    return powers / (1e-10 + powers.sum(1, keepdim=True))


def _layer(target: InverseSet) -> Layer:
    """The neuron's layer.

    Raises:
        InvsetError: several neurons, a direction, or coordinates that are not codes.
    """
    if target.layer is None:
        raise InvsetError(
            "sampler=ppgn takes one neuron that is a unit or a channel, no intersection and no"
            " direction; type sampler=stream"
        )
    if not isinstance(target.region, Box):
        raise InvsetError(
            f"sampler=ppgn moves in plain code space, not in prior={target.region.name}; type"
            " prior=clip"
        )
    return target.layer


def _normal(draws: list[torch.Generator], like: Tensor) -> Tensor:
    """N(0, 1), a row of each generator, like `like`, with shape (B, dim)."""
    rows = [torch.randn(like.shape[1], generator=g, dtype=like.dtype) for g in draws]
    return send(torch.stack(rows), like.device)

"""``sampler=amortized``: a second network that is trained with the first one as its loss.

    u = P(h(t, ε)),    h(t, ε) = ε + s · MLP_θ(t, (ε - m) / s)

The network h takes a wanted activation t and noise ε, a draw of the region, and proposes
coordinates. P is the projection onto the region, m and s are the mean and the scale of its draws.
At first h(t, ε) = ε. Each training step takes K pairs (t, ε) and goes down

    mean Σ_j ((f_j(G(u)) - t_j) / (z2_j - z1_j))²                           goal=range
    mean Σ_j ± f_j(G(u)) / σ                                                goal=min, max
    + mean |h - u|² / s²
    - λ mean min( |h(t, ε1) - h(t, ε2)| / |ε1 - ε2|, τ )

in θ, where σ is the standard deviation of f over the first draws. The third line keeps h from
leaving the region, through whose projection slopes go as they are. The last one keeps h from
overlooking its noise: it is the regularisation of Yang, Hong, Jang, Zhao and Lee (2019,
Diversity-Sensitive Conditional Generative Adversarial Networks). Afterwards h proposes, and a
proposal that is in range is a sample: the network has no say in that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.checks import GOALS
from invset.core.goal import loss
from invset.core.options import option
from invset.core.steps import Adam, Memory, StepRule
from invset.core.target import Seen, Target
from invset.samplers.base import LOOK, Column, Limits, Offer, Sampler

#: Share of the width, from each end of a range, that no wanted activation lies in.
EDGE = 0.1

#: Draws of the region whose mean is m.
DRAWS = 256


@dataclass(frozen=True)
class Proposer:
    """The network h, and how far it is trained.

    Attributes:
        theta: all its weights, with shape (1, weights).
        memory: of the step rule.
        middle: m, with shape (dim,).
        unit: σ of goal=min and max, with shape ().
        trained: training steps so far.
        drawn: proposals since the last of them.
    """

    theta: Tensor
    memory: Memory
    middle: Tensor
    unit: Tensor
    trained: int
    drawn: int


@dataclass(frozen=True)
class Amortized(Sampler[Proposer]):
    """K proposals at a time.

    Attributes:
        K: proposals at a time, and the batch of a training step.
        goal: "range": proposals for activations all over [z1, z2]; "max" or "min": for the largest
            or smallest. Several neurons: of the sum of their activations. Then proposals in
            training count, too, and a sample is the best of its share of all proposals.
        steps: training steps; with goal=range their proposals are no samples.
        hidden: units of each of the two hidden layers of h.
        step_rule: how a gradient becomes a step of θ; steps fall to 0 in a line.
        diversity: λ; 0: noise may be overlooked.
        ratio: τ, above which more difference is worth nothing.
        budget: code-steps a sample of goal=range, on average, after the training, before the run
            gives up; a proposal costs 1/3.
    """

    goal: str = option("range", words=GOALS)
    steps: int = option(200, at_least=1)
    hidden: int = option(64, at_least=1)
    step_rule: StepRule = field(default_factory=lambda: Adam(0.01))
    diversity: float = option(0.1, at_least=0)
    ratio: float = option(1.0, above=0)
    budget: float = option(200.0, above=0)

    origins: ClassVar[tuple[str, ...]] = ("proposal",)
    columns: ClassVar[tuple[Column, ...]] = (
        Column("miss", "mean distance from what was wanted, squared; mean of goal=max and min"),
        Column("spread", "difference of proposals by that of their noise"),
    )

    def limits(self) -> Limits:
        if self.goal != "range":
            return Limits()
        return Limits(self.K * self.steps + self.budget * self.n)

    def init(self, target: Target, rng: torch.Generator) -> Proposer:
        space = target.space
        draws = space.sample(max(self.K, DRAWS), rng)
        sizes = self._sizes(target)
        # the last layer is 0, so that h begins as the identity
        weights = [
            torch.randn(rows * columns, generator=rng, device=rng.device) / rows**0.5
            for rows, columns in sizes[:-1]
        ]
        biases = sum(columns for _, columns in sizes)
        last = sizes[-1][0] * sizes[-1][1]
        theta = send(torch.cat([*weights, torch.zeros(last + biases)]), draws.device).to(draws)
        unit = torch.ones_like(draws[0, 0])
        if self.goal != "range":
            spread = target.look(draws[: max(2, self.K)]).f.sum(1).std(correction=0)
            unit = torch.where(spread > 0, spread, 1.0).to(draws)
        return Proposer(theta.unsqueeze(0), {}, draws.mean(0), unit, 0, 0)

    def step(self, target: Target, state: Proposer, rng: torch.Generator) -> tuple[Proposer, Offer]:
        """Propose, and learn from it unless the training is over."""
        noise = target.space.sample(self.K, rng)
        wanted = self._wanted(target, rng).to(noise)
        rows = torch.arange(self.K, device=noise.device)
        if state.trained >= self.steps:
            h = self.propose(target, state, state.theta, wanted, noise)
            seen = target.look(target.space.project(h))
            parent = state.drawn + rows
            after = replace(state, drawn=state.drawn + self.K)
            chosen: Tensor | None = self.accepts(target, seen.f)
        else:
            seen, h, after = self._learnt(target, state, wanted, noise)
            parent = (state.trained * self.K + rows) % self.n
            chosen = None if self.goal == "range" else self.accepts(target, seen.f)
        told = (self._miss(target, state, seen.f, wanted).mean(), self._spread(h, noise))
        return after, Offer(seen, chosen, parent, torch.stack(told).detach())

    def propose(
        self, target: Target, state: Proposer, theta: Tensor, wanted: Tensor, noise: Tensor
    ) -> Tensor:
        """h(t, ε), with shape (K, dim).

        Args:
            target: gives the scale s.
            state: gives the middle m.
            theta: weights, with shape (1, weights).
            wanted: t, from -1 at z1 to 1 at z2, with shape (K, p); 0 where there is no range.
            noise: ε, with shape (K, dim).
        """
        scale = target.space.scale
        sizes = self._sizes(target)
        parts = theta[0].split([rows * columns for rows, columns in sizes] + [c for _, c in sizes])
        x = torch.cat([wanted, (noise - state.middle) / scale], 1)
        for number, size in enumerate(sizes):
            x = parts[number + len(sizes)] + (torch.tanh(x) if number else x) @ parts[number].view(
                size
            )
        return noise + scale * x

    def _learnt(
        self, target: Target, state: Proposer, wanted: Tensor, noise: Tensor
    ) -> tuple[Seen, Tensor, Proposer]:
        """What a pass sees, h, and the state after a training step."""
        with torch.enable_grad():
            theta = state.theta.detach().requires_grad_(True)
            h = self.propose(target, state, theta, wanted, noise)
            seen = target.look(target.space.project(h.detach()), grad=True)
            slope = target.pull(seen, self._miss(target, state, seen.f, wanted).mean())
            seen = seen.detached()
            outside = (h - seen.u).square().sum(1).mean() / target.space.scale**2
            spread = self._spread(h, noise)
            (gradient,) = torch.autograd.grad(
                (slope * h).sum() + outside - self.diversity * spread, theta
            )
        step, memory = self.step_rule(gradient, state.memory)
        share = 1 - state.trained / self.steps
        after = replace(
            state, theta=state.theta - share * step, memory=memory, trained=state.trained + 1
        )
        return seen, h.detach(), after

    def _miss(self, target: Target, state: Proposer, f: Tensor, wanted: Tensor) -> Tensor:
        """How far activations are from what was wanted, with shape (K,)."""
        if self.goal != "range":
            return loss(self.goal, target.range, f) / state.unit
        middle = target.range.middle + wanted * target.range.width / 2
        return ((f - middle) / target.range.width).square().sum(1)

    def _spread(self, h: Tensor, noise: Tensor) -> Tensor:
        """Mean min(|h1 - h2| / |ε1 - ε2|, τ) over the pairs that want the same, with shape ()."""
        pairs = self.K // 2
        if not pairs:
            return h.new_zeros(())
        half = self.K - pairs
        far = (h[:pairs] - h[half:]).square().sum(1)
        apart = (noise[:pairs] - noise[half:]).square().sum(1)
        tiny = torch.finfo(h.dtype).tiny ** 0.5  # two equal draws, whose root has no slope
        ratio = (far.clamp_min(tiny) / apart.clamp_min(tiny)).sqrt()
        return ratio.clamp_max(self.ratio).mean()

    def _wanted(self, target: Target, rng: torch.Generator) -> Tensor:
        """t of each proposal; those of the first half come once more, with other noise."""
        pairs = self.K // 2
        half = torch.rand(self.K - pairs, target.p, generator=rng, device=rng.device)
        both = torch.cat([half, half[:pairs]])
        wanted = (1 - 2 * EDGE) * (2 * both - 1) if self.goal == "range" else torch.zeros_like(both)
        return send(wanted, target.range.z1.device)

    def _sizes(self, target: Target) -> list[tuple[int, int]]:
        """Rows and columns of the matrices of h."""
        dim = target.space.dim
        return [(target.p + dim, self.hidden), (self.hidden, self.hidden), (self.hidden, dim)]

    def stride(self, state: Proposer, wanted: int) -> int:
        left = self.steps - state.trained
        if self.goal != "range":
            left += -(-(self.n - state.drawn) // self.K)
        return min(LOOK, left) if left > 0 else super().stride(state, wanted)

    def done(self, state: Proposer) -> bool:
        return self.goal != "range" and state.drawn >= self.n

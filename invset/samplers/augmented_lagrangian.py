"""The augmented Lagrangian of eq. (9) with its options: what ``sampler=two_stage`` and
``sampler=full`` have in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.lagrangian import constraints, update_multipliers
from invset.core.moments import Moments, cross, pairwise
from invset.core.options import option
from invset.core.steps import Adam, StepRule
from invset.core.target import Seen, Target
from invset.samplers.base import Column, S, Sampler

#: Outer iterations in a row without a change before the codes count as settled: one may be a
#: turning point.
SETTLED = 3


@dataclass(frozen=True)
class AugmentedLagrangian(Sampler[S]):
    """Options of eq. (9) and its parts. "(paper)" marks the published choice.

    Attributes:
        K: codes at a time.
        n: samples.
        mu0: first penalty; 10 (paper).
        alpha: its growth after every outer iteration; 10 (paper).
        inner_steps: gradient steps an outer iteration; 100 (paper).
        max_outer: outer iterations before the codes are given up.
        mu_max: largest penalty; inf (paper).
        constraint: "paper": f >= z1 only; "both": both ends.
        epsilon0: where the codes aim, as a share of the width below z2; 0.5, the middle (paper).
        units: constraints in "raw" activations (paper) or in widths of the "range".
        slack: "frozen" during the inner steps (paper: coordinate descent) or "fresh" at every step.
        objective: distances between "encodings", eq. (6) (paper); "inputs", eq. (5); "codes",
            eq. (14), and eq. (4) where codes are pixels; "none", eq. (15).
        diversity: weight of the objective; 1 (paper).
        diversity_units: "raw" (paper) or "relative" to the encodings' mean square and the number of
            pairs.
        same_start: all codes start alike, as in section 4.2.
        start_noise: standard deviation of what is added to each code of such a start, in the
            region's scale. Between equal codes the gradient of eq. (6) is zero, and they would stay
            equal until rounding parts them.
        step_rule: how a gradient becomes a step.
    """

    mu0: float = option(1.0, above=0, below=math.inf)
    alpha: float = option(3.0, above=1, below=math.inf)
    inner_steps: int = option(10, at_least=1)
    max_outer: int = option(40, at_least=1)
    mu_max: float = option(300.0, above=0)
    constraint: str = option("both", words=("both", "paper"))
    epsilon0: float = option(0.5, at_least=0, at_most=1)
    units: str = option("range", words=("range", "raw"))
    slack: str = option("fresh", words=("fresh", "frozen"))
    objective: str = option("encodings", words=("encodings", "inputs", "codes", "none"))
    diversity: float = option(0.2, at_least=0)
    diversity_units: str = option("relative", words=("relative", "raw"))
    same_start: bool = False
    start_noise: float = option(0.0, at_least=0)
    step_rule: StepRule = field(default_factory=lambda: Adam(0.15))

    columns: ClassVar[tuple[Column, ...]] = (
        Column("objective", "objective, eq. (6)"),
        Column("penalty", "penalty term of eq. (9)"),
        Column("lambda_mean", "multipliers: λ, mean"),
        Column("mu", "multipliers: μ"),
        Column("code_low", "numbers of the codes: lowest"),
        Column("code_high", "numbers of the codes: highest"),
    )

    @property
    def holds_ends(self) -> bool:
        return self.constraint == "both"

    def start(self, target: Target, count: int, rng: torch.Generator) -> Tensor:
        """Codes to start at, with shape (count, dim)."""
        u = target.space.sample(count, rng)
        if not self.same_start:
            return u
        alike = u[:1].repeat_interleave(count, 0)
        if not self.start_noise:
            return alike
        noise = torch.randn(u.shape, generator=rng, device=rng.device).to(u)
        return target.space.project(alike + self.start_noise * target.space.scale * noise)

    def constraints(self, target: Target, f: Tensor) -> Tensor:
        """g of eq. (8), with shape (B, constraints)."""
        both = self.constraint == "both"
        return constraints(f, target.range, self.epsilon0, both, self.units == "range")

    def accepts(self, target: Target, f: Tensor) -> Tensor:
        if self.constraint == "paper":
            return target.range.contains(f.detach(), one_sided=True)
        return target.inside(f)

    @property
    def also(self) -> tuple[str, ...]:
        """What a look has to give besides activations and encodings."""
        return ("inputs",) if self.objective == "inputs" else ()

    def compared(self, seen: Seen) -> Tensor:
        """What distances are measured between, with shape (B, values): encodings, eq. (6), inputs,
        eq. (5), or codes, eq. (14).
        """
        if self.objective == "inputs":
            assert seen.inputs is not None
            return seen.inputs
        return seen.u if self.objective == "codes" else seen.e

    def objective_of(self, compared: Tensor, earlier: Moments | None) -> Tensor:
        """Eq. (6) of what is compared, or eq. (7) with earlier samples, weighted; a scalar."""
        if self.objective == "none":
            return compared.new_zeros(())
        total = pairwise(compared)
        if self.diversity_units == "relative":
            # each sum over its number of partners, so that its weight does not grow with the
            # samples kept
            total = total / len(compared)
            if earlier is not None:
                total = total + cross(compared, earlier) / earlier.count.clamp_min(1)
            total = total / (2 * compared.detach().square().sum(1).mean().clamp_min(1e-30))
        elif earlier is not None:
            total = total + cross(compared, earlier)
        return self.diversity * total

    def multipliers(self, g: Tensor, lambda_: Tensor, mu: Tensor) -> tuple[Tensor, Tensor]:
        """Lambda and mu after an outer iteration (section 3.4)."""
        return update_multipliers(lambda_, g, mu), (self.alpha * mu).clamp_max(self.mu_max)

    def log(
        self,
        target: Target,
        seen: Seen,
        parts: tuple[Tensor, Tensor],
        lambda_: Tensor,
        mu: Tensor,
    ) -> Tensor:
        """The numbers of `columns`; `parts` are the objective and the penalty."""
        codes = target.space.decode(seen.u.detach())
        numbers = (*parts, lambda_.mean(), mu, codes.amin(), codes.amax())
        return torch.stack([x.detach().to(mu) for x in numbers])

"""Perturbed samples: what the neurons are in the neighbourhood of each code.

A code that a method pushed to a peak may stand alone there: a small change of it undoes what was
found. So each sample's code is changed at random many times, and activations are measured anew.
They are no part of any optimisation, and no sampler's meter counts them. That a low quantile of
these activations tells good samples from peaks is a finding of a report on evolutionary generation
of digits (200 changes, N(0, 0.1²) in each latent dimension, 10th percentile).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.options import check_options, option
from invset.core.products import products
from invset.core.space import Region
from invset.core.values import ByValue
from invset.problem.problem import Problem
from invset.progress import Progress, quiet

#: Codes a pass, where memory holds them.
_AT_A_TIME = 64


@dataclass(frozen=True)
class Perturbing:
    """How samples are perturbed after a run.

    Attributes:
        count: perturbations of each sample; 0: none, and no figures of them.
        sd: standard deviation of each number of a code, in the units of `scale`; independent draws.
        quantile: of the activations of a sample's perturbations that is reported, counted from the
            other end with goal=min.
        scale: units of sd: "codes": the codes' own; "region": standard deviations of natural
            codes; "both": both, at twice the passes.
        seed: of the perturbations, which no sample depends on.

    Raises:
        InvsetError: a bad option.
    """

    count: int = option(0, at_least=0)
    sd: float = option(0.1, above=0)
    quantile: float = option(0.1, at_least=0, at_most=1)
    scale: str = option("both", words=("codes", "region", "both"))
    seed: int = option(0, at_least=0)

    def __post_init__(self) -> None:
        check_options(self, "perturbed")

    def look(
        self, problem: Problem, region: Region, codes: Tensor, progress: Progress = quiet
    ) -> Perturbed | None:
        """Activations of perturbed codes, on the inputs as files would hold them; None for
        ``count=0``.

        The same codes in the same order get the same perturbations, whichever sampler found them.

        Args:
            problem: whose neurons are measured.
            region: where the codes come from.
            codes: with shape (n, code_dim).
            progress: told how many codes are done, of how many.
        """
        if not self.count:
            return None
        region = region.to(problem.network.device)
        kinds = ("codes", "region") if self.scale == "both" else (self.scale,)
        found: dict[str, list[Tensor]] = {kind: [] for kind in kinds}
        total = len(kinds) * len(codes)
        for kind in kinds:
            rng = torch.Generator().manual_seed(self.seed)
            for code in codes.to(problem.network.device):
                f = measured(problem, self._around(kind, region, code, rng))
                found[kind].append(f.cpu())
                progress(sum(map(len, found.values())), total)
        none = torch.zeros(0, self.count, len(problem.neurons))
        stacked = {kind: torch.stack(f) if f else none for kind, f in found.items()}
        return Perturbed(self, stacked.get("codes"), stacked.get("region"))

    def _around(self, kind: str, region: Region, code: Tensor, rng: torch.Generator) -> Tensor:
        """Perturbations of one code, with shape (count, code_dim)."""
        if kind == "codes":
            noise = torch.randn(self.count, len(code), generator=rng)
            return code + self.sd * noise.to(code)
        noise = torch.randn(self.count, region.dim, generator=rng)
        u = region.encode(code.unsqueeze(0))
        return region.decode(u + self.sd * region.scale * noise.to(u))


@dataclass(frozen=True, eq=False)
class Perturbed(ByValue):
    """Activations of p neurons at m perturbations of each of n samples, raw units.

    Attributes:
        how: what was done.
        codes: perturbed in the codes' own units, with shape (n, m, p); None: not asked for.
        region: perturbed in units of the region, with the same shape; None: not asked for.
    """

    how: Perturbing
    codes: Tensor | None
    region: Tensor | None

    def rows(self, chosen: Tensor) -> Perturbed:
        """Those of some samples, by their row numbers."""
        codes = None if self.codes is None else self.codes[chosen]
        return Perturbed(self.how, codes, None if self.region is None else self.region[chosen])


@torch.no_grad()
@products("float32")
def measured(problem: Problem, codes: Tensor) -> Tensor:
    """Activations of G(codes), rounded to what a file holds, with shape (B, p)."""
    return torch.cat([problem.look(x)[0] for x in _inputs(problem, codes)])


def _inputs(problem: Problem, codes: Tensor) -> Iterator[Tensor]:
    for some in codes.split(problem.portions.at_a_time(_AT_A_TIME)):
        yield problem.medium.round(problem.generator(some))

"""A set of samples as an analysis sees it: tensors, and the ranges that they were taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from invset.analysis.judged import Judged
from invset.core.ranges import ActivationRange
from invset.core.space import Region

if TYPE_CHECKING:
    from invset.problem.in_views import Scales
    from invset.problem.perturbing import Perturbed
    from invset.problem.problem import Problem
    from invset.problem.result import Result
    from invset.problem.where_largest import Largest


def units_of(problem: Problem) -> list[tuple[str, int] | None]:
    """Layer and index from 0 of each neuron that a `Reference` may hold; None for others."""
    held = zip(problem.neurons, problem.indices, problem.centred, strict=True)
    return [
        (neuron.layer, index) if centred and index is not None else None
        for neuron, index, centred in held
    ]


@dataclass(frozen=True)
class Effort:
    """What a run took.

    Attributes:
        asked: samples asked for.
        gradient_steps: of the sampler.
        forwards, backwards: passes of one code.
        code_steps: forwards / 3 + 2 backwards / 3.
        seconds: of sampling, by the wall clock.
    """

    asked: int
    gradient_steps: int
    forwards: float
    backwards: float
    code_steps: float
    seconds: float


@dataclass(frozen=True)
class SampleSet:
    """n samples, in the order they were taken, measured as they are saved, on the CPU.

    Attributes:
        codes: with shape (n, code_dim).
        encodings: with shape (n, d).
        activations: raw units, with shape (n, p).
        ranges: rows of the ranges (z1, z2) of the p neurons; a plain run has one row.
        row: which of these each sample was taken for, with shape (n,).
        origins: words for where samples come from, such as "seed".
        origin: number of each sample's word, with shape (n,).
        step: gradient step at which each was taken, with shape (n,).
        units: layer and index from 0 of each neuron; None for a neuron that no `Reference` can
            hold, such as a direction.
        closest: activations that came closest to the ranges, with shape (p,); None for a part.
        region: where codes may lie.
        scales: activations in views and in the whole, where neurons are robust; else None.
        effort: what the whole set took; None for a part of it.
        judged: what another network sees in the samples; None where none looked.
        goal: what was aimed at, as `invset.core.goal` names it.
        inputs: in stored form, n of them; None where they are not at hand.
        largest: where a neuron is largest that is read over all positions; None without one, or
            where nobody looked.
        logits: activations of all units of the network's output, with shape (n, units), of samples
            that were taken for units of it and for no range; else None.
        meant: number from 0 of the unit of the neuron's layer that each is for, where these differ,
            with shape (n,); else None.
        labels: names of the output's units; None where there are none.
        perturbed: activations around the samples; None where none were measured.
    """

    codes: Tensor
    encodings: Tensor
    activations: Tensor
    ranges: Sequence[Sequence[tuple[float, float]]]
    row: Tensor
    origins: tuple[str, ...]
    origin: Tensor
    step: Tensor
    units: Sequence[tuple[str, int] | None]
    closest: Tensor | None
    region: Region
    effort: Effort | None
    scales: Scales | None = None
    judged: Judged | None = None
    goal: str = "range"
    logits: Tensor | None = None
    meant: Tensor | None = None
    labels: Sequence[str] | None = None
    perturbed: Perturbed | None = None
    inputs: Tensor | None = None
    largest: Largest | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        region: Region,
        found: Result,
        judged: Judged | None = None,
        perturbed: Perturbed | None = None,
        largest: Largest | None = None,
    ) -> SampleSet:
        """The samples of a result.

        Args:
            problem: what was sampled.
            region: where codes might lie.
            found: the result.
            judged: what another network sees in its inputs.
            perturbed: activations around its codes.
            largest: where in its inputs a neuron is largest.
        """
        effort = Effort(
            found.asked,
            found.steps,
            found.meter.forwards,
            found.meter.backwards,
            found.meter.code_steps,
            found.seconds,
        )
        return cls(
            codes=found.codes,
            encodings=found.encodings,
            activations=found.activations,
            ranges=found.ranges,
            row=found.row,
            origins=found.origins,
            origin=found.origin,
            step=found.step,
            units=units_of(problem),
            closest=found.best,
            region=region,
            effort=effort,
            scales=found.scales,
            judged=judged,
            goal=found.goal,
            logits=found.units,
            meant=found.parent if found.niches else None,
            labels=problem.network.labels,
            perturbed=perturbed,
            inputs=found.inputs,
            largest=largest,
        )

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def range(self) -> ActivationRange | None:
        """The ranges of the neurons; None where there are several rows of them."""
        return ActivationRange.of(list(self.ranges[0])) if len(self.ranges) == 1 else None

    @cached_property
    def inside(self) -> Tensor:
        """Which samples lie in the ranges that they were taken for; boolean, with shape (n,)."""
        inside = torch.zeros(len(self), dtype=torch.bool)
        for number, ranges in enumerate(self.ranges):
            here = self.row == number
            f = self.activations[here]
            inside[here] = ActivationRange.of(list(ranges)).contains(f)
        return inside

    def rows(self) -> list[SampleSet]:
        """The samples of each row of ranges by themselves."""
        return [self._only(number) for number in range(len(self.ranges))]

    def _only(self, number: int) -> SampleSet:
        here = (self.row == number).nonzero().squeeze(1)
        return replace(
            self,
            codes=self.codes[here],
            encodings=self.encodings[here],
            activations=self.activations[here],
            ranges=[self.ranges[number]],
            row=torch.zeros(len(here), dtype=torch.long),
            origin=self.origin[here],
            step=self.step[here],
            closest=None,
            effort=None,
            scales=None if self.scales is None else self.scales.rows(here),
            judged=None if self.judged is None else self.judged[here],
            logits=None if self.logits is None else self.logits[here],
            meant=None if self.meant is None else self.meant[here],
            perturbed=None if self.perturbed is None else self.perturbed.rows(here),
            inputs=None if self.inputs is None else self.inputs[here],
            largest=None if self.largest is None else self.largest.rows(here),
        )

"""How sure the network itself is of samples that were taken for units of its output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.analysis.record import figure, listed, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Confidence:
    """Probabilities after a softmax over the output, of the samples as they are saved.

    Attributes:
        median: over the samples, of the unit that each is for.
        lowest, highest: of these.
        first: share of the samples whose unit has the largest probability of all.
        names: labels of the units that samples are for, or their numbers from 1.
        unit: number from 1 of the unit that each sample is for, with shape (n,).
        probability: of that unit, with shape (n,).
        seen_as: number from 1 of the unit with the largest probability, with shape (n,).
    """

    median: float = figure("median confidence", low=0, high=1, form=".4g", headline=True)
    lowest: float = figure("lowest confidence", low=0, high=1, form=".4g")
    highest: float = figure("highest confidence", low=0, high=1, form=".4g")
    first: float = figure("network: unit first", low=0, high=1, form=".0%")
    names: list[str] = listed("units")
    unit: Tensor = per_sample("unit that it is for")
    probability: Tensor = per_sample("confidence")
    seen_as: Tensor = per_sample("unit with the largest probability")


def confidence(samples: SampleSet, reference: Reference | None) -> Confidence | None:
    """None where samples were taken for a range, or for something else than units of a classifier's
    output.
    """
    logits = samples.logits
    if logits is None or logits.shape[1] < 2 or not len(samples):
        return None
    if samples.labels is None and samples.meant is None:
        return None  # it may be no classifier
    meant = _meant(samples, logits)
    p = logits.double().softmax(1)
    own = p.gather(1, meant.unsqueeze(1)).squeeze(1)
    labels = samples.labels or [str(number + 1) for number in range(logits.shape[1])]
    return Confidence(
        own.median().item() if len(own) % 2 else own.quantile(0.5).item(),
        own.amin().item(),
        own.amax().item(),
        (p.argmax(1) == meant).double().mean().item(),
        [labels[unit] for unit in meant.tolist()],
        meant + 1,
        own,
        p.argmax(1) + 1,
    )


def _meant(samples: SampleSet, logits: Tensor) -> Tensor:
    """The unit that each sample is for."""
    if samples.meant is not None:
        return samples.meant
    [(_, index)] = [unit for unit in samples.units if unit is not None]
    return torch.full((len(logits),), index)

"""What another network with one real output tells of the samples of a regression: a range is never
confirmed by the network that was asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from invset.analysis.beside_real import compared
from invset.analysis.kernel_distance import kid
from invset.analysis.record import figure, part, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.core.ranges import ActivationRange


@dataclass(frozen=True)
class Told:
    """What the judge tells of some inputs.

    Attributes:
        in_range: share of the inputs of which the judge tells a number in the range; None where no
            range was asked for.
        mean: of what it tells.
        apart: mean distance between what it and the asked network tell; None where that is not
            known.
    """

    in_range: float | None = figure("judge: in range", low=0, high=1, good="high", form=".0%")
    mean: float = figure("judge: mean", form=".4g")
    apart: float | None = figure("judge: distance", low=0, good="low", form=".3g")

    @classmethod
    def of(cls, values: Tensor, range_: ActivationRange | None, f: Tensor | None) -> Told | None:
        """Of a judge's values, with shape (n,); None without any.

        Args:
            values: the judge's.
            range_: what was asked for.
            f: the asked network's values, with shape (n,).
        """
        if not len(values):
            return None
        inside = None if range_ is None else range_.contains(values.unsqueeze(1))
        return cls(
            None if inside is None else inside.double().mean().item(),
            values.double().mean().item(),
            None if f is None else (values - f).abs().double().mean().item(),
        )


@dataclass(frozen=True)
class Agreement:
    """Whether another regression tells of samples what the asked one does.

    Attributes:
        network: name of the judge.
        samples: of the samples.
        real: of real inputs in the same range, or nearest to it; None where the judge has not seen
            them.
        kind: which real inputs: "in range", or "nearest to the range".
        kid: kernel distance between samples and real inputs in the judge's features, times 1000;
            None where it has not seen real inputs.
        told: by the judge of each sample, with shape (n,).
    """

    network: str = figure("judge", form="s")
    samples: Told | None = part("of samples", ("in_range", "mean"), beside="real")
    real: Told | None = part("of real inputs")
    kind: str | None = figure("real inputs that the judge saw", form="s")
    kid: float | None = figure("KID x 1000", good="low", form=".4g")
    told: Tensor | None = per_sample("judge")


def agreement(samples: SampleSet, reference: Reference | None) -> Agreement | None:
    """What the judge tells; None where none with one real output looked, or where what was asked is
    not the one output of the network.
    """
    seen = samples.judged
    if seen is None or seen.values is None or not seen.is_output(samples.units):
        return None
    asked = samples.range if samples.goal == "range" else None
    real = compared(samples, reference)
    view = None if real is None else real.judged
    if view is not None and (not view.is_by(seen) or view.values is None):
        view = None
    return Agreement(
        seen.name,
        Told.of(seen.values, asked, samples.activations[:, 0]),
        None if view is None or view.values is None else Told.of(view.values, asked, None),
        None if view is None or real is None else real.kind,
        None if view is None else 1000 * kid(seen.features, view.features),
        seen.values.to(torch.float32),
    )

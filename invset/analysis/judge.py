"""What another network sees in the samples: naturalness is never judged by the network that was
asked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import Tensor

from invset.analysis.beside_real import compared
from invset.analysis.judged import Judged
from invset.analysis.kernel_distance import kid
from invset.analysis.record import figure, listed, part, per_sample
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet

#: Classes that are told of at most, if the first has so many samples and such a share of them.
_NAMED, _LEAST, _SHARE = 3, 3, 0.2

#: Samples below which a KID is chance.
_FEWEST = 5


@dataclass(frozen=True)
class Shares:
    """How often the judge sees the neuron's class in inputs.

    Attributes:
        first: share of the inputs whose class is its first.
        among_five: share of the inputs whose class is among its first five.
        median_rank: of the class; 1 is first.
    """

    first: float = figure("judge: class first", low=0, high=1, good="high", form=".0%")
    among_five: float = figure("judge: among five", low=0, high=1, good="high", form=".0%")
    median_rank: float = figure("judge: median rank", low=1, good="low", form=".3g")

    @classmethod
    def of(cls, rank: Tensor | None) -> Shares | None:
        """Of ranks with shape (n,); None without any."""
        if rank is None or not len(rank):
            return None
        rank = rank.double()
        return cls(
            (rank <= 1).double().mean().item(),
            (rank <= 5).double().mean().item(),
            rank.quantile(0.5).item(),
        )


@dataclass(frozen=True)
class Judge:
    """What the judge sees in samples, and in real images in the same range (or nearest to it).

    Attributes:
        network: name of the judge.
        classes: how many of its classes the neuron means; 0: it knows no such class; None: what was
            asked is no unit of the output, or are several.
        samples: of the samples; None without such a class.
        real: of the real images; None where the reference holds no judge's view of them.
        kind: which real images: "in range", or "nearest to the range" where few are in it.
        images: how many of them.
        kid: kernel inception distance between samples and real images in the judge's features,
            times 1000; None where the reference holds none, and of fewer than 5 samples.
        kid_real: the same between every second one of the real images and the others: how far from
            0 it is where both are real.
        named: the classes that it puts first in most samples, with their numbers; none where that
            is less than a fifth of them, or two.
        rank: of the class in each sample, 1 is first, with shape (n,).
    """

    network: str = figure("judge", form="s")
    classes: int | None = figure("classes of the judge that count", low=0, form=".0f")
    samples: Shares | None = part("of samples", ("first", "among_five"), beside="real")
    real: Shares | None = part("of real images")
    kind: str | None = figure("real images that the judge saw", form="s")
    images: int = figure("number of real images that the judge saw", low=0, form=".0f")
    kid: float | None = figure("KID x 1000", good="low", form=".4g", headline=True)
    kid_real: float | None = figure("KID x 1000 between halves of the real images", form=".4g")
    named: list[str] = listed("classes that the judge puts first in most samples")
    rank: Tensor | None = per_sample("judge's rank of the class")


def judge(samples: SampleSet, reference: Reference | None) -> Judge | None:
    """What the judge saw; None where none looked, or one that tells a number (`agreement`)."""
    seen = samples.judged
    if seen is None or seen.values is not None:
        return None
    rank = _ranks(samples, seen)
    kind, real = _real(samples, seen, reference)
    few = len(samples) < _FEWEST
    return Judge(
        seen.name,
        seen.count(samples.units),
        Shares.of(rank),
        None if real is None else Shares.of(real.rank(samples.units)),
        kind,
        0 if real is None else len(real.features),
        None if real is None or few else 1000 * kid(seen.features, real.features),
        None if real is None or few else 1000 * kid(real.features[::2], real.features[1::2]),
        _named(seen),
        rank,
    )


def _named(seen: Judged) -> list[str]:
    """Classes that the judge puts first, if it agrees on one at all."""
    found = Counter(seen.named).most_common(_NAMED)
    if not found or found[0][1] < max(_LEAST, _SHARE * len(seen.named)):
        return []
    return [f"{name} ({count})" for name, count in found]


def _ranks(samples: SampleSet, seen: Judged) -> Tensor | None:
    """Of the neuron's class, or of the class that each sample is for."""
    [asked, *others] = samples.units
    if samples.meant is None or asked is None or others:
        return seen.rank(samples.units)
    return seen.rank_of(samples.meant, asked[0])


def _real(
    samples: SampleSet, seen: Judged, reference: Reference | None
) -> tuple[str | None, Judged | None]:
    """Which real images are compared, and what the same judge saw in them; None where no such view
    is stored.
    """
    chosen = compared(samples, reference)
    if chosen is None or chosen.judged is None or not chosen.judged.is_by(seen):
        return None, None
    return chosen.kind, chosen.judged

"""Options of the commands themselves, beside those of network, generator and sampler.

Meaning and units stand in ``configs/COMMAND.yaml``, which is a command's manual; here are types and
bounds. A test holds the defaults of both together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from invset.core.checks import PRIORS
from invset.core.options import option

#: What ``objective=`` names -> its place in ``summary.json``.
OBJECTIVES = {
    "vendi": "diversity.vendi",
    "nearest_neighbour": "diversity.nearest_neighbour",
    "mean_pairwise_distance": "diversity.mean_pairwise_distance",
    "distinct": "beside_real.distinct",
    "coverage": "coverage.tenths",
    "kid": "judge.kid",
    "samples": "counts.saved",
    "in_range": "counts.in_range",
    "seconds": "meter.seconds",
    "code_steps": "meter.code_steps",
    "code_steps_per_sample": "meter.code_steps_per_sample",
}

#: What ``keep=`` names.
KEEP = ("all", "pictures", "codes")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What ``invset run`` and ``invset probe`` have alike."""

    layer: str | None = None
    encoder: str | None = None
    direction: str | None = None
    bias: str | None = None
    sae: str | None = None
    feature: int | None = option(None, at_least=0)
    top_k: int | None = option(None, at_least=1)
    reference: str | None = "auto"
    prior: str = option("auto", words=PRIORS)
    eight_bit: bool = True
    clamp: bool = True
    stochastic: bool = False
    seed: int = option(0, at_least=0, below=2**63)
    progress: bool = True
    overwrite: bool = False
    retry: str = option("failed", words=("failed", "all", "none"))


@dataclass(frozen=True, kw_only=True)
class RunOptions(Question):
    """Of ``configs/run.yaml``."""

    images: str | None = None
    limit: int | None = option(2000, at_least=1)
    animation: bool = True
    report: bool = True
    keep: str = option("all", words=KEEP)
    checkpoint_seconds: float = option(30, at_least=0)
    objective: str | None = option(None, words=tuple(OBJECTIVES))
    collect: str | None = None
    gpu_jobs: int = option(1, at_least=1)
    together: int = option(1, at_least=1)


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(Question):
    """Of ``configs/probe.yaml``."""

    images: str | None = None
    limit: int | None = option(2000, at_least=1)
    codes: int = option(200, at_least=1)
    starts: int = option(16, at_least=0)
    steps: int = option(30, at_least=1)
    length: float = option(0.07, above=0, below=math.inf)
    code_steps: float | None = option(None, above=0)
    seconds: float | None = option(90, above=0)


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """Of ``configs/list.yaml``."""

    what: str | None = None
    words: Sequence[str] = field(default_factory=list)
    layer: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """Of ``configs/compare.yaml``."""

    out: str = "outputs/compare"
    use: Sequence[str] = field(default_factory=lambda: ["stream", "two_stage"])
    baseline: str | None = None
    goals: Sequence[str] = field(default_factory=list)
    budget: str | None = None
    pictures: int = option(24, at_least=0, at_most=200)
    n: int = option(100, at_least=1, at_most=10**9)
    seeds: Sequence[int] = field(default_factory=lambda: [0])
    reference: str | None = "auto"
    encoder: str | None = None
    progress: bool = True


@dataclass(frozen=True, kw_only=True)
class SpectrumOptions:
    """Of ``configs/fit_spectrum.yaml``."""

    data: str = option()
    limit: int | None = option(2000, at_least=1)
    out: str = option()


@dataclass(frozen=True, kw_only=True)
class Region:
    """The natural region that is fitted to codes."""

    variance: float = option(0.98, above=0, at_most=1)
    share: float = option(0.95, above=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class PriorOptions(SpectrumOptions, Region):
    """Of ``configs/fit_prior.yaml``."""

    limit: int | None = option(20_000, at_least=1)
    encoder: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions(SpectrumOptions):
    """Of ``configs/fit_reference.yaml``."""

    encoder: str | None = None
    layers: Sequence[str] | None = None
    keep: Sequence[str] | None = None
    inputs: bool | None = None
    variance: float = option(0.98, above=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What both trainings learn from."""

    train: str = option()
    val: str = option()


@dataclass(frozen=True, kw_only=True)
class NamedPictures(Pictures):
    """What a network learns from."""

    names: str | Sequence[str] | None = None
    size: int = option(32, at_least=8)
    grey: bool = False


@dataclass(frozen=True, kw_only=True)
class CountedPictures(Pictures):
    """What a generator learns from."""

    limit: int | None = option(None, at_least=1)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Of ``configs/train_network.yaml``."""

    data: NamedPictures = field(default_factory=NamedPictures)
    out: str = option()
    seed: int = option(0, at_least=0, below=2**63)


@dataclass(frozen=True, kw_only=True)
class GeneratorOptions:
    """Of ``configs/train_generator.yaml``."""

    data: CountedPictures = field(default_factory=CountedPictures)
    out: str = option()
    init: str | None = None
    comparator_layers: Sequence[str] = field(default_factory=list)
    encoder: str | None = None
    prior: Region = field(default_factory=Region)
    seed: int = option(0, at_least=0, below=2**63)


@dataclass(frozen=True, kw_only=True)
class PlainPictures(Pictures):
    """What an autoencoder learns from."""

    size: int = option(28, at_least=1)
    grey: bool = True


@dataclass(frozen=True, kw_only=True)
class AutoencoderOptions:
    """Of ``configs/train_autoencoder.yaml``."""

    data: PlainPictures = field(default_factory=PlainPictures)
    out: str = option()
    prior: Region = field(default_factory=Region)
    seed: int = option(0, at_least=0, below=2**63)


#: Command -> its own options.
OPTIONS: dict[str, type] = {
    "run": RunOptions,
    "probe": ProbeOptions,
    "list": ListOptions,
    "compare": CompareOptions,
    "fit prior": PriorOptions,
    "fit reference": ReferenceOptions,
    "fit spectrum": SpectrumOptions,
    "train network": NetworkOptions,
    "train generator": GeneratorOptions,
    "train autoencoder": AutoencoderOptions,
}

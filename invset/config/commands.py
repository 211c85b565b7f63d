"""Options of the commands themselves, beside those of network, generator and sampler.

Meaning and units stand in ``configs/COMMAND.yaml``, which is a command's manual; here are types and
bounds. A test holds the defaults of both together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from invset.core.checks import PRIORS
from invset.core.options import option


@dataclass(frozen=True)
class Question:
    """What ``invset run`` and ``invset probe`` have alike."""

    prior: str = option("auto", words=PRIORS)
    eight_bit: bool = True
    stochastic: bool = False
    seed: int = option(0, at_least=0, below=2**63)
    progress: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class RunOptions(Question):
    """Of ``configs/run.yaml``."""

    animation: bool = True
    report: bool = True
    checkpoint_seconds: float = option(30, at_least=0)


@dataclass(frozen=True)
class ProbeOptions(Question):
    """Of ``configs/probe.yaml``."""

    limit: int = option(2000, at_least=1)
    codes: int = option(200, at_least=1)
    starts: int = option(16, at_least=0)
    steps: int = option(30, at_least=1)
    length: float = option(0.07, above=0, below=math.inf)
    code_steps: float | None = option(None, above=0)
    seconds: float | None = option(90, above=0)


@dataclass(frozen=True)
class FitOptions:
    """What ``invset fit prior``, ``fit reference`` and ``fit spectrum`` have of these."""

    limit: int = option(2000, at_least=1)
    variance: float = option(0.98, above=0, at_most=1)
    share: float = option(0.95, above=0, at_most=1)

"""What a run took: passes, steps, seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from invset.analysis.record import figure
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet


@dataclass(frozen=True)
class Passes:
    """Cost of a run.

    Attributes:
        forwards, backwards: passes of one code through generator and networks.
        code_steps: forwards / 3 + 2 backwards / 3.
        code_steps_per_sample: nan without samples.
        gradient_steps: of the sampler.
        seconds: of sampling, by the wall clock.
    """

    forwards: float = figure(
        "forward passes", "of one code", low=0, good="low", form=",.0f", headline=True
    )
    backwards: float = figure(
        "backward passes", "of one code", low=0, good="low", form=",.0f", headline=True
    )
    code_steps: float = figure("code-steps", low=0, good="low", form=",.0f", headline=True)
    code_steps_per_sample: float = figure("code-steps a sample", low=0, good="low", form=".3g")
    gradient_steps: int = figure("gradient steps", low=0, good="low", form=",.0f", headline=True)
    seconds: float = figure("time", "s", low=0, good="low", form=".3g", headline=True)


def meter(samples: SampleSet, reference: Reference | None) -> Passes | None:
    """What the run took; None for a part of a set."""
    effort = samples.effort
    if effort is None:
        return None
    return Passes(
        effort.forwards,
        effort.backwards,
        effort.code_steps,
        effort.code_steps / len(samples) if len(samples) else math.nan,
        effort.gradient_steps,
        round(effort.seconds, 3),
    )

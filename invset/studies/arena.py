"""One run of a comparison: a sampler, a neuron, a range or a goal, a seed, a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.core.checks import goal_of
from invset.core.products import products
from invset.core.space import Region
from invset.errors import InvsetError
from invset.problem.enough_memory import OutOfMemory
from invset.problem.perturbing import measured
from invset.problem.problem import Problem
from invset.problem.result import Result, finish
from invset.samplers.base import Limits, Status
from invset.studies.study import Study, check_real, takes_real

#: Natural codes whose activations tell quantiles where no reference does.
DRAWS = 1000


@dataclass(frozen=True)
class Ran:
    """What a run gave, or why there was none.

    Attributes:
        region: where codes might lie; None where there was no run.
        result: the samples; None where there was no run.
        why: the sampler can't take this question, in words; empty where it ran.
    """

    region: Region | None
    result: Result | None
    why: str = ""


def compete(
    problem: Problem,
    made: Callable[[], Study],
    prior: str,
    seed: int,
    limits: Limits,
    real: Tensor | None = None,
) -> Ran:
    """Run a sampler. One that refuses the question ends the run, not the comparison.

    Args:
        problem: the question.
        made: makes the study; asked here, as a missing package is a refusal, too.
        prior: of ``configs/run.yaml``.
        seed: of every random draw.
        limits: the budget.
        real: real inputs in stored form, for samplers that begin at some; None: there are none.

    Raises:
        KeyboardInterrupt: the run was interrupted; nothing of it is kept.
        OutOfMemory: memory is too small for it.
    """
    rng = torch.Generator().manual_seed(seed)
    try:
        study = made()
        real = real if takes_real(study) else None  # of a comparison only some look at them
        check_real(study, real is not None, "images=FOLDER")
        region = problem.region(prior, rng, plain=study.space == "codes")
        target = problem.target(region, goal_of(study), real)
        study.check(target)
        state = study.run(target, rng, limits=limits)
    except OutOfMemory:
        raise
    except InvsetError as error:
        return Ran(None, None, str(error))
    if state.status is Status.INTERRUPTED:  # another process begins it anew
        raise KeyboardInterrupt
    return Ran(region, finish(problem, region, study.found(target, state)))


@products("float32")
def natural_quantiles(problem: Problem, levels: Sequence[float], count: int = DRAWS) -> list[float]:
    """Quantiles of the first neuron's activation over natural codes, drawn from seed 0.

    Args:
        problem: with the neuron.
        levels: of the quantiles, in [0, 1].
        count: codes.
    """
    rng = torch.Generator().manual_seed(0)
    region = problem.region("auto", rng)
    codes = region.decode(region.sample(count, rng))
    f = measured(problem, codes)[:, 0].cpu().double()
    return [f.quantile(level).item() for level in levels]

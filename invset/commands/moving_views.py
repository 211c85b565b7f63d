"""When a robust run looks at fixed views for the first time: before it, nothing can be a sample."""

from __future__ import annotations

from invset.core.target import Target
from invset.studies.study import Sampling, Study


def first_check(study: Study, target: Target, steps: int) -> int | None:
    """Step of the first look at fixed views, from 1; None if it was taken, or no views move.

    Args:
        study: that samples.
        target: what it samples.
        steps: so far.
    """
    inner = study.sampler if isinstance(study, Sampling) else study
    moving = getattr(inner, "moving", 0)
    return None if target.moving is None or steps > moving else moving + 1

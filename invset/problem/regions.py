"""The part of code space that may be used: from a word to a `Region`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from invset.core.checks import PRIORS, check_choice
from invset.core.space import Box, Free, Region
from invset.errors import InvsetError
from invset.nets.generator import Generator
from invset.problem.start_codes import Starts

#: Lowest and highest number of PPGN's codes.
_PPGN = (0.0, 30.0)


def region_of(
    generator: Generator,
    prior: str,
    drawn: Callable[[], Tensor],
    clip: tuple[float | Tensor, float | Tensor] | None,
    plain: bool,
    starts: Starts,
) -> Region:
    """The region that ``prior=`` names; see `invset.problem.problem.Problem.region`.

    Args:
        generator: whose codes they are.
        prior: one of `PRIORS`.
        drawn: draws the start codes of "clip" and "none".
        clip: lowest and highest number of a code; None: the generator's own, or PPGN's.
        plain: let "auto" choose plain codes.
        starts: which start codes; "natural" has none.

    Raises:
        InvsetError: an unknown word, or "natural" for a generator without one, or with `starts`.
    """
    check_choice("prior", prior, PRIORS)
    if prior == "auto":
        # bounds that are given are meant
        natural = generator.prior is not None and clip is None and not plain
        prior = "natural" if natural else "clip" if clip or generator.clip else "none"
    if prior == "natural":
        if generator.prior is None:
            raise InvsetError(
                f"{generator.name} has no natural region: make one with `invset fit prior`"
                " and give it as generator.prior=, or type prior=none or prior=clip"
            )
        starts.check_unused()
        return generator.prior
    start = drawn()
    if prior == "none":
        return Free(start)
    ends = clip or generator.clip or _PPGN
    low, high = (end.to(start) if isinstance(end, Tensor) else end for end in ends)
    return Box(low, high, start)

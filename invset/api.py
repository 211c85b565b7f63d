"""The library's front door: a problem, a sampler, a result.

problem = Problem(network, generator, encoder="fc6", neurons=[Neuron("fc8", 981, range=(50, 60))])
result = InverseSetSampler(k=10, n=500).run(problem, seed=0)
result.codes, result.images, result.activations, result.encodings
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from invset.config.catalogue import sampler_class, sampler_names
from invset.core.checks import check_choice, check_kind, goal_of, plain
from invset.core.context import own_context
from invset.core.options import Bounds, check_option
from invset.core.space import Region
from invset.errors import InvsetError, did_you_mean
from invset.problem.enough_memory import enough_memory
from invset.problem.problem import Problem
from invset.problem.repeatable import repeatable
from invset.problem.result import Result, finish
from invset.samplers.base import Limits, Sampler
from invset.studies.study import OnLook, Study, check_real, codes_at_once, study_of


def _count(key: str, value: Any) -> int:
    """A number of codes or samples as Python's own."""
    value = plain(value)
    check_option(key, value, "int", Bounds(at_least=1))
    return value


class InverseSetSampler:
    """Sample the inverse set of a `Problem`.

    Args:
        k: codes at a time (the paper's K); None: 10, or n if that is less.
        n: samples; None: 100.
        sampler: an option of ``sampler=``: "stream" (default), "two_stage" (published), "full"
            (eq. 6 for all n together), "ppgn" (Nguyen et al. 2017), "ladder" (several ranges); or
            a `Sampler` or a `Study`, whose own K and n then count.
        prior: "auto" (default), "natural", "clip", "none", or a `Region`; see `Problem.region`.
        limits: when to give up; None: the sampler's own.
        options: further fields of the sampler, such as ``mu0`` or ``max_age``.

    Raises:
        InvsetError: bad numbers, or an unknown sampler or option.
    """

    def __init__(
        self,
        k: int | None = None,
        n: int | None = None,
        sampler: str | Sampler[Any] | Study = "stream",
        prior: str | Region = "auto",
        limits: Limits | None = None,
        **options: Any,
    ) -> None:
        if not hasattr(prior, "decode"):
            check_kind("prior", prior, str, "auto, natural, clip, none or a region")
        check_kind("limits", limits, (Limits, type(None)), "Limits(seconds=60), or None")
        check_kind(
            "sampler", sampler, (str, Sampler, Study), "a name such as stream, or a sampler itself"
        )
        self.prior = prior
        self.limits = limits
        if not isinstance(sampler, str):
            given = [*options, *(key for key, value in (("k", k), ("n", n)) if value is not None)]
            if given:
                raise InvsetError(
                    f"{given[0]} is an option of a sampler that is named; give it to"
                    f" {type(sampler).__name__} itself, whose own options count"
                )
            self.sampler: Sampler[Any] | Study = sampler
            return
        check_choice("sampler", sampler, sampler_names())
        kind = sampler_class(sampler)
        known = [field.name for field in fields(kind)]
        k = None if k is None else _count("k", k)
        wanted = 100 if n is None else _count("n", n)
        counts = {"K": min(10, wanted) if k is None else k, "n": wanted}
        for name in [*options, *(["n"] if n is not None else [])]:
            if name not in known or (name in options and name in counts):
                listed = [one for one in known if one not in counts]
                meant = " K is k= here." if name == "K" else did_you_mean(name, listed)
                raise InvsetError(
                    f"sampler {sampler} has no option {name!r}.{meant} It has {', '.join(listed)}"
                )
        self.sampler = kind(**{k: v for k, v in counts.items() if k in known}, **options)

    @own_context()
    def run(
        self,
        problem: Problem,
        seed: int = 0,
        on_look: OnLook | None = None,
        real: Tensor | None = None,
    ) -> Result:
        """Sample; the same seed gives the same bytes on the same machine with as many threads, on a
        GPU with `Runtime(deterministic=True)`.

        Args:
            problem: what to sample.
            seed: of every random draw.
            on_look: called after every look at the device; see `OnLook`.
            real: real inputs in stored form, such as uint8 pictures, with shape (N, 3, H, W), for
                samplers that need some.

        Raises:
            InvsetError: arguments of another type, or what can't be sampled.
        """
        check_kind("problem", problem, Problem, "Problem(network, generator, neurons=[…])")
        check_option("seed", plain(seed), "int", Bounds(at_least=0, below=2**63), 0)
        rng = torch.Generator().manual_seed(plain(seed))
        study = study_of(self.sampler)
        region = problem.region(self.prior, rng, plain=study.space == "codes")
        check_real(study, real is not None, "InverseSetSampler.run(real=…)")
        target = problem.target(region, goal_of(study), real)
        with repeatable(problem.runtime), enough_memory(problem, codes_at_once(study), study.n):
            state = study.run(target, rng, on_look=on_look, limits=self.limits)
            return finish(problem, region, study.found(target, state))

"""The library's front door: a problem, a sampler, a result.

problem = Problem(network, generator, encoder="fc6", neurons=[Neuron("fc8", 981, range=(50, 60))])
result = InverseSetSampler(k=10, n=500).run(problem, seed=0)
result.codes, result.images, result.activations, result.encodings
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from invset.core.checks import check_choice
from invset.core.space import Region
from invset.errors import InvsetError, did_you_mean
from invset.problem.passes import tf32
from invset.problem.problem import Problem
from invset.samplers.base import OnRound, Sampler, State, Status, drive
from invset.samplers.full import Full
from invset.samplers.ppgn import PPGN
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage

SAMPLERS = {"stream": Stream, "two_stage": TwoStage, "full": Full, "ppgn": PPGN}


@dataclass(frozen=True)
class Result:
    """Samples of an inverse set, in the order they were taken.

    Attributes:
        codes: with shape (n, code_dim).
        inputs: in the stored form of the problem's medium, as they would be saved: of pictures
            uint8 with shape (n, channels, H, W), of a table float32 with shape (n, columns).
        activations: measured on those inputs, raw units, with shape (n, p).
        activations_before: the same before rounding.
        encodings: E of the stored inputs, with shape (n, d).
        step: gradient step at which each was taken, with shape (n,).
        parent: seed or draw that each came from, with shape (n,).
        in_range: which of the stored inputs lie in all ranges, with shape (n,).
        kept: number from 0 of each among the samples of `state`: rounding may have taken some out,
            with shape (n,).
        status: why the sampler ended.
        best: activations that came closest to the ranges, with shape (p,).
        steps, code_steps: gradient steps; forward and backward passes of one code.
        seconds: time of sampling.
        state: the sampler's last state.
    """

    codes: Tensor
    inputs: Tensor
    activations: Tensor
    activations_before: Tensor
    encodings: Tensor
    step: Tensor
    parent: Tensor
    in_range: Tensor
    kept: Tensor
    status: Status
    best: Tensor
    steps: int
    code_steps: int
    seconds: float
    state: State

    @property
    def images(self) -> Tensor:
        """The inputs, where they are pictures."""
        return self.inputs

    def __len__(self) -> int:
        return len(self.codes)


@torch.no_grad()
def finish(
    problem: Problem, region: Region, state: State, seconds: float, batch_size: int = 64
) -> Result:
    """Make the inputs of a state's samples and measure them again, as they are saved."""
    kept = state.kept.trimmed()
    codes = region.decode(kept["u"])
    numbers = torch.arange(len(codes))
    inputs, before, after, encodings = [], [], [], []
    for batch in codes.split(min(batch_size, problem.runtime.micro_batch or batch_size)):
        with tf32(codes.device, False):
            x = problem.generator(batch)
            before.append(problem.look(x)[0])
            inputs.append(problem.medium.store(x))
            f, e = problem.look(problem.medium.restore(inputs[-1]))
        after.append(f)
        encodings.append(e)
    if inputs and not problem.eight_bit:
        # the network saw unrounded inputs: what rounding took out of the ranges is not kept
        stays = ~(
            problem.range.contains(torch.cat(before)) & ~problem.range.contains(torch.cat(after))
        )
        codes, kept, numbers = (
            codes[stays],
            {name: value[stays] for name, value in kept.items()},
            numbers[stays.cpu()],
        )
        inputs, before, after, encodings = (
            [torch.cat(x)[stays]] for x in (inputs, before, after, encodings)
        )
    p = len(problem.neurons)
    none = problem.medium.store(problem.medium.blank()[:0].to(codes))
    f = torch.cat(after) if after else codes.new_zeros(0, p)
    inside = problem.range.contains(f)
    return Result(
        codes=codes,
        inputs=torch.cat(inputs) if inputs else none,
        activations=f,
        activations_before=torch.cat(before) if before else f,
        encodings=torch.cat(encodings) if encodings else kept["e"],
        step=kept["step"],
        parent=kept["parent"],
        in_range=inside,
        kept=numbers,
        # chains that know no range may keep all they were asked for outside of it
        status=(
            Status.UNREACHABLE
            if state.status is Status.REACHED and not inside.any()
            else state.status
        ),
        best=state.best_f,
        steps=state.steps,
        code_steps=state.code_steps,
        seconds=seconds,
        state=state,
    )


class InverseSetSampler:
    """Sample the inverse set of a `Problem`.

    Args:
        k: codes at a time (the paper's K); None: 10, or n if that is less.
        n: samples.
        sampler: "stream" (default), "two_stage" (published), "full" (eq. 6 for all n together),
            "ppgn" (Nguyen et al. 2017), or a `Sampler`, whose own K and n then count.
        prior: "auto" (default), "natural", "clip", "none", or a `Region`; see `Problem.region`.
        options: further fields of the sampler, such as ``mu0`` or ``max_age``.

    Raises:
        InvsetError: bad numbers, or an unknown sampler or option.
    """

    def __init__(
        self,
        k: int | None = None,
        n: int = 100,
        sampler: str | Sampler = "stream",
        prior: str | Region = "auto",
        **options: Any,
    ) -> None:
        self.prior = prior
        if not isinstance(sampler, str):
            self.sampler: Sampler = sampler
            return
        check_choice("sampler", sampler, SAMPLERS)
        known = [field.name for field in fields(SAMPLERS[sampler]) if field.name not in ("K", "n")]
        for name in options:
            if name not in known:
                raise InvsetError(
                    f"sampler {sampler} has no option {name!r}.{did_you_mean(name, known)} It has"
                    f" {', '.join(known)}"
                )
        self.sampler = SAMPLERS[sampler](K=min(10, n) if k is None else k, n=n, **options)

    def run(self, problem: Problem, seed: int = 0, on_round: OnRound | None = None) -> Result:
        """Sample; the same seed gives the same bytes on the same machine with as many threads.

        Args:
            problem: what to sample.
            seed: of every random draw.
            on_round: called after every round with the state and its rows of numbers.
        """
        rng = torch.Generator().manual_seed(seed)
        region = problem.region(self.prior, rng)
        outcome = drive(self.sampler, problem.inverse_set(region), rng, on_round=on_round)
        return finish(problem, region, outcome.state, outcome.seconds)

"""Runs one look at a time, and targets whose passes are counted by someone else than the meter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from cases import seeded
from torch import Tensor

from invset.core.target import Meter, Target
from invset.samplers.base import Offer, Sampler
from invset.samplers.drive import Run, drive

#: A run after a look, and the rows of the log since the look before.
Look = tuple[Run[Any], list[list[float]]]


def begun(target: Target, state: Any) -> Run[Any]:
    """A run that is to go on from a sampler's state."""
    return Run(state, None, None, target.meter.copy())


def looks(
    sampler: Sampler[Any], target: Target, most: int = 10**6, run: Run[Any] | None = None
) -> list[Look]:
    """What the driver finds at up to `most` looks, from `run` on or from the start."""
    seen: list[Look] = []

    def on_look(run: Run[Any], rows: list[list[float]]) -> None:
        seen.append((run, rows))
        if len(seen) == most:
            raise KeyboardInterrupt

    drive(sampler, target, seeded(), run, on_look)
    return seen


def steps(sampler: Sampler[Any], target: Target, state: Any, count: int) -> tuple[Any, list[Offer]]:
    """The state after some steps, and what each offered; nobody looks in between."""
    offers = []
    rng = seeded()
    for _ in range(count):
        state, offer = sampler.step(target, state, rng)
        offers.append(offer)
    return state, offers


class _Watched(torch.autograd.Function):
    """The identity; counts the codes that a backward pass comes through with."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor, counts: Meter) -> Tensor:
        ctx.counts = counts
        return codes.view_as(codes)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        ctx.counts.backwards += len(gradients[0])
        return gradients[0], None


def counted(target: Target, exact: bool = True) -> tuple[Target, Meter]:
    """The same target, and what passes through its networks forwards and backwards, as they see it.

    If it is not to be exact, activations of passes without a gradient are 0.01 lower.
    """
    counts = Meter()

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        counts.forwards += len(codes)
        f, e = target.evaluate(_Watched.apply(codes, counts))
        return (f if exact or torch.is_grad_enabled() else f - 0.01), e

    return replace(target, evaluate=evaluate, exact=exact, meter=Meter()), counts

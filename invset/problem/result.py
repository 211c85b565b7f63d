"""Samples of an inverse set as they are saved: made into inputs, rounded, and measured again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from invset.core.checks import smallest_width
from invset.core.plain import on_cpu
from invset.core.products import products
from invset.core.space import Region
from invset.core.target import Meter
from invset.core.values import ByValue
from invset.files.medium import Medium
from invset.problem import result_files, result_html
from invset.problem.in_views import Scales
from invset.problem.problem import Problem
from invset.problem.saved import saved
from invset.progress import Progress, quiet
from invset.samplers.base import Column, Status
from invset.samplers.found import Found

#: Looks at the same inputs that tell how far apart activations are.
LOOKS = 8


@dataclass(frozen=True, eq=False, repr=False)
class Result(ByValue):
    """Samples of an inverse set, in the order they were taken, on the CPU.

    Attributes:
        asked: samples asked for.
        codes: with shape (n, code_dim).
        inputs: in the stored form of the problem's medium, as they would be saved: of pictures
            uint8 with shape (n, channels, H, W), of a table float32 with shape (n, columns).
        activations: measured on those inputs, raw units, with shape (n, p).
        activations_before: the same before rounding.
        scales: the same in views and in the whole, where neurons are robust.
        encodings: E of the stored inputs, with shape (n, d).
        step: gradient step at which each was taken, with shape (n,).
        parent: seed or draw that each came from, with shape (n,).
        origin: number from 0 in `origins` of each, with shape (n,).
        origins: what samples came from, in words.
        row: row of `ranges` that each was taken for, with shape (n,).
        ranges: rows of ranges (z1, z2), one for each neuron; a ladder has several rows.
        cells: numbers from 0 of the samples that form a grid, -1 where there is none, with shape
            (rows, columns); None where samples form no grid.
        in_range: which of the stored inputs lie in the ranges of their row, with shape (n,).
        columns: of the log.
        status: why the sampler ended.
        best: activations that came closest to the ranges, with shape (p,).
        steps: gradient steps.
        meter: forward and backward passes of one code.
        seconds: time of sampling.
        held: whether all of them were in range when they were taken.
        goal: what was aimed at: "range", "max" or "min". With the last two, `ranges` is what the
            samples span: they were taken for no range.
        spread: standard deviation of each activation between looks at one stored input beside
            others, mean over the inputs, with shape (p,); None where it is a function of the input.
        niches: whether samples are each for one unit of the neuron's layer, whose number from 0 is
            `parent`.
        units: activations of all units of the network's output, with shape (n, units), of samples
            that were taken for one of them, and for no range; None of others.
        question: the neurons and their ranges in words.
        medium: what the inputs are; None: unknown, so that nothing can draw them.
    """

    asked: int
    codes: Tensor
    inputs: Tensor
    activations: Tensor
    activations_before: Tensor
    scales: Scales | None
    encodings: Tensor
    step: Tensor
    parent: Tensor
    origin: Tensor
    origins: tuple[str, ...]
    row: Tensor
    ranges: list[list[tuple[float, float]]]
    cells: Tensor | None
    in_range: Tensor
    columns: tuple[Column, ...]
    status: Status
    best: Tensor
    steps: int
    meter: Meter
    seconds: float
    held: bool = True
    goal: str = "range"
    spread: Tensor | None = None
    niches: bool = False
    units: Tensor | None = None
    question: str = ""
    medium: Medium | None = None

    @property
    def images(self) -> Tensor:
        """The inputs, where they are pictures."""
        return self.inputs

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        told = f", {self.question}" if self.question else ""
        return f"Result({len(self)} of {self.asked} samples{told}, {self.status.value})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return result_html.html_of(self)

    def picture(self, count: int = 30) -> Image.Image:
        """The first samples, `count` at most, in one picture; of a ladder its rows."""
        return result_html.picture_of(self, count)

    def show(self) -> None:
        """Show the samples in a notebook, or elsewhere in the browser.

        Raises:
            InvsetError: no browser opens; the message names the page.
        """
        result_html.show(self)

    def save(self, folder: str | Path) -> None:
        """Write ``result.state``, ``result.html``, and the samples as files, into a folder that is
        new or empty: nothing is replaced.

        Raises:
            InvsetError: the folder holds something, or can't be written.
        """
        result_files.save(self, folder)

    @classmethod
    def load(cls, folder: str | Path, medium: Medium | None = None) -> Result:
        """Read what `save` wrote; it runs no code, and no wrong bit is taken.

        Args:
            folder: that `save` wrote.
            medium: what the inputs are, needed for a medium of your own alone.

        Raises:
            InvsetError: nothing was saved there, it is damaged, or of another version.
        """
        return result_files.load(cls, folder, medium)


@torch.no_grad()
@products("float32")
def finish(
    problem: Problem,
    region: Region,
    found: Found,
    batch_size: int = 64,
    progress: Progress = quiet,
) -> Result:
    """Make the inputs of a study's samples and measure them again, as they are saved; `progress` is
    told how many are done. Here alone results leave the device.
    """
    codes = region.decode(found.u.to(problem.network.device))
    inputs = []
    before = []
    after = []
    encodings = []
    scales = []
    for x, stored, (f, e, on_scales) in saved(problem, codes, batch_size):
        before.append(problem.look(x)[0].cpu())
        inputs.append(stored.cpu())
        after.append(f.cpu())
        encodings.append(e.cpu())
        scales.append(None if on_scales is None else on_cpu(on_scales))
        progress(sum(map(len, after)), len(codes))
    found = on_cpu(found)
    codes = codes.cpu()
    blank = problem.medium.store(problem.medium.blank()[:0].to(codes))
    none = codes.new_zeros(0, len(problem.neurons))
    f = torch.cat([none, *after])
    f_before = torch.cat([none, *before])
    if found.goal != "range":
        found = replace(found, ranges=[spanned(f, found.best_f)])
    inside = _inside(found, f)
    # where the network saw unrounded inputs, what rounding took out of the ranges is not kept
    stays = inside | ~_inside(found, f_before) if not problem.made.eight_bit else inside | True
    stored = (torch.cat(inputs) if inputs else blank)[stays]
    return Result(
        asked=found.asked,
        codes=codes[stays],
        inputs=stored,
        activations=f[stays],
        activations_before=f_before[stays],
        scales=_joined(scales, stays),
        encodings=(torch.cat(encodings) if encodings else found.e)[stays],
        step=found.step[stays],
        parent=found.parent[stays],
        origin=found.origin[stays],
        origins=found.origins,
        row=found.row[stays],
        ranges=found.ranges,
        cells=_renumbered(found.cells, stays),
        in_range=inside[stays],
        columns=found.columns,
        # a sampler that knows no range may keep all it was asked for outside of it
        status=_status(found.status, inside[stays]),
        best=found.best_f,
        steps=found.steps,
        meter=found.meter,
        seconds=found.seconds,
        held=found.held,
        goal=found.goal,
        spread=_spread(problem, stored, batch_size) if problem.stochastic else None,
        niches=found.niches,
        units=_units(problem, found, stored, batch_size),
        question=problem.question,
        medium=problem.medium,
    )


def _units(problem: Problem, found: Found, stored: Tensor, batch_size: int) -> Tensor | None:
    """See `Result.units`."""
    asked = {neuron.layer for neuron in problem.neurons}
    ranged = found.goal == "range" and not found.niches
    if ranged or asked != {problem.network.output} or problem.layer() is None or not len(stored):
        return None
    parts = stored.split(problem.portions.at_a_time(batch_size))
    restored = (problem.medium.restore(part.to(problem.network.device)) for part in parts)
    return torch.cat([problem.readout.units(x)[0].cpu() for x in restored])


def _spread(problem: Problem, stored: Tensor, batch_size: int) -> Tensor | None:
    """See `Result.spread`: in every look an input is beside others."""
    if not len(stored):
        return None
    rng = torch.Generator().manual_seed(0)
    part = min(problem.portions.at_a_time(batch_size), -(-len(stored) // 2))
    looks = []
    for _ in range(LOOKS):
        order = torch.randperm(len(stored), generator=rng)
        parts = stored[order].to(problem.network.device).split(part)
        f = torch.cat([problem.look(problem.medium.restore(some))[0] for some in parts])
        looks.append(f.cpu()[order.argsort()])
    return torch.stack(looks).std(0).mean(0)


def _joined(parts: list[Scales | None], stays: Tensor) -> Scales | None:
    """The scales of all batches; None where there are none."""
    held = [part for part in parts if part is not None]
    if not held:
        return None
    views = torch.cat([part.views for part in held])
    return Scales(views[stays], torch.cat([part.whole for part in held])[stays])


def _inside(found: Found, f: Tensor) -> Tensor:
    """Which activations, with shape (n, p), lie in the ranges of their row, with shape (n,)."""
    ends = torch.tensor(found.ranges, dtype=torch.float64)[found.row].to(f)
    return ((f >= ends[..., 0]) & (f <= ends[..., 1])).all(1)


def spanned(f: Tensor, best: Tensor) -> list[tuple[float, float]]:
    """The smallest and the largest activation of each neuron, a little farther apart where float32
    could not tell them apart.

    Args:
        f: activations of the samples, with shape (n, p).
        best: those that came closest to the goal, with shape (p,): of no samples.
    """
    ends = f.aminmax(dim=0) if len(f) else (best.nan_to_num(), best.nan_to_num())
    pairs = zip(ends[0].tolist(), ends[1].tolist(), strict=True)
    return [_apart(low, high) for low, high in pairs]


def _apart(low: float, high: float) -> tuple[float, float]:
    least = smallest_width(low, high)
    return (low, high) if high - low >= least else (low - least, high + least)


def _renumbered(cells: Tensor | None, stays: Tensor) -> Tensor | None:
    """The grid after some samples went."""
    if cells is None or not len(stays):
        return cells
    number = torch.where(stays, stays.long().cumsum(0) - 1, -1)
    return torch.where(cells >= 0, number[cells.clamp_min(0)], -1)


def _status(status: Status, inside: Tensor) -> Status:
    return Status.UNREACHABLE if status is Status.REACHED and not inside.any() else status

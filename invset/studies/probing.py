"""What real images, random codes, short ascent and descent bring neurons to, as far as time allows.

Each part gets of what may be spent the share that its cost has in what is still to be done, and is
begun in any case. Ascents begin at a few codes at a time, each few of which are taken through all
steps, so that what there is when time is up are whole ascents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from invset.analysis.reference import Reference
from invset.core.reach import Reach, reach
from invset.core.space import Region
from invset.files.medium import Medium
from invset.problem.problem import Problem
from invset.studies.probed import AGAIN, DOWN, RANDOM, REAL, UP, WHOLE, Populations
from invset.studies.spending import FORWARD, Spending

Seen = TypeVar("Seen")

#: Images, or codes, in one pass.
_BATCH = 32

#: Codes that are walked up and down together.
_FEW = 4


@dataclass(frozen=True)
class Probing:
    """How neurons are probed.

    Attributes:
        codes: codes drawn, and real images that are encoded and made again, at most.
        starts: codes that ascent and descent begin at; 0: none.
        steps: of each.
        length: of a step; see `invset.core.reach`.
        code_steps: that may be spent; None: what `codes`, `starts` and `steps` take.
        seconds: that may be spent; None: no limit.
    """

    codes: int
    starts: int
    steps: int
    length: float
    code_steps: float | None
    seconds: float | None

    def spending(self, problem: Problem, images: int) -> Spending:
        """To count with, for so many real images that are looked at."""
        again = min(self.codes, images) if takes_encodings(problem) else 0
        looks = FORWARD * (images + again + self.codes)
        planned = looks + self.walks * len(problem.neurons)
        return Spending(planned, self.code_steps, self.seconds)

    @property
    def walks(self) -> float:
        """Code-steps of the ascents and descents for one neuron."""
        return 2 * self.starts * (self.steps + FORWARD)


@dataclass(frozen=True)
class Walks:
    """Ascents and descents of one neuron.

    Attributes:
        lowest, highest: activation of each, with shape (B,), on the CPU.
        steps: of the longest.
    """

    lowest: Tensor
    highest: Tensor
    steps: int


def takes_encodings(problem: Problem) -> bool:
    """Whether the generator may make images of their encodings; their length tells in the end."""
    return problem.generator.start is None


def probe(
    problem: Problem,
    region: Region,
    rng: torch.Generator,
    probing: Probing,
    spending: Spending,
    real: list[Populations],
) -> list[tuple[Populations, int]]:
    """Look at random codes, and walk up and down from some of them.

    Args:
        problem: the neurons.
        region: where codes may lie.
        rng: of the codes.
        probing: how.
        spending: counts, and says when to end.
        real: of each neuron what is known already, of real images.

    Returns:
        Of each neuron what was looked at, and the steps of its longest walk.
    """
    u = region.sample(max(probing.codes, probing.starts), rng)
    walks = probing.walks * len(problem.neurons)
    looks = FORWARD * probing.codes
    spending.begin(RANDOM)
    mark = spending.part(looks / (looks + walks))
    drawn = made(problem, region, u[: probing.codes], spending, mark)
    found = []
    for j, rows in enumerate(real):
        rows = {**rows, RANDOM: drawn[:, j]}
        walked = 0
        if probing.starts:
            spending.begin(f"up and down from codes, {problem.names[j]}")
            mark = spending.part(1 / (len(real) - j))
            walks_of = _walk(problem, region, u[: probing.starts], j, probing, spending, mark)
            rows |= {DOWN: walks_of.lowest, UP: walks_of.highest}
            walked = walks_of.steps
        found.append((rows, walked))
    return found


def _walk(
    problem: Problem,
    region: Region,
    u: Tensor,
    j: int,
    probing: Probing,
    spending: Spending,
    mark: float,
) -> Walks:
    """Up and down from a few codes after the other, until `mark`."""

    def f(u: Tensor) -> Tensor:
        return problem.evaluate(region.decode(u))[0][:, j]

    def on_step(count: int) -> bool:
        spending.spend(count)
        # another step, and the look at the end
        return spending.goes_on(mark, (1 + FORWARD) * spending.step)

    found: list[Reach] = []
    took = 0.0
    for some in u.split(_FEW):
        # only as many as can be taken through all steps, the first in any case
        if found and not spending.goes_on(mark, took):
            break
        before = spending.used
        found.append(reach(f, region, some, probing.steps, probing.length, on_step))
        spending.spend(FORWARD * 2 * len(some))
        took = spending.used - before
    lowest = torch.cat([one.lowest for one in found]).cpu()
    highest = torch.cat([one.highest for one in found]).cpu()
    return Walks(lowest, highest, max(one.steps for one in found))


@torch.no_grad()
def of_inputs(
    problem: Problem,
    region: Region,
    medium: Medium,
    inputs: Tensor,
    probing: Probing,
    spending: Spending,
) -> list[Populations]:
    """Of each neuron, activations of inputs in their stored form, and of what the generator makes
    of their encodings where those are codes.
    """
    device = problem.network.device
    later = probing.walks * len(problem.neurons)
    images = FORWARD * len(inputs)
    spending.begin(f"{medium.noun}s")
    mark = spending.part(images / (images + 2 * FORWARD * probing.codes + later))
    parts = -(-len(inputs) // _BATCH)
    # each part is evenly spread over the whole, so that those that time allows are, too
    spread = [inputs[number::parts] for number in range(parts)]
    looked = until(
        lambda part: problem.measure(medium.restore(part.to(device))), spread, spending, mark
    )
    f = torch.cat([one[0] for one in looked])
    e = torch.cat([one[1] for one in looked])
    populations = [{REAL: column} for column in f.cpu().T]
    scales = [one[2] for one in looked if one[2] is not None]
    for j, rows in enumerate(populations):
        if scales:
            rows[WHOLE] = torch.cat([one.whole[:, j] for one in scales]).cpu()
    if e.shape[1] == problem.generator.code_dim and takes_encodings(problem):
        chosen = torch.linspace(0, len(e) - 1, min(probing.codes, len(e))).round().long()
        u = region.project(region.encode(e[chosen.to(e.device)]))
        spending.begin(AGAIN)
        looks = FORWARD * len(u)
        mark = spending.part(looks / (looks + FORWARD * probing.codes + later))
        again = made(problem, region, u, spending, mark)
        for rows, column in zip(populations, again.T, strict=True):
            rows[AGAIN] = column
    return populations


def of_reference(problem: Problem, reference: Reference | None) -> list[Populations]:
    """Of each neuron, activations that a reference holds image by image: of units, and of channels
    at the centre.
    """
    populations: list[Populations] = []
    for neuron, place, centre in zip(problem.neurons, problem.places, problem.centred, strict=True):
        if reference is None or not reference.knows(neuron.layer) or not centre:
            populations.append({})
            continue
        known = {REAL: reference.activations, WHOLE: reference.whole}
        there = replace(place, at=())
        populations.append(
            {
                row: there.read(held[neuron.layer].to(problem.network.device)).cpu()
                for row, held in known.items()
                if neuron.layer in held
            }
        )
    return populations


@torch.no_grad()
def made(problem: Problem, region: Region, u: Tensor, spending: Spending, mark: float) -> Tensor:
    """Activations of the images of coordinates, with shape (N, p), on the CPU; of the first of them
    where `mark` comes before the last.
    """
    looked = until(
        lambda part: problem.evaluate(region.decode(part)), list(u.split(_BATCH)), spending, mark
    )
    return torch.cat([f for f, _ in looked]).cpu()


def until(
    look: Callable[[Tensor], Seen],
    parts: list[Tensor],
    spending: Spending,
    mark: float,
) -> list[Seen]:
    """What one part after the other gives, until `mark`; at least of the first."""
    looked: list[Seen] = []
    for part in parts:
        if looked and not spending.goes_on(mark):
            break
        looked.append(look(part))
        spending.spend(FORWARD * len(part))
    return looked

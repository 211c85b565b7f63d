"""What real images, random codes, short ascent and descent bring neurons to, and which range that
suggests.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from invset.analysis.reference import Reference
from invset.core.reach import LEVELS, Reach, percentiles, reach, rounded
from invset.core.space import Region
from invset.files.medium import Medium
from invset.problem.neuron import read
from invset.problem.problem import Problem

#: What `LEVELS` are called.
COLUMNS = tuple(f"p{100 * level:g}" for level in LEVELS)

#: What is looked at.
REAL = "real images"
AGAIN = "real images, G(E(x))"
RANDOM = "random codes"
DOWN = "after descent"
UP = "after ascent"

#: Fewest images that suggest a range for a neuron that nearly all leave silent.
_FEW = 10

#: Images, or codes that are walked up and down, in one pass.
_BATCH = 32

#: What was looked at -> activations of one neuron, with shape (N,), on the CPU.
Populations = dict[str, Tensor]


@dataclass(frozen=True)
class Probing:
    """How neurons are probed.

    Attributes:
        codes: codes drawn, and real images that are encoded and made again, at most.
        starts: codes that ascent and descent begin at.
        steps: of each.
        length: of a step; see `invset.core.reach`.
        progress: show bars.
    """

    codes: int
    starts: int
    steps: int
    length: float
    progress: bool


@dataclass(frozen=True)
class Probed:
    """What is known of one neuron, raw activation units.

    Attributes:
        name: for example "fc8:8 horse".
        counts: what was looked at -> how many.
        levels: what was looked at -> activations at `LEVELS`.
        of: which of them the range is taken from, in words.
        low, high: its ends.
        suggested: the same, rounded; None if there is no range.
        reachable: from the lowest to the highest that was reached, rounded; None if nothing moves.
    """

    name: str
    counts: dict[str, int]
    levels: dict[str, list[float]]
    of: str
    low: float
    high: float
    suggested: tuple[float, float] | None
    reachable: tuple[float, float] | None

    @classmethod
    def of_populations(cls, name: str, rows: Populations) -> Probed:
        """Summarise what was looked at."""
        levels: dict[str, list[float]] = {row: percentiles(f).tolist() for row, f in rows.items()}
        source = REAL if REAL in rows else RANDOM
        of, low, high = excited(rows[source], source)
        return cls(
            name,
            {row: len(f) for row, f in rows.items()},
            levels,
            of,
            low,
            high,
            rounded(low, high),
            rounded(levels[DOWN][0], levels[UP][-1]),
        )


def probe(
    problem: Problem,
    region: Region,
    rng: torch.Generator,
    probing: Probing,
    real: list[Populations],
) -> list[Populations]:
    """Look at random codes, and walk up and down from some of them.

    Args:
        problem: the neurons.
        region: where codes may lie.
        rng: of the codes.
        probing: how.
        real: of each neuron what is known already, of real images.
    """
    u = region.sample(max(probing.codes, probing.starts), rng)
    drawn = made(problem, region, u[: probing.codes])
    starts = u[: probing.starts]
    bar = tqdm(
        total=2 * probing.starts * probing.steps * len(problem.neurons),
        desc="ascent and descent",
        unit="code-step",
        delay=1,
        leave=False,
        disable=not probing.progress,
    )
    populations = []
    with bar:
        for j, rows in enumerate(real):
            parts = [
                _reach(problem, region, some, j, probing, bar) for some in starts.split(_BATCH // 2)
            ]
            down = torch.cat([part.lowest for part in parts]).cpu()
            up = torch.cat([part.highest for part in parts]).cpu()
            populations.append({**rows, RANDOM: drawn[:, j], DOWN: down, UP: up})
    return populations


def _reach(
    problem: Problem, region: Region, u: Tensor, j: int, probing: Probing, bar: tqdm
) -> Reach:
    return reach(
        lambda u: problem.evaluate(region.decode(u))[0][:, j],
        region,
        u,
        probing.steps,
        probing.length,
        bar.update,
    )


@torch.no_grad()
def of_inputs(
    problem: Problem, region: Region, medium: Medium, inputs: Tensor, probing: Probing
) -> list[Populations]:
    """Of each neuron, activations of inputs in their stored form, and of what the generator makes
    of their encodings where those are codes.
    """
    batches = tqdm(
        inputs.split(_BATCH),
        desc=f"real {medium.noun}s",
        unit="batch",
        delay=1,
        leave=False,
        disable=not probing.progress,
    )
    device = problem.network.device
    looked = [problem.look(medium.restore(batch.to(device))) for batch in batches]
    f, e = (torch.cat(parts) for parts in zip(*looked, strict=True))
    populations = [{REAL: column} for column in f.cpu().T]
    if e.shape[1] == problem.generator.code_dim and problem.generator.start is None:
        chosen = torch.linspace(0, len(e) - 1, min(probing.codes, len(e))).round().long()
        again = made(problem, region, region.project(region.encode(e[chosen.to(e.device)])))
        for rows, column in zip(populations, again.T, strict=True):
            rows[AGAIN] = column
    return populations


def of_reference(problem: Problem, reference: Reference | None) -> list[Populations]:
    """Of each neuron, activations that a reference holds image by image: of units, and of channels
    at the centre.
    """
    populations: list[Populations] = []
    for neuron, index, centre in zip(
        problem.neurons, problem.indices, problem.centred, strict=True
    ):
        if reference is None or not reference.knows(neuron.layer) or not centre:
            populations.append({})
            continue
        f = reference.activations[neuron.layer]
        populations.append({REAL: read(f, (), index, neuron.direction)})
    return populations


@torch.no_grad()
def made(problem: Problem, region: Region, u: Tensor) -> Tensor:
    """Activations of the images of some coordinates, with shape (N, p), on the CPU."""
    return torch.cat([problem.evaluate(region.decode(part))[0] for part in u.split(_BATCH)]).cpu()


def excited(f: Tensor, source: str) -> tuple[str, float, float]:
    """Which activations are suggested, in words and by their ends, of values with shape (N,)."""
    moved = f[f > f.min()]
    q = dict(zip(COLUMNS, percentiles(f).tolist(), strict=True))
    if q["p90"] > q["p0"] or len(moved) < _FEW:
        return f"p90 … p99 of {source}", q["p90"], q["p99"]
    # behind a ReLU that is silent for nearly all, p90 would be 0, and so would what is sampled
    some = dict(zip(COLUMNS, percentiles(moved).tolist(), strict=True))
    return (
        f"p10 … p99 of the {len(moved)} of {len(f)} {source} that move it from {q['p0']:.4g}",
        some["p10"],
        some["p99"],
    )

"""``samples.png`` and the animations of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from invset.analysis.selection import spread
from invset.files.rundir import RunDir
from invset.problem.problem import Problem
from invset.report.animation import has_encoder, save_gif, save_mp4
from invset.report.grid import SIDE, enlarge, grid_shape, label_grid

if TYPE_CHECKING:
    from invset.problem.result import Result

#: Most samples of a sheet, where they form no grid.
MOST = 100

#: Most samples whose pictures are shown in their own size, and the longest side of these.
FEW = 40
_LARGE = 320

#: Most letters of a legend below a grid.
_LEGEND = 200

Row = tuple[str, Tensor, list[str]]


def write_sheet(
    rundir: RunDir, problem: Problem, found: Result, inside: int, animation: bool
) -> None:
    """Write the pictures of at least one sample.

    Args:
        rundir: where to.
        problem: the neurons.
        found: the samples.
        inside: how many of them are in range.
        animation: whether to write the animations, too.
    """
    images = problem.medium.pictures(found.inputs)
    side = problem.medium.cell or _side(found, images)
    captions = _captions(problem, found)
    title = f"{problem.network.name}  {_title(problem, found, inside)}"
    if found.cells is not None and len(found.ranges) > 1:
        rows = _grid(found, found.cells, images, captions)
    else:
        rows = _from_low_to_high(found, images, captions, side)
    sheet = label_grid(rows, title, side, _footer(problem, found))
    rundir.write("samples.png", sheet.save)
    if animation and len(found) > 1:
        rundir.write("animation.gif", lambda path: save_gif(path, images, captions))
        if has_encoder():
            rundir.write("animation.mp4", lambda path: save_mp4(path, images, captions))


def _captions(problem: Problem, found: Result) -> list[str]:
    """Activations, or of samples that are for units of the output these and their probabilities."""
    if not found.niches or found.units is None:
        return [" ".join(f"{v:.2f}" for v in row) for row in found.activations.tolist()]
    p = found.units.double().softmax(1).gather(1, found.parent.unsqueeze(1)).squeeze(1)
    names = problem.network.labels
    pairs = zip(found.parent.tolist(), p.tolist(), strict=True)
    return [
        f"{unit + 1 if names is None else names[unit].split(',')[0]} {share:.1%}"
        for unit, share in pairs
    ]


def _side(found: Result, images: Tensor) -> int:
    """Side of a cell in pixels: large pictures are shown as they are where there are few."""
    few = len(found) <= FEW and (found.cells is None or found.cells.shape[1] <= FEW // 4)
    return max(SIDE, *images.shape[-2:]) if few and max(images.shape[-2:]) <= _LARGE else SIDE


def _title(problem: Problem, found: Result, inside: int) -> str:
    if found.cells is not None and len(found.ranges) > 1:
        return f"{problem.names[0]}: the same codes (columns) at rising activation (rows, upwards)"
    if found.niches:
        return f"{len(found)} elites, each for a unit of {problem.neurons[0].layer}"
    some = "" if inside == len(found) else f", {inside} of them in range"
    goal = "" if found.goal == "range" else f", goal={found.goal}"
    return f"{problem.question}{goal}: {len(found)} samples{some}, from low to high"


def _footer(problem: Problem, found: Result) -> str:
    measured = (
        f"saved {problem.medium.saved}"
        if problem.generator.display is None
        else "8-bit image that the network sees, not on this display of it"
    )
    if found.niches and found.units is not None:
        return f"below each {problem.medium.noun}: the unit that it is for, and its probability"
    what = (
        "activation"
        if len(problem.names) == 1
        else f"activations of {' and '.join(problem.names)}, in this order,"
    )
    about = f"below each {problem.medium.noun}: {what} as measured on the {measured}"
    # more would be wider than the grid; the page has all of it
    legend = problem.medium.legend
    return f"{about}; {legend}" if 0 < len(legend) <= _LEGEND else about


def _grid(found: Result, cells: Tensor, images: Tensor, captions: list[str]) -> list[Row]:
    """A row for each row of ranges, the last one on top."""
    rows = []
    for ranges, numbers in zip(found.ranges, cells.tolist(), strict=True):
        texts = [captions[c] if c >= 0 else "" for c in numbers]
        label = "\n".join(f"[{z1:g}, {z2:g}]" for z1, z2 in ranges)
        rows.append((label, images[[max(c, 0) for c in numbers]], texts))
    return rows[::-1]


def _from_low_to_high(found: Result, images: Tensor, captions: list[str], side: int) -> list[Row]:
    # elites in the order of their units
    by = found.parent if found.niches else found.activations[:, 0]
    index = spread(by.numpy(), MOST)
    _, columns = grid_shape(len(index), enlarge(images[0], side).width)
    parts = [index[i : i + columns] for i in range(0, len(index), columns)]
    return [("", images[part], [captions[i] for i in part]) for part in parts]

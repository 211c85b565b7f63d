"""Samplers in two figures at once, and those that no other one beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from invset.analysis.record import Figure
from invset.report.drawing import (
    ACCENT,
    FAINT,
    INK,
    SECOND,
    STYLE,
    figure_of,
    plain_numbers,
    svg_of,
)

#: Largest over smallest number from which on an axis is logarithmic.
_WIDE = 30

#: Where the name of a point is tried, in points from it: right, left, above, below, and between.
_AROUND = ((7, 0), (-7, 0), (0, 9), (0, -9), (7, 8), (7, -8), (-7, 8), (-7, -8), (0, 18), (0, -18))

#: Left, low, right and high end, in pixels.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Point:
    """A sampler.

    Attributes:
        name: of the sampler.
        x, y: means over its runs.
        dx, dy: standard deviations.
    """

    name: str
    x: float
    y: float
    dx: float
    dy: float


def front(points: Sequence[Point], x: Figure, y: Figure) -> list[int]:
    """Places of the points that no other one beats: it is as good in both figures, and better in
    one.
    """
    signs = [-1 if one.good == "low" else 1 for one in (x, y)]
    scores = np.array([[signs[0] * one.x, signs[1] * one.y] for one in points]).reshape(-1, 2)
    beaten = [((scores >= own).all(1) & (scores > own).any(1)).any() for own in scores]
    return [place for place, lost in enumerate(beaten) if not lost]


def pareto(points: Sequence[Point], x: Figure, y: Figure) -> str:
    """A chart as inline SVG: means with standard deviations, the front in the page's colour."""
    best = front(points, x, y)
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(6.4, 4.0, left=0.125, right=0.06)
        for scale, values in ((axes.set_xscale, "x"), (axes.set_yscale, "y")):
            numbers = [getattr(one, values) for one in points]
            if min(numbers) > 0 and max(numbers) > _WIDE * min(numbers):
                scale("log")
                plain_numbers(getattr(axes, f"{values}axis"))
        for place, one in enumerate(points):
            colour = ACCENT if place in best else SECOND
            axes.errorbar(
                one.x, one.y, one.dy, one.dx, fmt="o", color=colour, ecolor=SECOND, elinewidth=0.7
            )
        axes.margins(0.12)
        for axis, about in ((axes.xaxis, x), (axes.yaxis, y)):
            unit = f" ({about.unit})" if about.unit else ""
            axis.set_label_text(f"{about.title}{unit}: {_better(about)}")
            if about.form.endswith("%"):
                axis.set_major_formatter(PercentFormatter(1, decimals=0))
        figure.draw_without_rendering()  # lays the axes out, so that places are final
        _names(axes, points, best)
        return svg_of(figure, _told(points, x, y, best))


def _better(one: Figure) -> str:
    return "low is good" if one.good == "low" else "high is good"


def _names(axes: Axes, points: Sequence[Point], best: Sequence[int]) -> None:
    """Write names inside of the axes, where they cover neither a point nor another name, as far as
    there is room.
    """
    dots = axes.transData.transform([(one.x, one.y) for one in points])
    unit = axes.figure.dpi / 72
    taken: list[Box] = [(x - 4 * unit, y - 4 * unit, x + 4 * unit, y + 4 * unit) for x, y in dots]
    left, low, right, high = map(float, axes.get_window_extent().extents)
    frame: Box = (left, low, right, high)
    for place, one in enumerate(points):
        width, height = 5.9 * unit * len(one.name), 9 * unit
        tried: list[tuple[float, int, Box]] = []
        for aside, up in _AROUND:
            left = dots[place, 0] + unit * aside - width * (0.5 if not aside else aside < 0)
            low = dots[place, 1] + unit * up - height / 2
            box = (left, low, left + width, low + height)
            covered = sum(_overlap(box, other) for other in taken)
            outside = width * height - _overlap(box, frame)
            tried.append((covered + outside, len(tried), box))
        _, _, box = min(tried)
        taken.append(box)
        axes.annotate(
            one.name,
            (one.x, one.y),
            # as the chart's dots an inch are the file's to choose
            ((box[0] - dots[place, 0]) / unit, (box[1] - dots[place, 1]) / unit + 2),
            textcoords="offset points",
            fontsize=9,
            color=INK if place in best else FAINT,
            annotation_clip=False,
        )


def _overlap(one: Box, other: Box) -> float:
    """Area that two boxes (left, low, right, high) share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _told(points: Sequence[Point], x: Figure, y: Figure, best: Sequence[int]) -> str:
    each = "; ".join(f"{one.name} {x.text(one.x)}, {y.text(one.y)}" for one in points)
    names = ", ".join(points[place].name for place in best)
    return f"samplers by {x.title} and {y.title}: {each}. None beats {names} in both"

"""Charts of a run's page as inline SVG: see `invset.report.drawing`."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from invset.report.drawing import (
    ACCENT,
    BAND,
    FAINT,
    SECOND,
    STYLE,
    figure_of,
    plain_numbers,
    svg_of,
)
from invset.terminal import one_line

#: Columns of ``optimization.csv`` that have the activations of the codes in flight.
_ACTIVATIONS = re.compile(r"f\d*_(min|mean|max)")


@dataclass(frozen=True)
class Map:
    """A chart to lay pictures over.

    Attributes:
        svg: the axes and points.
        width, height: of the chart, in inches.
        places: of each point, as shares of the chart's width and height from its left upper corner,
            with shape (n, 2).
    """

    svg: str
    width: float
    height: float
    places: np.ndarray


def histogram(
    values: np.ndarray,
    ranges: Sequence[tuple[float, float]],
    label: str,
    width: float = 6.4,
    height: float = 2.4,
) -> str:
    """Histogram of activations, with the range or ranges as bands."""
    low = min(values.min(), *(r[0] for r in ranges))
    high = max(values.max(), *(r[1] for r in ranges))
    margin = 0.04 * (high - low)
    if len(ranges) == 1:
        bins = np.linspace(low, high, min(40, max(10, round(2 * len(values) ** 0.5))) + 1)
    else:  # a ladder's: no bin lies across the end of a range
        bins = np.unique(np.r_[low, np.concatenate([np.linspace(*r, 6) for r in ranges]), high])
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(width, height)
        for z1, z2 in ranges:
            axes.axvspan(z1, z2, color=BAND, linewidth=0)
        axes.hist(values, bins.tolist(), color=ACCENT, rwidth=0.92)
        axes.set_xlim(low - margin, high + margin)
        axes.set_xlabel(f"activation of {one_line(label, 60)}")
        axes.set_ylabel("samples")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return svg_of(
            figure,
            f"histogram of the activations of {label}: {len(values)} samples from"
            f" {values.min():.4g} to {values.max():.4g}",
        )


def small_histogram(values: np.ndarray, low: float, high: float, title: str) -> str:
    """Histogram of a group's activations, on the axis that all groups share."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(2.4, 1.0, left=0.1, right=0.1, bottom=0.28, top=0.05)
        axes.hist(values, np.linspace(low, high, 17).tolist(), color=ACCENT, rwidth=0.9)
        axes.set_xlim(low, high)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        return svg_of(
            figure, f"histogram of activations of {title}: {values.min():.4g} to {values.max():.4g}"
        )


def optimisation(
    curves: Mapping[str, np.ndarray],
    titles: Mapping[str, str],
    ranges: Sequence[Sequence[tuple[float, float]]],
    names: Sequence[str],
) -> list[str]:
    """Charts over the gradient steps: activations against the range, then the other columns that
    change.

    Args:
        curves: columns of ``optimization.csv``.
        titles: of the columns; those that begin with the same words and a colon share a chart.
        ranges: of each neuron, one or several.
        names: of the neurons, each of which has a chart.
    """
    step = curves["step"]
    other = [
        name
        for name, values in curves.items()
        if name != "step" and not _ACTIVATIONS.fullmatch(name) and _changes(values)
    ]
    panels: dict[str, dict[str, np.ndarray]] = {}
    for name in other:
        what, _, line = titles[name].rpartition(": ")
        panels.setdefault(what or line, {})[line] = curves[name]
    with matplotlib.rc_context(STYLE):
        charts = [
            _activations(curves, j if len(names) > 1 else None, name, bands)
            for j, (name, bands) in enumerate(zip(names, ranges, strict=True), start=1)
        ]
        return charts + [_panel(step, drawn, what) for what, drawn in panels.items()]


def _changes(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return len(known) > 0 and bool(np.ptp(known))


def _activations(
    curves: Mapping[str, np.ndarray],
    neuron: int | None,
    name: str,
    bands: Sequence[tuple[float, float]],
) -> str:
    """Smallest, mean and largest activation of a neuron; `neuron` is its number among several."""
    step = curves["step"]
    prefix = "f" if neuron is None else f"f{neuron}"
    low, mean, high = (curves[f"{prefix}_{what}"] for what in ("min", "mean", "max"))
    figure, axes = figure_of(6.4, 2.6)
    for z1, z2 in bands:
        axes.axhspan(z1, z2, color=BAND, linewidth=0)
    axes.fill_between(step, low, high, color=SECOND, alpha=0.25, linewidth=0)
    _lines(axes, step, [("min", low, SECOND), ("mean", mean, ACCENT), ("max", high, SECOND)])
    axes.set_ylabel("activation" if neuron is None else f"activation of\n{one_line(name, 40)}")
    axes.set_xlabel("gradient step")
    return svg_of(
        figure,
        f"smallest, mean and largest activation of {name} of the codes in flight over the gradient"
        " steps",
    )


def _panel(step: np.ndarray, drawn: Mapping[str, np.ndarray], title: str) -> str:
    """Lines with one axis; more than a factor of 100 is drawn on a logarithmic one."""
    figure, axes = figure_of(6.4, 2.0)
    known = np.concatenate([values[np.isfinite(values)] for values in drawn.values()])
    if known.min() >= 0 and known.max() > 100 and known.max() > 100 * np.median(known):
        axes.set_yscale("symlog", linthresh=1)
        plain_numbers(axes.yaxis)
    elif (known == known.round()).all():
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    colours = itertools.cycle((ACCENT, SECOND, FAINT))
    lines = zip(drawn.items(), colours, strict=False)
    # the line of a chart with one needs no name: the axis has it
    named = [(text if len(drawn) > 1 else "", y, colour) for (text, y), colour in lines]
    _lines(axes, step, named)
    only = next(iter(drawn)) if len(drawn) == 1 else title
    axes.set_ylabel(textwrap.fill(title if only == title else f"{title}: {only}", 18))
    axes.set_xlabel("gradient step")
    return svg_of(figure, f"{' and '.join(drawn)} over the gradient steps")


def _lines(axes: Axes, x: np.ndarray, lines: Sequence[tuple[str, np.ndarray, str]]) -> None:
    """Lines with their names at their ends, in place of a legend: (name, y, colour) each."""
    lines = [line for line in lines if np.isfinite(line[1]).any()]
    for _, y, colour in lines:
        axes.plot(
            x, y, color=colour, linewidth=1.4, marker="o" if len(x) == 1 else None, markersize=3
        )
    axes.set_xlim(x[0] - 0.5, x[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    height = axes.transAxes.inverted().transform(
        axes.transData.transform([(x[-1], y[np.isfinite(y)][-1]) for _, y, _ in lines])
    )[:, 1]
    gap = (
        0.25 * 72 / axes.get_window_extent().height
    )  # a line of text, in heights of the axes; SVG has 72 dots an inch
    place = -np.inf
    for i in np.argsort(height, kind="stable"):  # from below; names that would overlap move up
        name, _, colour = lines[i]
        place = max(height[i], place + gap)
        axes.text(
            1.015, place, name, transform=axes.transAxes, va="center", color=colour, fontsize=9
        )


def encodings_map(points: np.ndarray, explained: tuple[float, float], encoder: str) -> Map:
    """Points, with shape (n, 2), on equal axes with the share of the variance that each
    explains.
    """
    spread = np.ptp(points, axis=0)
    ratio = float(np.clip(spread[1] / max(spread[0], 1e-12), 0.45, 1.0))
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(
            9.0,
            9.0 * ratio + 0.6,
            left=0.07,
            right=0.02,
            bottom=0.55 / (9.0 * ratio + 0.6),
            top=0.02,
        )
        axes.scatter(points[:, 0], points[:, 1], s=9, color=SECOND, linewidth=0)
        axes.margins(0.06)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel(
            f"first principal component of {encoder} ({explained[0]:.0%} of the variance)"
        )
        axes.set_ylabel(f"second ({explained[1]:.0%})")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6))
        figure.draw_without_rendering()  # lays the axes out, so that places are final
        places = axes.transData.transform(points) / np.array(
            [figure.bbox.width, figure.bbox.height]
        )
        places[:, 1] = 1 - places[:, 1]
        width, height = figure.get_size_inches()
        return Map(
            svg_of(figure, f"map of {len(points)} encodings on two principal components"),
            width,
            height,
            places,
        )

"""Charts of a page as inline SVG by matplotlib; text stays text, and colours are the page's, so
that they follow dark and light.
"""

from __future__ import annotations

import hashlib
import html
import io
import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write a file

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from invset.files.font import any_letters
from invset.terminal import one_line

# colours that matplotlib draws with -> the page's
_INK, _FAINT, _ACCENT, _BAND, _SECOND = "#010101", "#020202", "#030303", "#040404", "#050505"
_COLOURS = {
    _INK: "var(--ink)",
    _FAINT: "var(--faint)",
    _ACCENT: "var(--accent)",
    _BAND: "var(--band)",
    _SECOND: "var(--second)",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "invset",  # the same chart, the same bytes
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), _FAINT),
    **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor", "axes.labelcolor"), _INK),
    **dict.fromkeys(("text.color", "axes.titlecolor"), _INK),
}
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
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(width, height)
        for z1, z2 in ranges:
            axes.axvspan(z1, z2, color=_BAND, linewidth=0)
        axes.hist(values, bins.tolist(), color=_ACCENT, rwidth=0.92)
        axes.set_xlim(low - margin, high + margin)
        axes.set_xlabel(f"activation of {one_line(label, 60)}")
        axes.set_ylabel("samples")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        return _svg(
            figure,
            f"histogram of the activations of {label}: {len(values)} samples from"
            f" {values.min():.4g} to {values.max():.4g}",
        )


def small_histogram(values: np.ndarray, low: float, high: float, title: str) -> str:
    """Histogram of a group's activations, on the axis that all groups share."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(2.4, 1.0, left=0.1, right=0.1, bottom=0.28, top=0.05)
        axes.hist(values, np.linspace(low, high, 17).tolist(), color=_ACCENT, rwidth=0.9)
        axes.set_xlim(low, high)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        return _svg(
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
    with matplotlib.rc_context(_STYLE):
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
    figure, axes = _figure(6.4, 2.6)
    for z1, z2 in bands:
        axes.axhspan(z1, z2, color=_BAND, linewidth=0)
    axes.fill_between(step, low, high, color=_SECOND, alpha=0.25, linewidth=0)
    _lines(axes, step, [("min", low, _SECOND), ("mean", mean, _ACCENT), ("max", high, _SECOND)])
    axes.set_ylabel("activation" if neuron is None else f"activation of\n{one_line(name, 40)}")
    axes.set_xlabel("gradient step")
    return _svg(
        figure,
        f"smallest, mean and largest activation of {name} of the codes in flight over the gradient"
        " steps",
    )


def _panel(step: np.ndarray, drawn: Mapping[str, np.ndarray], title: str) -> str:
    """Lines with one axis; more than a factor of 100 is drawn on a logarithmic one."""
    figure, axes = _figure(6.4, 2.0)
    known = np.concatenate([values[np.isfinite(values)] for values in drawn.values()])
    if known.min() >= 0 and known.max() > 100 and known.max() > 100 * np.median(known):
        axes.set_yscale("symlog", linthresh=1)
    elif (known == known.round()).all():
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    colours = itertools.cycle((_ACCENT, _SECOND, _FAINT))
    lines = zip(drawn.items(), colours, strict=False)
    # the line of a chart with one needs no name: the axis has it
    named = [(text if len(drawn) > 1 else "", y, colour) for (text, y), colour in lines]
    _lines(axes, step, named)
    only = next(iter(drawn)) if len(drawn) == 1 else title
    axes.set_ylabel(textwrap.fill(title if only == title else f"{title}: {only}", 18))
    axes.set_xlabel("gradient step")
    return _svg(figure, f"{' and '.join(drawn)} over the gradient steps")


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
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(
            9.0,
            9.0 * ratio + 0.6,
            left=0.07,
            right=0.02,
            bottom=0.55 / (9.0 * ratio + 0.6),
            top=0.02,
        )
        axes.scatter(points[:, 0], points[:, 1], s=9, color=_SECOND, linewidth=0)
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
            _svg(figure, f"map of {len(points)} encodings on their first two principal components"),
            width,
            height,
            places,
        )


def _figure(
    width: float,
    height: float,
    left: float = 0.105,
    right: float = 0.16,
    bottom: float | None = None,
    top: float = 0.06,
) -> tuple[Figure, Axes]:
    """A figure of inches; margins are shares of it."""
    figure = Figure(figsize=(width, height))
    figure.patch.set_visible(False)
    axes = figure.add_axes(
        (left, 0.48 / height if bottom is None else bottom, 1 - left - right, 0.0)
    )
    box = axes.get_position()
    axes.set_position((box.x0, box.y0, box.width, 1 - top - box.y0))
    axes.patch.set_visible(False)
    return figure, axes


def _svg(figure: Figure, alt: str) -> str:
    """Inline SVG with a text that says what it shows."""
    file = io.StringIO()
    alt = one_line(alt, 1000)
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with any_letters():
        figure.savefig(file, format="svg", metadata=nothing)
    svg = file.getvalue()
    svg = " ".join(svg[svg.index("<svg") :].split())
    # a page holds many charts: ids that nothing refers to are dropped, the others made unique
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    prefix = "c" + hashlib.sha256((alt + svg).encode()).hexdigest()[:8]
    svg = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\1{prefix}-", svg)
    for drawn, shown in _COLOURS.items():
        svg = svg.replace(drawn, shown)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)

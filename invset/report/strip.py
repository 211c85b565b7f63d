"""Quantile strips: activations of several populations on one axis, as text and as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write a file

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from invset.files.font import any_letters
from invset.studies.probed import AGAIN, COLUMNS, DOWN, RANDOM, REAL, UP, WHOLE
from invset.terminal import one_line

#: A row has its colour whatever else is known.
_COLOURS = {
    REAL: "#12324f",
    WHOLE: "#3f6f5f",
    AGAIN: "#1b6ca8",
    RANDOM: "#7a6bb0",
    DOWN: "#6b7280",
    UP: "#c2571a",
}
_WIDTH = 60  # of a strip in the terminal


@dataclass(frozen=True)
class Strip:
    """One neuron.

    Attributes:
        name: for example "fc8:8 horse".
        rows: what was looked at (`REAL` …) -> how many, and the activations at p0 … p100, in raw
            units.
        band: a range to point at, and what it is; None: none.
    """

    name: str
    rows: Mapping[str, tuple[int, Sequence[float]]]
    band: tuple[float, float] | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest activation of all rows."""
        return min(q[0] for _, q in self.rows.values()), max(q[-1] for _, q in self.rows.values())


def text(strip: Strip) -> list[str]:
    """A table of percentiles, and under it each row drawn on one scale, for a terminal of 100
    columns.
    """
    label = max(len(name) for name in strip.rows)
    lines = [
        f"{strip.name}, activation",
        f"  {'':<{label}}  {'count':>5}" + "".join(f"{c:>9}" for c in COLUMNS),
    ]
    digits = _digits(*strip.ends)
    for name, (count, q) in strip.rows.items():
        lines.append(f"  {name:<{label}}  {count:>5}" + "".join(f"{v:>9.{digits}f}" for v in q))
    low, high = strip.ends
    left = f"{low:.{digits}f}"
    right = f"{high:.{digits}f}"
    lines += ["", f"  {'':<{label}}  {left}{right:>{_WIDTH - len(left)}}"]
    lines += [f"  {name:<{label}}  {_drawn(q, low, high)}" for name, (_, q) in strip.rows.items()]
    lines.append(f"  {'':<{label}}  . p0 to p100   - p1 to p99   = p10 to p90   | p50")
    return lines


def _digits(low: float, high: float) -> int:
    """Decimals that tell apart a hundredth of the whole."""
    width = high - low
    return 2 if width < 50 and width >= 1 else 1 if width >= 50 else 4


def _drawn(q: Sequence[float], low: float, high: float) -> str:
    cells = [" "] * _WIDTH
    place = [round((v - low) / ((high - low) or 1) * (_WIDTH - 1)) for v in q]
    for mark, first, last in ((".", 0, 6), ("-", 1, 5), ("=", 2, 4), ("|", 3, 3)):
        for i in range(place[first], place[last] + 1):
            cells[i] = mark
    return "".join(cells).rstrip()


def plot(strips: Sequence[Strip], title: str, band: str, out: Path) -> None:
    """Draw neurons one under another, each with an axis of its own.

    Args:
        strips: at least one.
        title: above all of them.
        band: what the bands are.
        out: PNG to write.
    """
    with any_letters():
        lines = textwrap.fill(one_line(title, 400), 115)
        _draw(strips, lines, one_line(band, 90)).savefig(out)


def _draw(strips: Sequence[Strip], title: str, band: str) -> Figure:
    heights = [0.28 * len(strip.rows) + 0.75 for strip in strips]
    figure = Figure(figsize=(9.5, sum(heights) + 1.25), dpi=110, layout="constrained")
    axes = figure.subplots(len(strips), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[
        :, 0
    ]
    for axis, strip in zip(axes, strips, strict=True):
        _panel(axis, strip)
    axes[-1].set_xlabel("activation, in raw units of the layer")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    figure.legend(
        handles=_legend(band, any(strip.band for strip in strips)),
        loc="outside lower left",
        ncols=3,
        frameon=False,
        fontsize=8.5,
    )
    return figure


def _panel(axis: Axes, strip: Strip) -> None:
    for place, (name, (_, q)) in enumerate(strip.rows.items()):
        colour = _COLOURS[name]
        axis.plot([q[0], q[6]], [place, place], color=colour, lw=1, solid_capstyle="butt")
        axis.plot(
            [q[1], q[5]], [place, place], color=colour, lw=4, alpha=0.45, solid_capstyle="butt"
        )
        axis.plot(
            [q[2], q[4]], [place, place], color=colour, lw=10, alpha=0.75, solid_capstyle="butt"
        )
        axis.plot([q[3]], [place], marker="|", color="white", ms=11, mew=2.2)
        for end in (q[0], q[6]):
            axis.plot([end], [place], marker="|", color=colour, ms=5)
    if strip.band:
        axis.axvspan(*strip.band, color="#f2c94c", alpha=0.35, lw=0, zorder=0)
        axis.set_title(
            f"z1={strip.band[0]:g} z2={strip.band[1]:g}", loc="right", fontsize=9, color="#7a5c00"
        )
    axis.set_yticks(
        range(len(strip.rows)),
        [f"{name} ({count})" for name, (count, _) in strip.rows.items()],
        fontsize=9,
    )
    axis.set_ylim(len(strip.rows) - 0.4, -0.6)
    axis.set_title(one_line(strip.name, 80), loc="left", fontsize=10, fontweight="bold")
    axis.grid(axis="x", alpha=0.3)
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=9)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def _legend(band: str, banded: bool) -> list[Line2D | Patch]:
    ink = "#444444"
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=ink, lw=1, label="lowest to highest"),
        Line2D([], [], color=ink, lw=4, alpha=0.45, label="1 % to 99 %"),
        Line2D([], [], color=ink, lw=10, alpha=0.75, label="10 % to 90 %"),
        Line2D([], [], color=ink, lw=0, marker="|", ms=11, mew=2.2, label="median (white)"),
    ]
    return [*handles, Patch(color="#f2c94c", alpha=0.5, label=band)] if banded else handles

"""What charts of pages have alike: inline SVG by matplotlib; text stays text, and colours are the
page's, so that they follow dark and light.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed to write a file

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from invset.files.font import any_letters
from invset.terminal import one_line

#: Colours that matplotlib draws with -> the page's
INK, FAINT, ACCENT, BAND, SECOND = "#010101", "#020202", "#030303", "#040404", "#050505"
_COLOURS = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    ACCENT: "var(--accent)",
    BAND: "var(--band)",
    SECOND: "var(--second)",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "svg.hashsalt": "invset",  # the same chart, the same bytes
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), FAINT),
    **dict.fromkeys(("xtick.labelcolor", "ytick.labelcolor", "axes.labelcolor"), INK),
    **dict.fromkeys(("text.color", "axes.titlecolor"), INK),
}


def figure_of(
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


def plain_numbers(axis: Axis) -> None:
    """Let a logarithmic axis write its numbers without TeX, which `any_letters` leaves as it is."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def svg_of(figure: Figure, alt: str) -> str:
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

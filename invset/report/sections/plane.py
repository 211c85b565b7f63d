"""The map: samples where their encodings lie on the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from invset.report import charts
from invset.report.shown import Shown

#: Side of a picture on the map, as a share of its width.
_ICON = 0.055


def section(shown: Shown) -> dict[str, Any] | None:
    """None where the samples were not laid out."""
    record = shown.run.summary.get("plane")
    points = shown.tensor("plane.points")
    if record is None or points is None:
        return None
    here = np.flatnonzero(np.isfinite(points).all(1))
    explained = (record["first"], record["second"])
    drawn = charts.encodings_map(points[here], explained, shown.run.summary["encoder"])
    # in widths, so that a square is one
    square = drawn.places * np.array([1.0, drawn.height / drawn.width])
    places = [
        (
            shown.with_icon(int(here[i])),
            round(100 * drawn.places[i, 0], 2),
            round(100 * drawn.places[i, 1], 2),
        )
        for i in apart(square, 1.02 * _ICON, range(len(square)))
    ]
    return {"svg": Markup(drawn.svg), "icon": 100 * _ICON, "places": places}


def apart(points: np.ndarray, size: float, order: Sequence[int]) -> list[int]:
    """Those of `order` whose squares of side `size` around `points`, with shape (n, 2), overlap no
    earlier one.
    """
    chosen: list[int] = []
    for i in order:
        if not chosen or (np.abs(points[chosen] - points[i]).max(1) >= size).all():
            chosen.append(i)
    return chosen

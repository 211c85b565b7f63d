"""The samples: a list that can be sorted, or a grid with a row for each row of ranges."""

from __future__ import annotations

from typing import Any

from invset.report.page import interval
from invset.report.shown import Shown, attribute

#: About how wide a picture is shown, in pixels: small ones by a whole factor.
_SMALL = 96
_LARGE = 112


def section(shown: Shown) -> dict[str, Any] | None:
    """None without samples."""
    run = shown.run
    if not shown.cards:
        return None
    return {
        "cards": shown.cards,
        "rows": _rows(shown) if run.is_grid else None,
        "orders": _orders(shown),
        "cell": cell_width(shown),
        "saved": run.medium.get("saved", "8-bit file") + "s",
        "legend": run.medium.get("legend"),
        "noun": run.medium.get("noun"),
        "names": run.names,
        "is_display": run.summary.get("picture") is not None,
        "shown": len(shown.samples),
        "all": len(run.samples),
        "outside": sum(not s.in_range for s in run.samples),
        "shrunk": shown.thumbs.shrunk,
        "framed": any(card["frame"] for card in shown.cards) and run.summary["largest"],
        "unframed": sum(not card["frame"] for card in shown.cards),
        "robust": bool(run.summary.get("robust")),
    }


def cell_width(shown: Shown) -> int:
    """Width of a picture on the page, in pixels."""
    width = shown.thumbs.width
    if shown.thumbs.pixelated:
        return max(1, round(_SMALL / width)) * width
    return width if shown.run.table else _LARGE


def _orders(shown: Shown) -> list[tuple[str, str]]:
    """What the samples can be sorted by: an attribute and its name."""
    return [
        ("number", "order of sampling"),
        ("activation", shown.first_activation),
        ("step", "step"),
        *((attribute(one.key), one.title) for one in shown.run.columns),
    ]


def _rows(shown: Shown) -> list[dict[str, Any]]:
    """Rows of a grid, the last range on top."""
    card = dict(zip(shown.places, shown.cards, strict=True))
    rows = [
        {
            "label": " ".join(interval(*one) for one in ranges),
            "cards": [card.get(cell) for cell in cells],
        }
        for ranges, cells in zip(shown.run.ranges, shown.run.cells, strict=True)
    ]
    return rows[::-1]

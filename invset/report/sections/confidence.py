"""Samples that are each for a class of their own, with the confidence of the network."""

from __future__ import annotations

from typing import Any

from invset.report.sections.samples import cell_width
from invset.report.shown import Shown


def section(shown: Shown) -> dict[str, Any] | None:
    """None where no sample is for a class; pictures are only there where classes differ."""
    record = shown.run.summary.get("confidence")
    p = shown.tensor("confidence.probability")
    first = shown.tensor("confidence.seen_as")
    unit = shown.tensor("confidence.unit")
    if record is None or p is None or first is None or unit is None:
        return None
    names = [record["names"][place] for place in shown.places]
    several = len(set(record["names"])) > 1
    cards = [
        {**card, "caption": f"{name} {share:.2%}", "first": bool(mine == seen)}
        for card, name, share, mine, seen in zip(shown.cards, names, p, unit, first, strict=True)
    ]
    return {**record, "cards": cards if several else [], "cell": cell_width(shown)}

"""Groups of samples, each by its medoid and those nearest to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from invset.report import charts
from invset.report.page import activation
from invset.report.shown import Shown

#: Small pictures beside a medoid, at most.
_NEXT = 12


def section(shown: Shown) -> dict[str, Any] | None:
    """None where the samples were not grouped."""
    record = shown.run.summary.get("groups")
    group = shown.tensor("groups.group")
    from_medoid = shown.tensor("groups.from_medoid")
    if record is None or group is None or from_medoid is None:
        return None
    made = []
    for number in range(1, len(record["sizes"]) + 1):
        members = np.flatnonzero(group == number)
        members = members[np.argsort(from_medoid[members], kind="stable")]
        if len(members):
            made.append(_group(shown, number, members, int((group > 0).sum())))
    return {"groups": made, **record}


def _group(shown: Shown, number: int, members: np.ndarray, grouped: int) -> dict[str, Any]:
    f = shown.f[members]
    low = float(shown.f.min())
    high = float(shown.f.max())
    pad = 0.03 * (high - low) or 1.0
    drawn = charts.small_histogram(f, low - pad, high + pad, f"group {number}")
    return {
        "number": number,
        "size": len(members),
        "percent": f"{len(members) / grouped:.0%}",
        "what": shown.first_activation,
        "least": activation(f.min()),
        "most": activation(f.max()),
        "mean": activation(f.mean()),
        "medoid": shown.cards[members[0]],
        "next": [shown.with_icon(int(i)) for i in members[1 : _NEXT + 1]],
        "histogram": Markup(drawn),
    }

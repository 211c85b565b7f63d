"""Charts of ``optimization.csv``."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from invset.report import charts
from invset.report.shown import Shown


def section(shown: Shown) -> dict[str, Any] | None:
    """None without a step."""
    run = shown.run
    if "step" not in run.curves or not len(run.curves["step"]):
        return None
    drawn = charts.optimisation(run.curves, run.titles, run.bands, run.names)
    return {"charts": [Markup(chart) for chart in drawn], "ranges": len(run.ranges)}

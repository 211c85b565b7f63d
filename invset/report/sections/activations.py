"""Histograms of the activations over the ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from invset.report import charts
from invset.report.shown import Shown


def section(shown: Shown) -> dict[str, Any] | None:
    """None without samples."""
    run = shown.run
    if not run.samples:
        return None
    after = np.array([s.after for s in run.samples])
    drawn = [
        Markup(charts.histogram(after[:, j], bands, name))
        for j, (name, bands) in enumerate(zip(run.names, run.bands, strict=True))
    ]
    tenths = (run.summary.get("coverage") or {}).get("tenths")
    return {
        "charts": drawn,
        "ranges": len(run.ranges),
        "tenths": None if tenths is None or len(run.samples) < 2 else round(10 * tenths),
    }

"""Robust neurons on both scales, samples beside real images."""

from __future__ import annotations

from typing import Any

from invset.analysis.record import number
from invset.report.shown import Shown

_HEADER = ("", "in views", "in the whole", "real images in views", "real images in the whole")


def section(shown: Shown) -> dict[str, Any] | None:
    """None where neurons are not robust."""
    record = shown.run.summary.get("scales")
    robust = shown.run.summary.get("robust")
    if not record or not robust:
        return None
    parts = [record[key] for key in ("views", "whole", "real_views", "real_whole") if record[key]]
    rows = [[name, *(number(part[j]) for part in parts)] for j, name in enumerate(shown.run.names)]
    header = _HEADER[: 1 + len(parts)]
    return {"rows": rows, "header": header, "views": robust["M"], "decides": robust["range"]}

"""What perturbations of the samples' codes do, in both units."""

from __future__ import annotations

from typing import Any

from invset.analysis.record import value_of
from invset.report.shown import Shown

_HEADER = ["", "quantile of f", "its deviation over samples", "fall from f", "in range"]
_UNITS = (("codes", "units of codes"), ("region", "units of the region"))


def section(shown: Shown) -> dict[str, Any] | None:
    """None where samples were not perturbed."""
    run = shown.run
    record = run.summary.get("perturbed")
    if record is None:
        return None
    level = record["quantile"]
    rows = []
    for key, name in _UNITS:
        if record[key]:
            columns = [one for one in run.figures if one.key.startswith(f"perturbed.{key}.")]
            rows.append([name, *(one.text(value_of(run.summary, one.key)) for one in columns)])
    return {
        **record,
        "level": 1 - level if run.summary.get("goal") == "min" else level,
        "header": _HEADER,
        "rows": rows,
    }

"""The analyses: every module of this folder that has a function of its own name.

    def NAME(samples: SampleSet, reference: Reference | None) -> Record | None

A new one is a file here, and a template ``report/templates/sections/NAME.html.jinja`` if the page
of a run is to show more than its figures.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, get_type_hints

from torch import Tensor

import invset.analysis
from invset.analysis.record import (
    Figure,
    as_json,
    columns_of,
    figures_of,
    per_sample_of,
    record_type,
)
from invset.analysis.reference import Reference
from invset.analysis.sample_set import SampleSet
from invset.errors import InvsetError

Analysis = Callable[[SampleSet, Reference | None], Any]

#: What tables begin with; the others follow by the alphabet.
_FIRST = ("counts", "meter")


@dataclass(frozen=True)
class Measured:
    """Records of a set of samples.

    Attributes:
        summary: record -> what ``summary.json`` holds of it; those that don't apply are missing.
        tensors: what ``samples.safetensors`` holds of them, by name.
    """

    summary: dict[str, Any]
    tensors: dict[str, Tensor]


def analyses() -> dict[str, Analysis]:
    """Name -> function of each analysis."""
    names = sorted(one.name for one in iter_modules(invset.analysis.__path__))
    names.sort(key=lambda name: name not in _FIRST)
    modules = {name: import_module(f"invset.analysis.{name}") for name in names}
    return {name: getattr(one, name) for name, one in modules.items() if hasattr(one, name)}


def figures() -> tuple[Figure, ...]:
    """The columns of tables: the figures of all records."""
    return _described(tuple(analyses().items()))[0]


def columns() -> tuple[Figure, ...]:
    """The numbers that records have for each sample."""
    return _described(tuple(analyses().items()))[1]


@cache
def _described(
    of: tuple[tuple[str, Analysis], ...],
) -> tuple[tuple[Figure, ...], tuple[Figure, ...]]:
    """Figures and columns of analyses, by their names; type hints take long to read."""
    types = [(name, record_type(get_type_hints(one)["return"])) for name, one in of]
    found = [one for name, record in types for one in figures_of(name, record)]
    each = [one for name, record in types for one in columns_of(name, record)]
    return tuple(found), tuple(each)


def measure(samples: SampleSet, reference: Reference | None) -> Measured:
    """Make every analysis of a set.

    Where samples were taken for several rows of ranges, the summary has ``rows``, too: the ranges
    of each, and the records of the samples that were taken for it.
    """
    records = _records(samples, reference)
    summary = _summary(records)
    if len(samples.ranges) > 1:
        summary["rows"] = [
            {
                "ranges": [list(one) for one in ranges],
                **_summary(_records(part, reference)),
            }
            for ranges, part in zip(samples.ranges, samples.rows(), strict=True)
        ]
    tensors: dict[str, Tensor] = {}
    for name, record in records.items():
        tensors |= per_sample_of(name, record)
    for name, value in tensors.items():
        if len(value) != len(samples.codes):
            raise InvsetError(
                f"{name} holds {len(value)} rows; `per_sample` holds one for each of the"
                f" {len(samples.codes)} samples"
            )
    # in memory of their own: a file can't hold a part of another tensor
    return Measured(summary, {name: value.clone() for name, value in tensors.items()})


def _records(samples: SampleSet, reference: Reference | None) -> dict[str, Any]:
    made = {}
    for name, analysis in analyses().items():
        try:
            made[name] = analysis(samples, reference)
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            raise InvsetError(
                f"the analysis {name} failed: {type(error).__name__}: {error} ({at.filename}, line"
                f" {at.lineno}); mend it, and go on with invset run --resume and the run's folder"
            ) from error
    return {name: record for name, record in made.items() if record is not None}


def _summary(records: dict[str, Any]) -> dict[str, Any]:
    """Their part of ``summary.json``; some have nothing but tensors."""
    held = {name: as_json(record) for name, record in records.items()}
    return {name: one for name, one in held.items() if one}

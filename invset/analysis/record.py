"""Records of figures: frozen dataclasses whose fields say what a number means.

    @dataclass(frozen=True)
    class Coverage:
        tenths: float = figure("range covered", low=0, high=1, good="high", form=".0%")

`as_json` turns a record into its part of ``summary.json``, `figures_of` into columns of tables.
Nothing here needs torch, because reports are made without it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, get_args, get_type_hints

#: What stands where there is no number.
DASH = "–"

Good = Literal["high", "low"] | None


@dataclass(frozen=True)
class Figure:
    """A column of a table: one number or word of a record.

    Attributes:
        key: where ``summary.json`` holds it, for example ``beside_real.real.vendi``.
        title: what a person reads.
        unit: of the number; empty for counts, shares and words.
        range: the lowest and the highest value that there can be; None: no bound.
        good: which direction is better: "high", "low", or None.
        form: format of the number, as after the colon of an f-string; ".3g" gives three digits, but
            never an exponent; "s" for words.
        headline: whether short tables show it, too.
        beside: key of the same figure of real images, shown in brackets; empty: none.
    """

    key: str
    title: str
    unit: str = ""
    range: tuple[float | None, float | None] = (None, None)
    good: Good = None
    form: str = ".4g"
    headline: bool = False
    beside: str = ""

    @property
    def heading(self) -> str:
        """Title with unit."""
        words = f"{self.title} ({self.unit})" if self.unit else self.title
        return f"{words} (real images)" if self.beside else words

    def text(self, value: Any) -> str:
        """A value as a table shows it; a dash where there is none."""
        if value is None or value == "":
            return DASH
        if self.form == "s":
            return str(value)
        if not math.isfinite(float(value)):
            return DASH
        if self.form.endswith("g"):
            return number(float(value), int(self.form[1:-1]))
        return format(float(value), self.form)


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many digits; a dash where there is none."""
    if value is None:
        return DASH
    before = len(str(int(abs(value)))) if abs(value) >= 1 else 1
    return f"{value:,.{max(0, digits - before)}f}"


def figure(
    title: str,
    unit: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    good: Good = None,
    form: str = ".4g",
    headline: bool = False,
) -> Any:
    """A field that is one number (or, with ``form="s"``, a word); see `Figure`."""
    about = Figure("", title, unit, (low, high), good, form, headline)
    return field(metadata=_metadata("figure", about))


def part(title: str, headline: Sequence[str] = (), beside: str = "") -> Any:
    """A field that is a record itself.

    Args:
        title: what is put behind the titles of its figures, for example "of real images".
        headline: its figures that short tables show.
        beside: the field whose figures stand in brackets behind these.
    """
    metadata = _metadata("part", Figure("", title))
    return field(metadata=metadata | {"headlines": tuple(headline), "beside": beside})


def listed(title: str, unit: str = "") -> Any:
    """A field with a list of numbers: in ``summary.json``, in no table."""
    return field(metadata=_metadata("listed", Figure("", title, unit)))


def per_sample(title: str, unit: str = "") -> Any:
    """A field with a tensor, a row a sample: in ``samples.safetensors`` and ``activations.csv``, in
    no table. None where there is none.
    """
    return field(metadata=_metadata("per sample", Figure("", title, unit)))


def _metadata(kind: str, about: Figure) -> dict[str, Any]:
    plain = {"title": about.title, "unit": about.unit, "range": about.range, "good": about.good}
    return {"kind": kind, "about": about, **plain}


def figures_of(name: str, record: type) -> list[Figure]:
    """The columns of a type of record.

    Args:
        name: of the record in ``summary.json``.
        record: a dataclass whose fields were made by the functions above.
    """
    found = []
    for one in fields(record):
        kind = one.metadata["kind"]
        if kind == "figure":
            found.append(replace(one.metadata["about"], key=f"{name}.{one.name}"))
        elif kind == "part":
            inner = record_type(get_type_hints(record)[one.name])
            found += _figures_of_part(name, one.name, one.metadata, inner)
    return found


def columns_of(name: str, record: type) -> list[Figure]:
    """The numbers that a type of record has for each sample; `key` is the name of the tensor."""
    return [
        replace(one.metadata["about"], key=f"{name}.{one.name}")
        for one in fields(record)
        if one.metadata["kind"] == "per sample"
    ]


def _figures_of_part(
    name: str, own: str, metadata: Mapping[str, Any], record: type
) -> Iterator[Figure]:
    beside = metadata["beside"]
    for one in figures_of(f"{name}.{own}", record):
        last = one.key.rpartition(".")[2]
        headline = last in metadata["headlines"]
        yield replace(
            one,
            title=one.title if beside else f"{one.title} {metadata['about'].title}",
            headline=headline,
            beside=f"{name}.{beside}.{last}" if beside else "",
        )


def record_type(hint: Any) -> type:
    """The dataclass of an annotation: itself, or of ``Record | None``."""
    choices = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return next(choice for choice in choices if is_dataclass(choice) and isinstance(choice, type))


def as_json(record: Any) -> dict[str, Any]:
    """What ``summary.json`` holds of a record; null where a number is not finite."""
    held: dict[str, Any] = {}
    for one in fields(record):
        value = getattr(record, one.name)
        if one.metadata["kind"] == "part":
            held[one.name] = None if value is None else as_json(value)
        elif one.metadata["kind"] != "per sample":
            held[one.name] = finite(value)
    return held


def per_sample_of(name: str, record: Any) -> dict[str, Any]:
    """The tensors of a record, by the names that ``samples.safetensors`` holds them under."""
    return {
        f"{name}.{one.name}": getattr(record, one.name)
        for one in fields(record)
        if one.metadata["kind"] == "per sample" and getattr(record, one.name) is not None
    }


def finite(value: Any) -> Any:
    """JSON has no nan: null says that there is no such number. A tensor of one number is one."""
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def value_of(summary: Mapping[str, Any], key: str) -> Any:
    """The value of a figure in ``summary.json``; None where that has none."""
    value: Any = summary
    for name in key.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def figures_as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """What ``summary.json`` says of the columns, so that a folder explains itself."""
    return [asdict(one) for one in figures]


def figures_from_json(held: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The inverse of `figures_as_json`."""
    return [Figure(**{**one, "range": tuple(one["range"])}) for one in held]

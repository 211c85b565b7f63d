"""Tables of many rows, as Parquet (with PyArrow, the extra ``data``) or CSV, written part by part:
a table may be larger than the memory.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from invset.errors import InvsetError
from invset.whole import write_whole

#: A part of a table: its rows, and the lists of numbers of each, or None.
Part = tuple[Sequence[Mapping[str, Any]], "np.ndarray | None"]

#: Kinds of cells, each of which can hold the ones before it.
_KINDS = ("bool", "int", "float", "text")


def check_format(path: Path, lists: bool = False) -> None:
    """Raise `InvsetError` for a file that can't be written: before much has been read.

    Args:
        path: of the file.
        lists: whether a column holds lists of numbers.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise InvsetError(f"{path} is neither .parquet nor .csv; type for example samples.parquet")
    if path.suffix == ".csv" and lists:
        raise InvsetError(f"a .csv holds no lists of codes; type {path.with_suffix('.parquet')}")
    if path.suffix == ".parquet":
        _arrow()
    if path.is_dir():
        raise InvsetError(f"{path} is a folder; type the file to write")


def write_dataset(path: Path, parts: Callable[[], Iterable[Part]], lists: str = "") -> int:
    """Write a table; return the number of its rows. Columns are those of all rows, and empty where
    a row has none.

    Args:
        path: of the file, whose ending says the format.
        parts: gives the table part by part, twice: the columns are looked for first.
        lists: name of the column of lists; empty: there is none.

    Raises:
        InvsetError: it can't be written, or PyArrow is not installed.
    """
    check_format(path, bool(lists))
    kinds: dict[str, str] = {}
    count = 0
    for rows, _ in parts():
        count += len(rows)
        for row in rows:
            for name, value in row.items():
                kinds[name] = _wider(kinds.get(name, ""), _kind(value))
    write = _write_parquet if path.suffix == ".parquet" else _write_csv
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda file: write(file, kinds, parts, lists))
    except OSError as error:
        raise InvsetError(
            f"can't write {path} ({error.strerror or error}); type another file, in a folder of"
            " yours"
        ) from error
    return count


def _kind(value: Any) -> str:
    """The kind of a cell; empty of one that holds nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "bool"
    return "int" if isinstance(value, int) else "float" if isinstance(value, float) else "text"


def _wider(one: str, other: str) -> str:
    if "" in (one, other):
        return one or other
    if "bool" in (one, other) and one != other:
        return "text"
    return max(one, other, key=_KINDS.index)


def _write_csv(
    file: Path, kinds: Mapping[str, str], parts: Callable[[], Iterable[Part]], lists: str
) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(kinds)
        for rows, _ in parts():
            writer.writerows([row.get(name) for name in kinds] for row in rows)


def _write_parquet(
    file: Path, kinds: Mapping[str, str], parts: Callable[[], Iterable[Part]], lists: str
) -> None:
    pa, parquet = _arrow()
    types = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string()}
    fields = [(name, types[kind or "text"]) for name, kind in kinds.items()]
    if lists:
        fields.append((lists, pa.list_(pa.float32())))
    schema = pa.schema(fields)
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for rows, numbers in parts():
            columns = [
                pa.array([_as(kind, row.get(name)) for row in rows], types[kind or "text"])
                for name, kind in kinds.items()
            ]
            if lists:
                columns.append(_lists(pa, numbers, len(rows)))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _as(kind: str, value: Any) -> Any:
    if value is None:
        return None
    return str(value) if kind == "text" else float(value) if kind == "float" else value


def _lists(pa: Any, numbers: np.ndarray | None, count: int) -> Any:
    """A column of lists, a row of `numbers` each."""
    if numbers is None:
        return pa.nulls(count, pa.list_(pa.float32()))
    ends = np.arange(count + 1, dtype=np.int32) * numbers.shape[1]
    values = np.ascontiguousarray(numbers, np.float32).reshape(-1)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(values))


def _arrow() -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise InvsetError(
            "a .parquet is written by PyArrow, which is not installed; type pip install"
            " 'invset[data]', or name a .csv"
        ) from error

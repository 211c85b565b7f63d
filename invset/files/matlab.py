"""MAT files of level 5, as much of them as networks need: read where they lie.

A file is a header of 128 bytes and a row of elements; an element is a tag (type and length) and its
bytes; a variable is an element of elements, often compressed. What a file says about itself may be
false, so a length is compared with what is left before anything is read or reserved.

    cells    lists           chars    texts
    structs  dicts, lists of dicts where there are several
    numbers  arrays, in MATLAB's order of axes

Reference: MathWorks, *MAT-File Format*, chapter 1, level 5.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

HEADER = 128

#: Bytes of the largest variable once it is unpacked: twice the published networks'.
LARGEST = 1 << 29

#: Cells of structs of cells …: networks have four levels.
_DEEP = 16

_COMPRESSED = 15
_MATRIX = 14
_CELL = 1
_STRUCT = 2
_CHAR = 4

#: Type of an element -> of its numbers in NumPy, but for the order of bytes.
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_TYPES |= {13: "u8", 16: "u1", 17: "u2", 18: "u4"}

#: Class of an array of numbers -> of its numbers in NumPy.
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_CLASSES |= {14: "i8", 15: "u8"}


def read_variables(data: Any, names: Collection[str]) -> dict[str, Any]:
    """Some variables of a file.

    Args:
        data: what it holds, as bytes or a map of them.
        names: of the variables.

    Returns:
        Name -> list, dict, text or array; None for what is none of these.

    Raises:
        ValueError: it is damaged, or no such file.
    """
    head = bytes(data[:HEADER])
    order = {b"IM": "<", b"MI": ">"}.get(head[126:])
    if order is None or head[125 if order == "<" else 124] != 1:
        raise ValueError("it is no MAT file of level 5, as MATLAB saves without -v7.3")
    found = {}
    for kind, body in _Reader(memoryview(data)[HEADER:], order).elements():
        if kind == _COMPRESSED:
            [(kind, body)] = _Reader(_unpacked(body, order), order).elements()
        if kind == _MATRIX:
            name, value = _Reader(body, order).variable(names)
            if name in names:
                found[name] = value
    return found


def _unpacked(body: memoryview, order: str) -> memoryview:
    unpack = zlib.decompressobj()
    tag = unpack.decompress(body, 8)
    length = struct.unpack(f"{order}II", tag)[1] if len(tag) == 8 else LARGEST + 1
    if length > LARGEST:
        raise ValueError(f"a variable claims to have {length:,} bytes")
    content = unpack.decompress(unpack.unconsumed_tail, length + 1)
    if len(content) != length or not unpack.eof:
        raise ValueError(f"a variable should have {length:,} bytes")
    return memoryview(tag + content)


class _Reader:
    """Elements, one after another.

    Args:
        data: that they are in.
        order: of bytes, "<" or ">".
        depth: how many variables these are inside of.
    """

    def __init__(self, data: memoryview, order: str, depth: int = 0) -> None:
        self.data = data
        self.order = order
        self.depth = depth
        self.at = 0

    def elements(self) -> Iterator[tuple[int, memoryview]]:
        """Type and bytes of each."""
        while self.at < len(self.data):
            yield self.element()

    def element(self) -> tuple[int, memoryview]:
        """Type and bytes of the next."""
        kind, length = struct.unpack(f"{self.order}II", self._take(8))
        if kind >> 16:  # a small one has its bytes in its tag
            if kind >> 16 > 4:
                raise ValueError(f"a small part claims to have {kind >> 16} bytes")
            return kind & 0xFFFF, self.data[self.at - 4 : self.at - 4 + (kind >> 16)]
        body = self._take(length)
        if kind != _COMPRESSED:
            self.at = min(self.at + -length % 8, len(self.data))
        return kind, body

    def numbers(self) -> np.ndarray:
        """The numbers of the next element, as a view."""
        kind, body = self.element()
        if kind not in _TYPES:
            raise ValueError(f"a part of type {kind} stands where numbers should")
        type_ = np.dtype(self.order + _TYPES[kind])
        return np.frombuffer(body[: len(body) // type_.itemsize * type_.itemsize], type_)

    def text(self) -> str:
        """The name in the next element."""
        return bytes(self.numbers().astype("u1", casting="unsafe")).decode(errors="replace")

    def variable(self, names: Collection[str] | None = None) -> tuple[str, Any]:
        """Name and value; the value of another name than `names` is left out."""
        if self.depth > _DEEP:
            raise ValueError(f"variables lie inside of each other more than {_DEEP} times")
        if not len(self.data):
            return "", None  # an empty cell
        kind = int(self.numbers()[0]) & 0xFF
        if kind not in (_CELL, _STRUCT, _CHAR, *_CLASSES):
            return "", None  # a function or an object
        shape = [int(side) for side in self.numbers()]
        name = self.text()
        if names is not None and name not in names:
            return name, None
        count = math.prod(shape)
        if min(shape, default=0) < 0 or count > len(self.data) * 8:
            raise ValueError(f"a variable claims to have shape {tuple(shape[:8])}")
        if kind == _CELL:
            return name, [self._inner() for _ in range(count)]
        if kind == _STRUCT:
            return name, self._structs(count)
        if kind == _CHAR:
            return name, self._characters()
        values = self.numbers().astype(_CLASSES[kind], copy=False)
        if len(values) != count:
            raise ValueError(f"{len(values)} numbers do not have shape {tuple(shape)}")
        return name, values.reshape(shape, order="F")

    def _characters(self) -> str:
        kind, body = self.element()
        wide = {4: "utf-16", 17: "utf-16", 18: "utf-32"}.get(kind, "")
        ends = {"<": "-le", ">": "-be"}[self.order]
        return bytes(body).decode(wide + ends if wide else "utf-8", errors="replace")

    def _structs(self, count: int) -> Any:
        width = int(self.numbers()[0])
        fields = bytes(self.numbers().astype("u1", casting="unsafe"))
        names = [
            fields[i : i + width].split(b"\0")[0].decode(errors="replace")
            for i in range(0, len(fields), max(width, 1))
        ]
        if not names:
            return {}
        found = [{field: self._inner() for field in names} for _ in range(count)]
        return found[0] if count == 1 else found

    def _inner(self) -> Any:
        kind, body = self.element()
        if kind != _MATRIX:
            raise ValueError(f"a part of type {kind} stands where a variable should")
        return _Reader(body, self.order, self.depth + 1).variable()[1]

    def _take(self, length: int) -> memoryview:
        if length > len(self.data) - self.at:
            raise ValueError(f"a part claims to have {length:,} bytes")
        self.at += length
        return self.data[self.at - length : self.at]

"""Protobuf's wire format, as much of it as files of weights need: read where it lies, without
protobuf and without a schema.

A message is a row of fields; a field is a tag (its number and how its value is written) and a
value; a value of bytes is text, numbers, or a message again. What a file says about itself may be
false, so a length is compared with what is left before anything is read or reserved, and the fields
that are looked at are counted.

Reference: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from invset.errors import InvsetError

#: How a value is written. Groups (3 and 4) are left out: no format of weights has them, and they
#: nest without end.
VARINT = 0
FIXED64 = 1
BYTES = 2
FIXED32 = 5
WIDTHS = {FIXED64: 8, FIXED32: 4}

#: A ResNet of 1000 layers has some 70,000; a file made of tiny fields ends here, after a fraction
#: of a second.
MAX_FIELDS = 100_000
MAX_AXES = 32  # of Caffe's blobs
MAX_SIDE = 2**31 - 1
MAX_TEXT = 1000


class Field(NamedTuple):
    """One field of a message, or a run of equal tags with a number each.

    Attributes:
        number: which field of its message it is.
        wire: how it is written: VARINT, FIXED64, BYTES or FIXED32.
        value: the number of a VARINT; bytes from one number to the next in a run; else 0.
        start: offset of the value in the file.
        stop: offset of what follows.
    """

    number: int
    wire: int
    value: int
    start: int
    stop: int


class WireFile:
    """A file that is one message.

    Args:
        path: of the file, which is mapped into memory: what isn't looked at isn't read.
        kind: what it should be, for messages: ".caffemodel".

    Raises:
        InvsetError: it can't be read, or is empty. Methods raise it when the file doesn't hold what
            they expect.
    """

    def __init__(self, path: str | Path, kind: str) -> None:
        self.path = path
        self.kind = kind
        self.left = MAX_FIELDS
        try:
            with open(path, "rb") as file:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise InvsetError(
                f"{path} can't be read ({error.strerror or error}); expected a {kind} file"
            ) from error
        except ValueError:
            self.broken(0, "a field, found an empty file")

    def broken(self, offset: int, expected: str) -> NoReturn:
        """Say what was expected where."""
        raise InvsetError(
            f"{self.path} is damaged or no {self.kind} file: at byte {offset} expected {expected};"
            " get the file again"
        )

    def fields(self, within: Field | None = None) -> Iterator[Field]:
        """The fields of a message: of the file, or of one that a field holds."""
        at, stop = (within.start, within.stop) if within else (0, len(self.data))
        while at < stop:
            field = self._field(at, stop)
            yield field
            at = field.stop

    def text(self, field: Field) -> str:
        """What a field of bytes says."""
        if field.stop - field.start > MAX_TEXT:
            self.broken(
                field.start, f"a name of at most {MAX_TEXT} bytes, found {field.stop - field.start}"
            )
        return self.data[field.start : field.stop].decode(errors="replace")

    def integers(self, field: Field) -> list[int]:
        """The axes of a shape, as far as they can be some: one after another in a field of bytes,
        or one by itself.
        """
        if field.wire == VARINT:
            return [field.value]
        found: list[int] = []
        at = field.start
        while at < field.stop and len(found) <= MAX_AXES:
            value, at = self._varint(at, field.stop)
            found.append(value)
        return found

    def numbers(self, field: Field, dtype: str) -> np.ndarray:
        """Numbers as a read-only view of the file, at any address: packed in a field of bytes, or a
        run.
        """
        width = np.dtype(dtype).itemsize
        size = field.stop - field.start
        if field.wire != BYTES:
            return np.ndarray(
                (size // field.value + 1,), dtype, self.data, field.start, (field.value,)
            )
        if size % width:
            self.broken(field.start, f"numbers of {width} bytes each, found {size} bytes")
        return np.ndarray((size // width,), dtype, self.data, field.start)

    def shaped(self, pieces: Sequence[np.ndarray], shape: Sequence[int], offset: int) -> np.ndarray:
        """All pieces as one float32 array: a view of the file if it is one piece of float32.

        Args:
            pieces: one-dimensional arrays.
            shape: that the file claims.
            offset: where it does so.
        """
        values = (
            pieces[0] if len(pieces) == 1 else np.concatenate(pieces or [np.empty(0, np.float32)])
        )
        told = f"({', '.join(map(str, shape[:8]))}{', …' if len(shape) > 8 else ''})"
        if len(shape) > MAX_AXES or max(shape, default=0) > MAX_SIDE:
            self.broken(
                offset, f"a shape of at most {MAX_AXES} axes of at most {MAX_SIDE}, found {told}"
            )
        if math.prod(shape) != values.size:
            self.broken(offset, f"as many numbers as shape {told} has, found {values.size}")
        with np.errstate(all="ignore"):  # a float64 may be too large; Caffe makes it infinite too
            values = values.astype(np.float32, copy=False)
        # numpy refuses huge sides even beside a side of zero
        return values.reshape(shape if values.size else [min(n, 1) for n in shape])

    def _field(self, at: int, stop: int) -> Field:
        self.left -= 1
        if self.left < 0:
            self.broken(at, f"an end after {MAX_FIELDS} fields")
        tag, start = self._varint(at, stop)
        number = tag >> 3
        wire = tag & 7
        if not 1 <= number < 1 << 29 or wire not in (VARINT, FIXED64, BYTES, FIXED32):
            self.broken(at, f"a field, found tag {tag}")
        if wire == VARINT:
            value, end = self._varint(start, stop)
            return Field(number, wire, value, start, end)
        length = WIDTHS.get(wire, 0)
        if wire == BYTES:
            length, start = self._varint(start, stop)
        if length > stop - start:
            self.broken(at, f"field {number} with {length} bytes, found {stop - start}")
        if wire == BYTES:
            return Field(number, wire, 0, start, start + length)
        step = start - at + length
        return Field(number, wire, step, start, at + step * self._run(at, stop, start - at, step))

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        """An integer of seven bits a byte, the lowest first, and the offset behind it."""
        value = 0
        for i, byte in enumerate(self.data[at : min(at + 10, stop)]):
            value |= (byte & 0x7F) << 7 * i
            if byte < 0x80:
                return value & (1 << 64) - 1, at + i + 1
        return self.broken(at, "an integer of at most 10 bytes, found no end of it")

    def _run(self, at: int, stop: int, tag: int, step: int) -> int:
        """How many records of `step` bytes begin with the same `tag` bytes: old writers give each
        number a tag of its own.
        """
        count = (stop - at) // step
        records = np.ndarray((count, tag), np.uint8, self.data, at, (step, 1))
        done = 1
        block = 4
        while done < count:
            # blocks grow, so that short runs cost little and long ones no loop
            same = (records[done : done + block] == records[0]).all(1)
            if not same.all():
                return done + int(same.argmin())
            done += len(same)
            block = min(block * 8, 1 << 16)
        return count

"""Write .caffemodel files byte by byte, in the three dialects that Caffe reads: for tests, and
independent of the reader.

Field numbers are from caffe.proto (BVLC/caffe). The published caffenet is "v1", Places-CNN is
probably "v0", both with legacy shapes; files of newer Caffes are "layer".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

#: Caffe's names of types -> the enum of V1, and the word of V0.
TYPES = {
    "Convolution": (4, "conv"),
    "InnerProduct": (14, "innerproduct"),
    "Deconvolution": (39, "deconvolution"),
    "Data": (5, "data"),
}


def varint(value: int) -> bytes:
    out = bytearray()
    value &= (1 << 64) - 1  # a negative number is its two's complement in 64 bits
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes | str) -> bytes:
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def numbers(field: int, values: np.ndarray, packed: bool, chunks: int) -> bytes:
    """A repeated float or double: packed in some pieces, or one tag a number."""
    values = values.astype(values.dtype.newbyteorder("<")).ravel()
    if packed:
        return b"".join(
            message(field, part.tobytes()) for part in np.array_split(values, chunks) if part.size
        )
    form, wire = ("<f", 5) if values.itemsize == 4 else ("<d", 1)
    return b"".join(varint(field << 3 | wire) + struct.pack(form, value) for value in values)


def blob_message(
    array: np.ndarray,
    legacy: bool,
    packed: bool = True,
    chunks: int = 1,
    double: bool = False,
    diff: bool = False,
) -> bytes:
    """A BlobProto; legacy shapes are aligned to the right of four axes."""
    shape = array.shape
    if legacy:
        axes = (1,) * (4 - len(shape)) + shape
        head = b"".join(number(field, n) for field, n in enumerate(axes, start=1))
    else:
        head = message(7, message(1, b"".join(varint(n) for n in shape)))
    data = numbers(
        8 if double else 5, array.astype(np.float64 if double else np.float32), packed, chunks
    )
    waste = numbers(6, np.full(array.size, 7, np.float32), packed, chunks) if diff else b""
    # the order in which Caffe itself writes them: by field number
    return head + data + waste if legacy else data + waste + head


def layer_message(name: str, kind: str, blobs: Iterable[bytes], dialect: str) -> tuple[int, bytes]:
    """One layer as a field of NetParameter: the field's number and its content."""
    enum, word = TYPES[kind]
    if dialect == "layer":
        content = message(1, name) + message(2, kind) + message(3, "below") + message(4, name)
        return 100, content + b"".join(message(7, blob) for blob in blobs)
    if dialect == "v1":
        content = message(2, "below") + message(3, name) + message(4, name) + number(5, enum)
        return 2, content + b"".join(message(6, blob) for blob in blobs)
    if dialect == "v0":
        inner = message(1, name) + message(2, word) + b"".join(message(50, blob) for blob in blobs)
        return 2, message(1, inner) + message(2, "below") + message(3, name)
    raise ValueError(f"dialect must be layer, v1 or v0, not {dialect!r}")


def guess_type(name: str) -> str:
    """What a layer of that name is in CaffeNet, or in PPGN's generator: there conv5_1 is a
    deconvolution.
    """
    if re.fullmatch(r"deconv.*|conv\d_\d", name):
        return "Deconvolution"
    return "InnerProduct" if re.fullmatch(r"(de)?fc.*", name) else "Convolution"


def caffemodel(
    blobs: Mapping[str, Sequence[np.ndarray]],
    dialect: str = "v1",
    types: Mapping[str, str] | None = None,
    legacy_shapes: bool | None = None,
    packed: bool = True,
    chunks: int = 1,
    double: bool = False,
    diff: bool = False,
) -> bytes:
    """The bytes of a .caffemodel: a data layer without blobs, as published files have one, and a
    layer for each key.

    Args:
        blobs: layer name -> its blobs; a layer may have none.
        dialect: "layer", "v1" or "v0".
        types: layer name -> "Convolution", "InnerProduct" or "Deconvolution" where names don't
            tell.
        legacy_shapes: num, channels, height, width in place of a shape; None: as usual in that
            dialect.
        packed: floats packed as Caffe writes them, or one by one.
        chunks: pieces that packed floats come in.
        double: float64 numbers.
        diff: gradients too, which a snapshot of a training run may hold.
    """
    legacy = dialect != "layer" if legacy_shapes is None else legacy_shapes
    layers = [layer_message("data", "Data", [], dialect)]
    for name, arrays in blobs.items():
        parts = [
            blob_message(np.asarray(array), legacy, packed, chunks, double, diff)
            for array in arrays
        ]
        layers.append(
            layer_message(name, (types or {}).get(name, guess_type(name)), parts, dialect)
        )
    return message(1, "net") + b"".join(message(field, content) for field, content in layers)


def write_caffemodel(
    path: str | Path,
    blobs: Mapping[str, Sequence[np.ndarray]],
    dialect: str = "v1",
    **options: object,
) -> None:
    """Write a .caffemodel; the options are those of `caffemodel`."""
    Path(path).write_bytes(caffemodel(blobs, dialect, **options))

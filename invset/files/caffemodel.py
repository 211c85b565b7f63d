"""Weights out of a .caffemodel file, in each of the three dialects that Caffe has had.

    layer   NetParameter.layer = 100     LayerParameter:    name = 1, blobs = 7
    v1      NetParameter.layers = 2      V1LayerParameter:  name = 4, blobs = 6
    v0      V1LayerParameter.layer = 1   V0LayerParameter:  name = 1, blobs = 50

A blob holds numbers, float32 (5) or float64 (8), perhaps gradients (6, 9), which are passed over,
and a shape (7) or, in old files, num, channels, height and width (1 to 4).

Reference: Jia et al. 2014, src/caffe/proto/caffe.proto of BVLC/caffe; blob.cpp (FromProto) and
upgrade_proto.cpp there.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from invset.files import wire
from invset.files.wire import Field, WireFile


class Dialect(NamedTuple):
    """Numbers of a layer's fields."""

    name: int
    blobs: int
    inside: int = 0  # the field of an older layer that a newer one wraps


LAYER = Dialect(1, 7)
V1 = Dialect(4, 6, inside=1)
V0 = Dialect(1, 50)
DIALECTS = {100: LAYER, 2: V1}


def read_caffemodel(path: str | Path) -> dict[str, list[np.ndarray]]:
    """The blobs of each layer that has some.

    Args:
        path: of the file.

    Returns:
        Layer name -> its blobs, float32, mostly read-only views of the file at addresses that are
        no multiple of four. Shapes
        are as the file has them: old files put ones in front, a bias is (1, 1, 1, N) and a matrix
            (1, 1, out, in).

    Raises:
        InvsetError: it isn't such a file, or not all of it.
    """
    file = WireFile(path, ".caffemodel")
    layers: dict[str, list[np.ndarray]] = {}
    for field in file.fields():
        if field.number in DIALECTS and field.wire == wire.BYTES:
            name, blobs = _layer(file, field, DIALECTS[field.number])
            if blobs:
                # of two layers with one name the later wins, as Caffe copies them in turn (net.cpp,
                # CopyTrainedLayersFrom)
                layers[name] = blobs
    if not layers:
        file.broken(len(file.data), "layers with weights, found none")
    return layers


def _layer(file: WireFile, layer: Field, dialect: Dialect) -> tuple[str, list[np.ndarray]]:
    """A layer's name and blobs."""
    name = ""
    blobs: list[np.ndarray] = []
    older: Field | None = None
    for field in file.fields(layer):
        if field.wire != wire.BYTES:
            continue
        if field.number == dialect.name:
            name = file.text(field)
        elif field.number == dialect.blobs:
            blobs.append(_blob(file, field))
        elif field.number == dialect.inside:
            older = field
    return _layer(file, older, V0) if older else (name, blobs)


def _blob(file: WireFile, blob: Field) -> np.ndarray:
    shape: list[int] = []
    axes: dict[int, int] = {}
    floats: list[np.ndarray] = []
    doubles: list[np.ndarray] = []
    for field in file.fields(blob):
        match field.number, field.wire:
            case 1 | 2 | 3 | 4, wire.VARINT:
                axes[field.number] = field.value
            case 5, wire.BYTES | wire.FIXED32:
                floats.append(file.numbers(field, "<f4"))
            case 7, wire.BYTES:
                shape += _dims(file, field)
            case 8, wire.BYTES | wire.FIXED64:
                doubles.append(file.numbers(field, "<f8"))
    if axes:  # the old way of giving a shape wins, as in Blob::FromProto
        shape = [axes.get(axis, 0) for axis in (1, 2, 3, 4)]
    return file.shaped(doubles if any(d.size for d in doubles) else floats, shape, blob.start)


def _dims(file: WireFile, shape: Field) -> list[int]:
    dims: list[int] = []
    for field in file.fields(shape):
        if field.number == 1 and field.wire in (wire.VARINT, wire.BYTES):
            dims += file.integers(field)
    return dims

"""Weights out of an ONNX file that was made of a Caffe network: the names and layouts are still
Caffe's.

    ModelProto.graph = 7    GraphProto.initializer = 5
    TensorProto: dims = 1, data_type = 2, float_data = 4, name = 8, raw_data = 9

Caffe2, which made caffenet-12.onnx of the published CaffeNet, calls the weights of layer conv1
``conv1_w_0`` and its bias ``conv1_b_0``. The graph isn't looked at.

Reference: onnx.proto of onnx/onnx.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from invset.files import wire
from invset.files.wire import Field, WireFile

GRAPH = 7
INITIALIZER = 5
FLOAT = 1  # TensorProto.DataType


def read_onnx(path: str | Path) -> dict[str, list[np.ndarray]]:
    """The weights and bias of each layer, as `read_caffemodel` gives them.

    Args:
        path: of the file.

    Returns:
        Layer name -> weights and bias, float32, mostly read-only views of the file.

    Raises:
        InvsetError: it isn't such a file, or not all of it.
    """
    file = WireFile(path, ".onnx")
    found: dict[str, np.ndarray] = {}
    for graph in file.fields():
        if (graph.number, graph.wire) == (GRAPH, wire.BYTES):
            for tensor in file.fields(graph):
                if (tensor.number, tensor.wire) == (INITIALIZER, wire.BYTES):
                    found.update(_tensor(file, tensor))
    layers = {}
    for name, weights in found.items():
        layer = re.fullmatch(r"(.+)_w_0", name)
        if layer:
            bias = found.get(f"{layer[1]}_b_0")
            layers[layer[1]] = [weights] if bias is None else [weights, bias]
    if not layers:
        file.broken(
            len(file.data), f"tensors like conv1_w_0, found {', '.join(list(found)[:3]) or 'none'}"
        )
    return layers


def _tensor(file: WireFile, tensor: Field) -> dict[str, np.ndarray]:
    """A tensor under its name; none if it isn't float32: the shapes that a graph reshapes to are
    tensors too.
    """
    name = ""
    kind = 0
    shape: list[int] = []
    data: list[Field] = []
    for field in file.fields(tensor):
        match field.number, field.wire:
            case 1, wire.VARINT | wire.BYTES:
                shape += file.integers(field)
            case 2, wire.VARINT:
                kind = field.value
            case (4, wire.BYTES | wire.FIXED32) | (9, wire.BYTES):  # a writer uses one of them
                data.append(field)
            case 8, wire.BYTES:
                name = file.text(field)
    if kind != FLOAT:
        return {}
    return {name: file.shaped([file.numbers(field, "<f4") for field in data], shape, tensor.start)}

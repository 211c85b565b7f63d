"""Weights out of a .mat file of MatConvNet's, turned into Caffe's layouts: imagenet-caffe-ref.mat
is CaffeNet once more.

MatConvNet's converter lets filters take pictures as MATLAB has them, so all of this is undone here:

    filters   (height, width, in, out)  ->  (out, in, height, width)
    fc6 …     filters as large as the map  ->  (out, in · height · width)
    conv1     channels red, green, blue  ->  blue, green, red

Reference: Vedaldi & Lenc 2015; utils/import-caffe.py and matlab/simplenn/vl_simplenn_tidy.m of
vlfeat/matconvnet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from invset.errors import InvsetError
from invset.files.matlab import read_variables
from invset.files.reading import reading

EXPECTED = "expected a SimpleNN network of MatConvNet, like imagenet-caffe-ref.mat"


def read_matconvnet(path: str | Path) -> dict[str, list[np.ndarray]]:
    """The weights and bias of each layer, laid out as `read_caffemodel` gives them.

    Args:
        path: of the file.

    Returns:
        Layer name -> filters and bias, float32.

    Raises:
        InvsetError: it isn't such a file, or not all of it.
    """
    with reading(path, "weights", EXPECTED):
        return _layers(path, read_variables(Path(path).read_bytes(), ("layers",)))


def _layers(path: str | Path, content: dict[str, Any]) -> dict[str, list[np.ndarray]]:
    layers: dict[str, list[np.ndarray]] = {}
    cells = content.get("layers")
    for i, layer in enumerate(cells if isinstance(cells, list) else [], start=1):
        weights = _weights(layer) if isinstance(layer, dict) else []
        if not weights:
            continue
        title = layer.get("name")
        name = title if isinstance(title, str) and title else f"layer{i}"
        if not _fit(weights):
            shapes = " and ".join(str(np.shape(array)) for array in weights)
            raise InvsetError(
                f"{path}: layer {name} has weights of shape {shapes}; {EXPECTED}, with filters and"
                " as many biases"
            )
        layers[name] = _to_caffe(name, weights, first=not layers)
    if not layers:
        raise InvsetError(f"{path} holds no layers with weights; {EXPECTED}")
    return layers


def _weights(layer: dict[str, Any]) -> list[Any]:
    """Filters and biases: a cell called weights, or in files of before 2015 two fields."""
    if "weights" in layer:
        held = layer["weights"]
        return held if isinstance(held, list) else [None]
    return [layer[name] for name in ("filters", "biases") if name in layer]


def _fit(weights: list[Any]) -> bool:
    """Whether these are filters, with at most four axes, and perhaps biases, one for each
    filter.
    """
    if not all(isinstance(array, np.ndarray) and array.size for array in weights):
        return False
    filters, *biases = weights
    outputs = (*filters.shape, 1, 1)[3]  # MATLAB drops axes of one at the end, but keeps two
    if filters.ndim > 4 or len(biases) > 1:
        return False
    return all(bias.size == outputs for bias in biases)


def _to_caffe(name: str, weights: list[np.ndarray], first: bool) -> list[np.ndarray]:
    filters, *biases = weights
    filters = filters.reshape((*filters.shape, 1, 1)[:4])
    if first and filters.shape[2] == 3:
        filters = filters[:, :, ::-1]
    filters = np.ascontiguousarray(filters.transpose(3, 2, 0, 1), dtype=np.float32)
    if name.startswith("fc"):
        filters = filters.reshape(len(filters), -1)
    return [filters, *(np.array(bias, dtype=np.float32).ravel() for bias in biases)]

"""Weights out of a .mat file of MatConvNet's, turned into Caffe's layouts: imagenet-caffe-ref.mat
is CaffeNet once more.

MatConvNet's converter lets filters take pictures as MATLAB has them, so all of this is undone here:

    filters   (height, width, in, out)  ->  (out, in, height, width)
    fc6 …     filters as large as the map  ->  (out, in · height · width)
    conv1     channels red, green, blue  ->  blue, green, red

SciPy reads the file. It runs nothing that a file holds: functions and objects come as data. But it
trusts sizes and types more than `read_caffemodel` does: a file with a few wrong bits can crash it,
so compare the published checksum first, as ``invset fetch`` does.

Reference: Vedaldi & Lenc 2015; utils/import-caffe.py and matlab/simplenn/vl_simplenn_tidy.m of
vlfeat/matconvnet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from invset.errors import InvsetError

EXPECTED = "expected a SimpleNN network of MatConvNet, like imagenet-caffe-ref.mat"


def read_matconvnet(path: str | Path) -> dict[str, list[np.ndarray]]:
    """The weights and bias of each layer, laid out as `read_caffemodel` gives them.

    Args:
        path: of the file.

    Returns:
        Layer name -> filters and bias, float32.

    Raises:
        InvsetError: it isn't such a file, or not all of it; or SciPy isn't installed.
    """
    content = _load(path)
    layers: dict[str, list[np.ndarray]] = {}
    for i, cell in enumerate(np.asarray(content.get("layers", ())).flat, start=1):
        layer = _struct(cell)
        weights = _weights(layer)
        if not weights:
            continue
        title = np.asarray(layer.get("name", ()))
        name = str(title.item()) if title.size == 1 else f"layer{i}"
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


def _load(path: str | Path) -> dict[str, Any]:
    from scipy.io import loadmat  # takes a while, which only its users should wait for

    # the mean isn't used, but lies behind the layers: a file that ends too early is noticed
    names = ("layers", "meta", "normalization")
    try:
        with open(path, "rb") as file:
            return loadmat(file, variable_names=names)
    except Exception as error:  # SciPy raises any: TypeError, zlib.error, MemoryError, …
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        what = " ".join(told.split())
        raise InvsetError(f"{path} can't be read ({what[:200]}); {EXPECTED}") from error


def _struct(value: Any) -> dict[str, Any]:
    """A struct by names; SciPy gives it as an array of one record, in an array of one object if it
    comes out of a cell.
    """
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.names and value.size == 1:
        return {name: value[name].item() for name in value.dtype.names}
    return {}


def _weights(layer: dict[str, Any]) -> list[np.ndarray]:
    """Filters and biases: a cell called weights, or in files of before 2015 two fields."""
    if "weights" in layer:
        return list(np.asarray(layer["weights"]).flat)
    return [layer[name] for name in ("filters", "biases") if name in layer]


def _fit(weights: list[np.ndarray]) -> bool:
    """Whether these are filters, with at most four axes, and perhaps biases, one for each
    filter.
    """
    if not all(
        isinstance(array, np.ndarray) and array.dtype.kind in "fiu" and array.size
        for array in weights
    ):
        return False
    filters, *biases = weights
    outputs = (*filters.shape, 1, 1)[3]  # MATLAB drops axes of one at the end, but keeps two
    return filters.ndim <= 4 and len(biases) <= 1 and all(bias.size == outputs for bias in biases)


def _to_caffe(name: str, weights: list[np.ndarray], first: bool) -> list[np.ndarray]:
    filters, *biases = weights
    filters = filters.reshape((*filters.shape, 1, 1)[:4])
    if first and filters.shape[2] == 3:
        filters = filters[:, :, ::-1]
    filters = np.ascontiguousarray(filters.transpose(3, 2, 0, 1), dtype=np.float32)
    if name.startswith("fc"):
        filters = filters.reshape(len(filters), -1)
    return [filters, *(np.array(bias, dtype=np.float32).ravel() for bias in biases)]

"""Weights of Caffe put into modules whose layers have Caffe's names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.files.readers import read_weights
from invset.files.reading import reading, regular_file
from invset.hub import obtain
from invset.nets.caffe.caffenet import IMAGENET_MEAN_BGR, as_mean
from invset.nets.fast import accelerate

Filled = TypeVar("Filled", bound=nn.Module)


def read_layers(name: str, weights: str | Path | None) -> tuple[Path, dict[str, Tensor]]:
    """A file of weights and what it holds: LAYER.weight and LAYER.bias.

    Args:
        name: of published weights, which are taken (or fetched) where no file is given.
        weights: the file, or None.

    Raises:
        InvsetError: no such file, or one that can't be read.
    """
    path = obtain.weights(name) if weights is None else Path(weights).expanduser()
    if not path.is_file():
        raise InvsetError(f"no weights at {path}; leave weights= out for the published ones")
    return path, read_weights(path)


def read_mean(mean: Sequence[float] | str | Path | None) -> Tensor:
    """A mean to subtract: three numbers, a mean image from a .npy file, or ImageNet's mean pixel.

    Raises:
        InvsetError: no such file, or no mean.
    """
    if not isinstance(mean, (str, Path)):
        return as_mean(IMAGENET_MEAN_BGR if mean is None else mean)
    hint = "give a .npy file of shape (3, 256, 256), or three numbers"
    path = regular_file(mean, "mean image", hint)
    with reading(path, "a mean image", hint):
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("it is no .npy file")
        # as a map: else NumPy reserves what the file says, whatever its length
        image = np.load(path, mmap_mode="r", allow_pickle=False)
        if image.dtype.kind not in "fiu":
            raise TypeError("it holds no numbers")
        if image.ndim == 3 and image.shape[-1] == 3:
            image = image.transpose(2, 0, 1)
        return as_mean(torch.from_numpy(np.array(image, dtype=np.float32)))


def outputs_of(weights: Mapping[str, Tensor], layer: str, path: Path) -> int:
    """How many outputs a layer has, which its bias says.

    Raises:
        InvsetError: no such layer, or one without a bias.
    """
    bias = weights.get(f"{layer}.bias")
    if f"{layer}.weight" in weights and bias is not None and bias.numel():
        return bias.numel()
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in weights))
    has = f"{layer} without a bias" if layer in layers else f"{', '.join(layers[:12]) or 'none'}"
    raise InvsetError(
        f"{path} lacks layer {layer}: expected its weights and bias, found layers {has}"
    )


def fill(
    module: Filled, weights: Mapping[str, Tensor], path: Path, buffers: Mapping[str, Tensor]
) -> Filled:
    """Put weights into a module without memory of its own, and make it fast (`accelerate`).

    Args:
        module: on the device "meta"; the last part of a layer's path is Caffe's name.
        weights: of these layers and of others.
        path: the file that they are from.
        buffers: the rest of the module's state.

    Raises:
        InvsetError: weights that do not fit.
    """
    state = dict(buffers)
    for key, expected in module.named_parameters():
        layer, kind = key.split(".")[-2:]
        found = weights[f"{layer}.{kind}"]
        if not _fits(tuple(found.shape), tuple(expected.shape)):
            raise InvsetError(
                f"{path}: {kind} of layer {layer}: expected shape {tuple(expected.shape)}, found"
                f" {tuple(found.shape)}"
            )
        state[key] = found.reshape(expected.shape)
    module.load_state_dict(state, assign=True)
    return accelerate(module)


def _fits(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Whether numbers of one shape are those of another in the same order, axes of one aside.

    Old files give a bias as (1, 1, 1, N) and a matrix as (1, 1, out, in); a matrix may be split
    into (out, channels, y, x).
    """
    axes, wanted = ([n for n in shape if n != 1] for shape in (found, expected))
    matrix = len(expected) == 2 and axes[:1] == wanted[:1]
    return axes == wanted or (matrix and math.prod(axes) == math.prod(wanted))

"""Weights out of a file of any format: names to tensors.

    .safetensors               tensors under their own names
    .pth, .pt, .ckpt, .bin     a state dict that ``torch.save`` wrote; nothing in it is executed
    .caffemodel, .onnx, .mat   LAYER.weight, LAYER.bias, laid out as Caffe does
    .index.json                names -> files of these, of weights in several files

What a file is, its first bytes say; its suffix counts where they say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from invset.errors import InvsetError
from invset.files.caffemodel import read_caffemodel
from invset.files.matconvnet import read_matconvnet
from invset.files.onnx import read_onnx
from invset.files.reading import read_json, reading, regular_file
from invset.files.state_dict import PICKLE, SAVE, ZIP, read_state_dict
from invset.files.tensors import read_safetensors

#: The header of a safetensors file is at most this long (safetensors 0.4).
LONGEST_HEADER = 100_000_000


class Format(NamedTuple):
    """One kind of file.

    Attributes:
        suffixes: of its files.
        begins: whether a file with these first bytes is one.
        read: path -> name -> tensor.
    """

    suffixes: tuple[str, ...]
    begins: Callable[[bytes], bool]
    read: Callable[[Path], dict[str, Tensor]]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, on the CPU.

    Args:
        path: of a file in one of the formats above.

    Raises:
        InvsetError: no such file, one of another format, or a damaged one.
    """
    path = regular_file(path, "weights", "give the path of a file")
    with reading(path, "weights", "get the file again"):
        return _format(path).read(path)


def _format(path: Path) -> Format:
    with path.open("rb") as file:
        head = file.read(16)
    known = [one for one in FORMATS if one.begins(head)]
    known += [one for one in FORMATS if path.suffix.lower() in one.suffixes]
    if not known:
        suffixes = [suffix for one in FORMATS for suffix in one.suffixes]
        raise InvsetError(
            f"{path} is no file of weights that invset reads; it reads {', '.join(suffixes)}"
        )
    return known[0]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    return read_safetensors(path, "weights", SAVE)[0]


def _read_shards(path: Path) -> dict[str, Tensor]:
    """Weights in several files, which lie beside the one that says what is in which."""
    names = read_json(path, "an index of weights", SAVE).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise InvsetError(f"{path} has no weight_map of names and files; {SAVE}")
    found: dict[str, Tensor] = {}
    for name in sorted(set(names.values())):
        if Path(name).name != name or name.endswith(".json"):
            raise InvsetError(f"{path} names {name!r}, which is no file of weights beside it")
        found |= read_weights(path.with_name(name))
    if found.keys() != names.keys():
        odd = min(found.keys() ^ names.keys())
        raise InvsetError(f"{path} and its files differ in what they hold, such as {odd}; {SAVE}")
    return found


def _layers(
    read: Callable[[Path], Mapping[str, Sequence[np.ndarray]]],
) -> Callable[[Path], dict[str, Tensor]]:
    """A reader of layers with a list of arrays each, as one of names and tensors."""

    def named(path: Path) -> dict[str, Tensor]:
        return {
            f"{layer}.{_part(i)}": _tensor(array)
            for layer, arrays in read(path).items()
            for i, array in enumerate(arrays)
        }

    return named


def _part(i: int) -> str:
    return ("weight", "bias")[i] if i < 2 else str(i)


def _tensor(array: np.ndarray) -> Tensor:
    # a copy: arrays may be read-only views of a file, at addresses that are no multiple of four
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER


#: Protobuf's first byte tells Caffe's files from ONNX's: those begin with a name or a layer (field
#: 1, 2 or 100, of bytes), these with a version (field 1, an integer).
FORMATS = (
    Format((".safetensors",), _is_safetensors, _read_safetensors),
    Format(
        (".pth", ".pt", ".ckpt", ".bin"),
        lambda head: head.startswith((ZIP, PICKLE)),
        read_state_dict,
    ),
    Format((".json",), lambda head: False, _read_shards),
    Format((".mat",), lambda head: head.startswith(b"MATLAB"), _layers(read_matconvnet)),
    Format((".onnx",), lambda head: head[:1] == b"\x08", _layers(read_onnx)),
    Format(
        (".caffemodel",),
        lambda head: head.startswith((b"\x0a", b"\x12", b"\xa2\x06")),
        _layers(read_caffemodel),
    ),
)

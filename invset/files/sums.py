"""Short sums of values, by which two questions are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

#: Hexadecimal digits of a sum.
_DIGITS = 12


def short_sum(*values: Any) -> str:
    """The beginning of the sha256 of `values`: numbers, texts, tensors, and lists, mappings and
    dataclasses of them. A mapping counts in the order of its keys.
    """
    digest = hashlib.sha256()
    for value in values:
        for part in _parts(value):
            digest.update(part)
    return digest.hexdigest()[:_DIGITS]


def _parts(value: Any) -> Iterator[Any]:
    """A value as bytes, unlike those of any other."""
    if isinstance(value, Tensor):
        yield f"tensor {value.dtype} {tuple(value.shape)}:".encode()
        flat = value.detach().cpu().contiguous().flatten()
        yield flat.view(torch.uint8).numpy()  # no copy: a set of pictures takes gigabytes
    elif is_dataclass(value):
        yield from _parts({field.name: getattr(value, field.name) for field in fields(value)})
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}:".encode()
        for key in sorted(value, key=str):
            yield from _parts(str(key))
            yield from _parts(value[key])
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}:".encode()
        for one in value:
            yield from _parts(one)
    else:
        said = repr(value)
        yield f"{len(said)}:{said}".encode()

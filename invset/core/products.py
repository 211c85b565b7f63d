"""How products of float32 numbers are taken: in float32, or rounded to TensorFloat-32 before.

PyTorch asks its settings when a kernel runs, so forward and backward passes are both to be inside
of `products`. By itself it takes convolutions on CUDA in TensorFloat-32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from operator import attrgetter
from typing import Any

import torch

#: The settings of PyTorch from 2.9 on, outer ones before those that follow them. In this order a
#: setting that only follows another one need not be touched, and goes on to follow it.
_SETTINGS = (
    "backends",
    "backends.cudnn",
    "backends.mkldnn",
    "backends.cudnn.conv",
    "backends.cudnn.rnn",
    "backends.cuda.matmul",
    "backends.mkldnn.conv",
    "backends.mkldnn.rnn",
    "backends.mkldnn.matmul",
)

#: Those of them that had one name together before.
_NAMED = ("backends.cuda.matmul", "backends.mkldnn.matmul")


@contextmanager
def products(kind: str) -> Iterator[None]:
    """Take products in one way until the context ends; then settings are as they were.

    It is a decorator, too. The settings hold in all threads.

    Args:
        kind: "float32", or "tf32", which GPUs alone know.
    """
    undo: list[Callable[[], None]] = []
    try:
        if hasattr(torch.backends, "fp32_precision"):
            _set("tf32" if kind == "tf32" else "ieee", undo)
        else:
            _set_as_before(kind == "tf32", undo)
        yield
    finally:
        for one in reversed(undo):
            one()


@cache
def _holders(names: tuple[str, ...]) -> list[Any]:
    return [attrgetter(name)(torch) for name in names]


def _set(precision: str, undo: list[Callable[[], None]]) -> None:
    old = _old_name() if precision == "tf32" else None
    named = _holders(_NAMED) if old else []
    alone = ["tf32" if one.fp32_precision == "tf32" else "none" for one in named]
    for holder in _holders(_SETTINGS):
        before = holder.fp32_precision
        if before != precision:
            undo.append(partial(setattr, holder, "fp32_precision", before))
            holder.fp32_precision = precision
    if old in ("highest", "medium"):
        # torch.compile asks by the old name, which fails where the two do not agree; setting it
        # makes settings that followed others stand alone
        for holder, value in zip(named, alone, strict=True):
            undo.append(partial(setattr, holder, "fp32_precision", value))
        undo.append(partial(torch.set_float32_matmul_precision, old))
        torch.set_float32_matmul_precision("high")


def _old_name() -> str | None:
    """How products are taken by the name before 2.9; None where a program has mixed the names."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_as_before(allowed: bool, undo: list[Callable[[], None]]) -> None:
    """The same by the settings that PyTorch had before 2.9."""
    convolution = torch.backends.cudnn.allow_tf32
    product = torch.get_float32_matmul_precision()
    undo.append(partial(setattr, torch.backends.cudnn, "allow_tf32", convolution))
    undo.append(partial(torch.set_float32_matmul_precision, product))
    torch.backends.cudnn.allow_tf32 = allowed
    torch.set_float32_matmul_precision("high" if allowed else "highest")

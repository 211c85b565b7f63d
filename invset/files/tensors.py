"""Safetensors files: the one place where they are read and written, with torch or without it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from safetensors import safe_open

from invset.files.reading import reading, regular_file

if TYPE_CHECKING:
    from torch import Tensor

# torch is imported where tensors are read or written, because a report reads arrays without it


def read_arrays(path: str | Path, what: str, hint: str) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file, without torch.

    Args:
        path: of the file.
        what: should be in it, for messages: "samples".
        hint: what to do or type where there is no such file.

    Raises:
        InvsetError: no such file, or not a safetensors file.
    """
    return _read(path, "np", what, hint)[0]


def read_safetensors(
    path: str | Path, what: str, hint: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a safetensors file, on the CPU, and its metadata; as `read_arrays`."""
    return _read(path, "pt", what, hint)


def read_tensors(
    path: str | Path, what: str, without: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that ``invset fit`` makes.

    Args:
        path: of the file.
        what: the kind of file, as in ``invset fit WHAT``.
        without: the option that does without such a file.

    Raises:
        InvsetError: no such file, or not a safetensors file.
    """
    return read_safetensors(path, what, f"make one with: invset fit {what}, or type {without}")


def _read(
    path: str | Path, framework: Literal["np", "pt"], what: str, hint: str
) -> tuple[dict[str, Any], dict[str, str]]:
    path = regular_file(path, what, hint)
    with reading(path, "a safetensors file", hint), safe_open(path, framework=framework) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, which whoever may read a person's other files may read: `save_file`
    makes one for its owner alone.
    """
    from safetensors.torch import save_file

    path = Path(path)
    path.touch()
    mode = path.stat().st_mode
    # straight to the file: the bytes of a large prior need not be in memory beside it
    save_file({name: one.cpu().contiguous() for name, one in tensors.items()}, path, metadata)
    path.chmod(mode)

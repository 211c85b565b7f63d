"""Safetensors files that invset writes and reads itself: samples, weights, natural regions and
references.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from invset.errors import InvsetError


def read_tensors(
    path: str | Path, what: str, without: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Args:
        path: of the file.
        what: the kind of file, as in ``invset fit WHAT``.
        without: the option that does without such a file.

    Raises:
        InvsetError: no such file, or not a safetensors file.
    """
    path = Path(path).expanduser()
    make = f"make one with: invset fit {what}, or type {without}"
    if not path.is_file():
        raise InvsetError(f"no {what} at {path}; {make}")
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except SafetensorError as error:
        raise InvsetError(
            f"{path} is not a safetensors file, as a {what} is ({error}); {make}"
        ) from error


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file, which whoever may read a person's other files may read: `save_file`
    makes one for its owner alone.
    """
    Path(path).write_bytes(
        save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    )

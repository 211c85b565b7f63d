r"""A file of values that is read back whole or not at all, and that runs no code: of a run's state
and of a training's checkpoint.

    b"invset state 1\n" | sha256 of what follows, 32 bytes | a safetensors file

The tensors are the file's, in the order in which they lie in memory; everything else is JSON in its
metadata. A single wrong bit anywhere is told.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from torch import Tensor, contiguous_format

from invset.errors import InvsetError

#: What a file begins with; the number is that of its form.
MAGIC = b"invset state 1\n"


def write_sealed(path: Path, value: Any) -> None:
    """Write tensors, plain values, and lists, tuples and dictionaries of these.

    Raises:
        TypeError: a value of another type.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    form = json.dumps(_form(value, tensors))
    body = save(tensors, {"form": form})
    with path.open("wb") as file:
        file.write(MAGIC + hashlib.sha256(body).digest())
        file.write(body)


def read_sealed(path: Path, hint: str) -> Any:
    """What `write_sealed` wrote, tensors on the CPU.

    Args:
        path: of the file.
        hint: what to do or type where it can't be read.

    Raises:
        InvsetError: it is not what was written, or no such file at all.
    """
    if path.is_symlink() or not path.is_file():
        raise InvsetError(f"{path} is no file of its own, but a link or a device; {hint}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvsetError(f"{path} can't be read ({error.strerror}); {hint}") from error
    if not content.startswith(MAGIC):
        raise InvsetError(f"{path} is no state that this version of invset wrote; {hint}")
    begin = len(MAGIC) + hashlib.sha256().digest_size
    body = content[begin:]
    if hashlib.sha256(body).digest() != content[len(MAGIC) : begin]:
        raise InvsetError(f"{path} is damaged: it is not as it was written; {hint}")
    try:
        return _opened(body)
    except Exception as error:  # its checksum is right: somebody made it so
        raise InvsetError(f"{path} is no state that invset wrote; {hint}") from error


def _opened(body: bytes) -> Any:
    from safetensors.torch import load

    size = int.from_bytes(body[:8], "little")
    form = json.loads(body[8 : 8 + size])["__metadata__"]["form"]
    return _value(json.loads(form), load(body))


def _form(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON; its tensors are put into `tensors`."""
    if isinstance(value, Tensor):
        # as it lies in memory: sums over another order of the axes are rounded otherwise
        order = sorted(range(value.ndim), key=value.stride, reverse=True)
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().permute(order).clone(memory_format=contiguous_format)
        return {"tensor": name, "axes": [order.index(axis) for axis in range(value.ndim)]}
    if isinstance(value, dict):
        pairs = [[_form(key, tensors), _form(one, tensors)] for key, one in value.items()]
        return {"dict": pairs}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_form(one, tensors) for one in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a state can't hold {type(value).__name__}")


def _value(form: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `_form`."""
    if not isinstance(form, dict):
        return form
    if "tensor" in form:
        return tensors[form["tensor"]].permute(form["axes"])
    if "dict" in form:
        return {_value(key, tensors): _value(one, tensors) for key, one in form["dict"]}
    kind = list if "list" in form else tuple
    return kind(_value(one, tensors) for one in form["list" if kind is list else "tuple"])

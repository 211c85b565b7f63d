"""A state as plain values and back: so that a run goes on from a file without pickle.

States are frozen dataclasses of tensors, numbers, texts, lists, dictionaries and other such
dataclasses. What a file holds is checked against the types of their fields.
"""

from __future__ import annotations

import enum
import types
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from invset.errors import InvsetError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dataclasses become dictionaries by field; tensors and plain values stay.

    Raises:
        InvsetError: a value of another type, which no file could hold without pickle.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: to_plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [to_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: to_plain(one) for key, one in value.items()}
    if value is None or isinstance(value, (Tensor, bool, int, float, str)):
        return value
    raise InvsetError(
        "a state holds tensors, numbers, texts, lists, dictionaries and dataclasses of these, no"
        f" {type(value).__name__}"
    )


def on_cpu(record: T) -> T:
    """A dataclass whose tensors are on the CPU."""
    held = {one.name: getattr(record, one.name) for one in fields(record)}  # type: ignore[arg-type]
    moved = {name: value.cpu() for name, value in held.items() if isinstance(value, Tensor)}
    return replace(record, **moved)  # type: ignore[type-var]


def from_plain(kind: type[T], value: Any) -> T:
    """The inverse of `to_plain`.

    Args:
        kind: the dataclass that was saved.
        value: what `to_plain` gave.

    Raises:
        InvsetError: fields are missing or unknown: another version wrote it.
    """
    return _restored(kind, value)


def _restored(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        inner = [one for one in get_args(kind) if one is not type(None)]
        return None if value is None else _restored(inner[0], value)
    if origin in (list, tuple):
        items = [_restored(get_args(kind)[0], one) for one in value]
        return origin(items)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if is_dataclass(origin or kind):
        return _dataclass(origin or kind, get_args(kind), value)
    return value


def _dataclass(kind: Any, arguments: tuple[Any, ...], value: Any) -> Any:
    """A dataclass, generic in `arguments`."""
    names = {one.name for one in fields(kind)}
    if not isinstance(value, dict) or set(value) != names:
        raise InvsetError(
            "the saved state is not of this version of invset or of this sampler; start the run"
            " anew"
        )
    variables = dict(zip(getattr(kind, "__parameters__", ()), arguments, strict=False))
    hints = {name: variables.get(hint, hint) for name, hint in get_type_hints(kind).items()}
    return kind(**{name: _restored(hints[name], value[name]) for name in names})


def on_device(value: Any, device: Any) -> Any:
    """Nested dictionaries and lists with every tensor moved."""
    if isinstance(value, dict):
        return {key: on_device(one, device) for key, one in value.items()}
    if isinstance(value, list):
        return [on_device(one, device) for one in value]
    return value.to(device) if hasattr(value, "to") else value

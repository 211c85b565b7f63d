"""Values as people have them: NumPy scalars and arrays, tensors, lists; and equality of what holds
tensors.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from invset.core.checks import plain
from invset.errors import InvsetError


class ByValue:
    """Equality and hash of a dataclass (``eq=False``) whose fields may hold tensors."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        names = [one.name for one in fields(self)]  # type: ignore[arg-type]
        return all(same(getattr(self, name), getattr(other, name)) for name in names)

    def __hash__(self) -> int:
        values = [getattr(self, one.name) for one in fields(self)]  # type: ignore[arg-type]
        return hash((type(self).__name__, *map(_outline, values)))


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal, tensors in them by shape, type and every number."""
    if a is b:
        return True
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype is b.dtype and torch.equal(a.cpu(), b.cpu())
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return False
    if isinstance(a, (list, tuple)) and type(a) is type(b):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def _outline(value: Any) -> Any:
    """What equal values have alike, and can be hashed."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple, Mapping)):
        return len(value)
    return hash(value) if isinstance(value, Hashable) else type(value).__name__


def as_pair(key: str, value: Any, example: str) -> tuple[Any, Any]:
    """Two values of a tuple, list, array or tensor.

    Args:
        key: what messages call it.
        value: what was given.
        example: of what is allowed.

    Raises:
        InvsetError: it is no such thing, or holds another number of values.
    """
    try:
        first, second = (plain(one) for one in value)
    except (TypeError, ValueError):
        raise InvsetError(f"{key} is two numbers, not {value}; for example {example}") from None
    return first, second


def as_vector(key: str, value: Any) -> Tensor:
    """Numbers of a list, array or tensor as one dense float32 axis.

    Raises:
        InvsetError: it is no such thing, has other axes, or numbers that are not finite.
    """
    try:
        vector = value if isinstance(value, Tensor) else torch.as_tensor(value)
        vector = (vector.to_dense() if vector.layout is not torch.strided else vector).detach()
        real = not vector.is_complex() and vector.dtype is not torch.bool
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvsetError(f"{key} must be a list, array or tensor of numbers ({error})") from None
    if vector.ndim != 1 or not len(vector) or not real or not vector.isfinite().all():
        raise InvsetError(
            f"{key} must be one axis of finite real numbers, not {vector.dtype} of shape"
            f" {tuple(vector.shape)}"
        )
    return vector.float()

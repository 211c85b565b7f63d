"""On which axis a layer's channels lie: found by what made the layer, never assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

from invset.errors import InvsetError

#: Where channels lie: behind the axis of the batch, or at the end.
FIRST = "first"
LAST = "last"

#: Modules that work on channels of the one or the other axis.
_ON_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.LocalResponseNorm,
    nn.Upsample,
    nn.PixelShuffle,
)
_ON_LAST = (nn.Linear, nn.Embedding)


@dataclass(frozen=True)
class Call:
    """One call of a module in a pass.

    Attributes:
        path: of the module; with ``#2`` behind it, its second call.
        module: that was called.
        given: its first input, if that is a tensor.
        made: its output.
    """

    path: str
    module: nn.Module
    given: Tensor | None
    made: Tensor


def find_axes(calls: Sequence[Call]) -> dict[str, str | None]:
    """Path of each call, and with ``.input`` behind it of what entered -> `FIRST`, `LAST`, or None
    where it can't be told. Tensors of fewer than three axes are left out.

    Args:
        calls: of one pass, in the order in which they ended.
    """
    known: dict[object, str] = {}
    for call in calls:
        axis = _of_module(call.module) or known.get(_key(call.made)) or _kept_by(call, known)
        for tensor in (call.made, call.given):
            # what a module of channels is given has them on the same axis
            says = axis if tensor is call.made else _of_module(call.module)
            if tensor is not None and tensor.ndim > 2 and says:
                known.setdefault(_key(tensor), says)
    held = [(call.path, call.made) for call in calls]
    held += [(f"{call.path}.input", call.given) for call in calls if call.given is not None]
    large = [(path, tensor) for path, tensor in held if tensor.ndim > 2]
    turned = {_key(call.made) for call in calls if _may_turn(call) and _key(call.made) not in known}
    rest = _Rest.of([(tensor, known.get(_key(tensor))) for _, tensor in large])
    return {
        path: known.get(_key(tensor)) or (None if _key(tensor) in turned else rest.of_shape(tensor))
        for path, tensor in large
    }


def _of_module(module: nn.Module) -> str | None:
    """What a module says of the axis of what it makes."""
    if isinstance(module, _ON_FIRST):
        return FIRST
    # classes that are made of LayerNorm may turn their inputs around
    if isinstance(module, _ON_LAST) or type(module) is nn.LayerNorm:
        return LAST
    return None


def _kept_by(call: Call, known: Mapping[object, str]) -> str | None:
    """A module without parts that keeps the shape, as activations do, keeps the axis."""
    if call.given is None or any(call.module.children()) or call.given.shape != call.made.shape:
        return None
    return None if _may_turn(call) else known.get(_key(call.given))


def _may_turn(call: Call) -> bool:
    """Whether nothing tells in which order a module left its axes: code of a person's own, without
    parts, that makes a tensor of equal sides.
    """
    own = not type(call.module).__module__.startswith("torch.nn.")
    equal = call.made.ndim > 2 and len(set(call.made.shape[1:])) == 1
    return own and equal and not any(call.module.children())


def _key(tensor: Tensor) -> object:
    return tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.stride()


@dataclass(frozen=True)
class _Rest:
    """What can be said of tensors that no module says anything of, such as sums of others.

    Attributes:
        kinds: number of axes -> where channels lie in the tensors that are known.
        sides: height and width of the maps that are known.
    """

    kinds: dict[int, set[str]]
    sides: set[tuple[int, ...]]

    @classmethod
    def of(cls, held: Sequence[tuple[Tensor, str | None]]) -> _Rest:
        kinds: dict[int, set[str]] = {}
        sides = set()
        for tensor, axis in held:
            if axis is not None:
                kinds.setdefault(tensor.ndim, set()).add(axis)
                sides.add(tuple(tensor.shape[2:] if axis == FIRST else tensor.shape[1:-1]))
        return cls(kinds, sides)

    def of_shape(self, tensor: Tensor) -> str | None:
        """By the sides of known maps first; what is alike in both readings, by other layers."""
        shape = tuple(tensor.shape[1:])
        if len(shape) == 2:
            areas = {prod(sides) for sides in self.sides if len(sides) == 2}
            told = [(shape[1] in areas, shape[0] in areas)]
        else:
            told = [
                (shape[1:] in self.sides, shape[:-1] in self.sides),
                (_square(shape[1:]), _square(shape[:-1])),
            ]
        for is_first, is_last in told:
            if is_first != is_last:
                return FIRST if is_first else LAST
        kinds = self.kinds.get(tensor.ndim, set())
        if len(kinds) == 1:
            return next(iter(kinds))
        return LAST if len(shape) == 2 and not told[0][0] else None


def _square(sides: tuple[int, ...]) -> bool:
    return len(set(sides)) == 1


def check_axis(layer: str, axis: str) -> str:
    """Raise `InvsetError` for an axis that is neither."""
    if axis not in (FIRST, LAST):
        raise InvsetError(
            f"the channels of layer {layer} lie on the {FIRST} or the {LAST} axis, not {axis!r}"
        )
    return axis

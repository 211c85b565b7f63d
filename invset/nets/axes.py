"""On which axis a layer's channels lie: found by what made the layer, never assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module in a pass.

    Attributes:
        path: of the module.
        number: of its calls, this one with them.
        module: that was called.
        given: its first input, if that is a tensor.
        made: its output.
        version: of the output at the end of the call; work in place raises it.
    """

    path: str
    number: int
    module: nn.Module
    given: Tensor | None
    made: Tensor
    version: int

    @property
    def layer(self) -> str:
        """The path; with ``#2`` behind it, of a second call."""
        return f"{self.path}#{self.number}" if self.number > 1 else self.path


def find_axes(calls: Sequence[Call], given: Tensor) -> dict[str, str | None]:
    """Path of each call, and with ``.input`` behind it of what entered -> `FIRST`, `LAST`, or None
    where it can't be told. Tensors of fewer than three axes are left out.

    Args:
        calls: of one pass, in the order in which they ended.
        given: its input.
    """
    known: dict[object, str] = {}
    for call in calls:
        axis = _of_module(call.module) or known.get(_key(call.made)) or _kept_by(call, known)
        for tensor in (call.made, call.given):
            # what a module of channels is given has them on the same axis
            says = axis if tensor is call.made else _of_module(call.module)
            if tensor is not None and tensor.ndim > 2 and says:
                known.setdefault(_key(tensor), says)
    held = [(call.layer, call.made) for call in calls]
    held += [(f"{call.layer}.input", call.given) for call in calls if call.given is not None]
    large = [(path, tensor) for path, tensor in held if tensor.ndim > 2]
    turned = {_key(call.made) for call in calls if _may_turn(call) and _key(call.made) not in known}
    rest = _Rest.of([(tensor, known.get(_key(tensor))) for _, tensor in large], given)
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
        sides: height and width of the maps that are known, and of the input.
        rows: channels and positions of each of these maps, if its positions were in one row.
        input: height and width, if it has them.
    """

    kinds: dict[int, set[str]]
    sides: set[tuple[int, ...]]
    rows: set[tuple[int, int]]
    input: tuple[int, ...]

    @classmethod
    def of(cls, held: Sequence[tuple[Tensor, str | None]], given: Tensor) -> _Rest:
        kinds: dict[int, set[str]] = {}
        input_ = tuple(given.shape[2:]) if given.ndim == 4 else ()
        sides = {input_}
        rows = set()
        for tensor, axis in held:
            if axis is None:
                continue
            kinds.setdefault(tensor.ndim, set()).add(axis)
            if tensor.ndim == 4:
                channels, *maps = tensor[0].movedim(0 if axis == FIRST else -1, 0).shape
                sides.add(tuple(maps))
                rows.add((channels, math.prod(maps)))
        return cls(kinds, sides, rows, input_)

    def of_shape(self, tensor: Tensor) -> str | None:
        """By the sides of known maps first; what is alike in both readings, by other layers."""
        shape = tuple(tensor.shape[1:])
        kinds = self.kinds.get(tensor.ndim, set())
        usual = next(iter(kinds)) if len(kinds) == 1 else None
        if tensor.ndim == 3:
            turned = shape in self.rows, shape[::-1] in self.rows
            return _either(*turned) or usual or (None if all(turned) else LAST)  # tokens
        if tensor.ndim != 4:
            return usual or LAST
        told = _either(self._are_sides(shape[1:]), self._are_sides(shape[:-1]))
        return told or usual or _either(shape[1:] in self.sides, shape[:-1] in self.sides)

    def _are_sides(self, pair: tuple[int, ...]) -> bool:
        """Whether they are sides of maps: of known ones, or of the input's divided by one number
        and rounded.
        """
        if pair in self.sides or not self.input:
            return pair in self.sides
        (a, b), (height, width) = pair, self.input
        return (a - 1) * width < (b + 1) * height and (b - 1) * height < (a + 1) * width


def _either(first: bool, last: bool) -> str | None:
    """The axis of which alone something holds."""
    if first == last:
        return None
    return FIRST if first else LAST


def check_axis(layer: str, axis: str) -> str:
    """Raise `InvsetError` for an axis that is neither."""
    if axis not in (FIRST, LAST):
        raise InvsetError(
            f"the channels of layer {layer} lie on the {FIRST} or the {LAST} axis, not {axis!r}"
        )
    return axis


def arranged(value: Tensor, axis: str | None) -> Tensor:
    """Tokens with their channels last, and maps with them first, wherever they lie."""
    if value.ndim == 4 and axis == LAST:
        return value.movedim(-1, 1)
    if value.ndim == 3 and axis == FIRST:
        return value.movedim(1, -1)
    return value

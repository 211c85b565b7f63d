"""Where in a layer of maps or tokens a neuron is read."""

from __future__ import annotations

from collections.abc import Sequence

from invset.errors import InvsetError
from invset.nets.tokens import Tokens

#: A position as a person gives it.
Position = str | int | tuple[int, int]

#: A position in a layer of known shape: "max" and "mean" over all positions, or indices from 0 of
#: one: () in units, (token,) in tokens, (y, x) in maps.
At = str | tuple[int, ...]


def locate(
    position: Position, shape: Sequence[int], layer: str, tokens: Tokens | int | None = None
) -> At:
    """A position in a layer.

    Args:
        position: as in `Neuron`.
        shape: of one input's activations: (units,), (tokens, channels) or (channels, H, W).
        layer: what messages call it.
        tokens: which of them are patches, or how many come before these; None: those that a square
            of patches leaves over.

    Raises:
        InvsetError: the layer has no such position; says which it has.
    """
    if len(shape) == 1:
        if position != "center":
            raise InvsetError(
                f"layer {layer} has units, which have no positions; leave position={position} out"
            )
        return ()
    if position in ("max", "mean"):
        return str(position)
    if len(shape) == 2:
        return _token(position, shape[0], layer, Tokens.of(tokens))
    height, width = shape[1:]
    if position == "center":
        return height // 2, width // 2
    if not isinstance(position, tuple):
        raise InvsetError(
            f"layer {layer} has maps, whose position is center, max, mean or [y, x], not {position}"
        )
    return _inside(position, (height, width), f"layer {layer}, whose maps are")


def described(position: Position, at: At, shape: Sequence[int]) -> str:
    """Where a neuron is read, in words that follow its name; empty for units.

    Args:
        position: as in `Neuron`.
        at: the same, as `locate` gives it.
        shape: of one input's activations.
    """
    if len(shape) == 1:
        return ""
    tokens = len(shape) == 2
    size = f"{shape[0]} tokens" if tokens else f"{shape[1]}x{shape[2]}"
    if isinstance(at, str):
        return f"as the {'largest' if at == 'max' else 'mean'} of {size}"
    named = {"center": "the centre"}.get(str(position), str(position))
    if tokens:
        return f"at {f'{named}, ' if isinstance(position, str) else ''}token {at[0]} of {shape[0]}"
    return f"at {'the centre ' if position == 'center' else ''}[{at[0]},{at[1]}] of {size}"


def default_position(shape: Sequence[int], tokens: Tokens) -> Position:
    """A position that a layer of this shape has: the class token, the centre, or token 0."""
    if len(shape) != 2:
        return "center"
    names, grid = tokens.split(shape[0])
    if "cls" in names:
        return "cls"
    return "center" if grid else 0


def _token(position: Position, count: int, layer: str, tokens: Tokens) -> tuple[int]:
    """Index of one of `count` tokens."""
    names, grid = tokens.split(count)
    if isinstance(position, int):
        token = position
    elif position in names:
        token = names.index(str(position))
    elif grid and (position == "center" or isinstance(position, tuple)):
        patch = (grid[0] // 2, grid[1] // 2) if isinstance(position, str) else position
        y, x = _inside(patch, grid, f"layer {layer}, whose patches are")
        token = len(names) + y * grid[1] + x
    else:
        token = -1
    if 0 <= token < count:
        return (token,)
    patches = [f"center, a patch [y, x] below [{grid[0]}, {grid[1]}]"] if grid else []
    known = ", ".join([*filter(None, names), *patches])
    words = f"{known}, " if known else ""
    typed = list(position) if isinstance(position, tuple) else position
    raise InvsetError(
        f"layer {layer} has {count} tokens; position is {words}a token's number from 0 to"
        f" {count - 1}, max or mean, not {typed}; network.prefix_tokens= counts those before"
        " patches"
    )


def _inside(position: tuple[int, int], sides: tuple[int, int], where: str) -> tuple[int, int]:
    if not all(0 <= p < side for p, side in zip(position, sides, strict=True)):
        raise InvsetError(
            f"position {list(position)} lies outside {where} {sides[0]}x{sides[1]}, counted from 0"
        )
    return position

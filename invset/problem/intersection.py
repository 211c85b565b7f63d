"""Ranges of several neurons: those of one that is given twice must meet."""

from __future__ import annotations

from collections.abc import Sequence

from invset.errors import InvsetError
from invset.problem.neuron import ANY, At, Neuron, Place


def check_meeting(neurons: Sequence[Neuron], places: Sequence[Place]) -> None:
    """Raise `InvsetError` for a unit that is asked for in two ranges that have nothing in common.

    Args:
        neurons: of a problem.
        places: where each of them is.
    """
    seen: dict[tuple[str, int, At], tuple[float, float]] = {}
    for neuron, place in zip(neurons, places, strict=True):
        index = place.index
        if index is None:
            continue
        unit = (neuron.layer, index, place.at)
        (a, b) = seen.get(unit, ANY)
        (z1, z2) = neuron.range
        if max(a, z1) > min(b, z2):
            raise InvsetError(
                f"neuron {index + 1} of layer {neuron.layer} can't be in [{a:g}, {b:g}] and in"
                f" [{z1:g}, {z2:g}] at once; for one after the other type -m"
                f" 'range=[{a:g},{b:g}],[{z1:g},{z2:g}]'"
            )
        seen[unit] = (max(a, z1), min(b, z2))

"""Several neurons: as a list, and those of one that is given twice must have ranges that meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from invset.core.checks import check_kind
from invset.errors import InvsetError
from invset.problem.neuron import ANY, At, Neuron, Place


def several(neurons: Neuron | Iterable[Neuron]) -> list[Neuron]:
    """One neuron or several as a list.

    Raises:
        InvsetError: none, or what is no neuron.
    """
    listed = [neurons] if isinstance(neurons, Neuron) else neurons
    if not isinstance(listed, Iterable):
        check_kind("neurons", neurons, Neuron, "a Neuron or a list of them")
    found = list(listed)
    for one in found:
        check_kind("each of neurons", one, Neuron, "a Neuron('fc8', 981, range=(50, 60))")
    if not found:
        raise InvsetError("no neuron was given; type for example neuron=8 z1=3 z2=4")
    return found


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

"""Several neurons: as a list, in words, and with the ranges that they need: those of one neuron
that is given twice must meet, and a goal other than a range takes none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from invset.core.checks import as_words, check_kind
from invset.errors import InvsetError
from invset.problem.neuron import ANY, At, Neuron, Place
from invset.problem.robust import Robust


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


def asked_of(names: Iterable[str], neurons: Iterable[Neuron]) -> str:
    """The neurons and their ranges in words, for example ``fc8:8 horse in [3, 4]``."""
    pairs = zip(names, neurons, strict=True)
    return " and ".join(
        name if n.range == ANY else f"{name} in [{', '.join(as_words(*n.range))}]"
        for name, n in pairs
    )


def check_goal(
    goal: str, names: Iterable[str], neurons: Iterable[Neuron], robust: Robust | None
) -> None:
    """Raise `InvsetError` for a neuron whose range does not fit the goal.

    Args:
        goal: "range", "max" or "min".
        names: what messages call the neurons.
        neurons: of a problem.
        robust: how they are read, if in views.
    """
    for name, neuron in zip(names, neurons, strict=True):
        if goal == "range" and neuron.range == ANY:
            raise InvsetError(
                f"{name} has no range to sample; give Neuron(…, range=(z1, z2)), which `invset"
                " probe` helps to choose"
            )
        if goal != "range" and neuron.range != ANY:
            raise InvsetError(
                f"goal={goal} takes no range, but {name} has one; leave its range out, or take"
                " goal=range"
            )
    if goal != "range" and robust is not None and robust.range == "both":
        raise InvsetError(
            f"robust.range=both compares views with the middle of a range, and goal={goal} has"
            " none; type robust.range=views or robust.range=whole"
        )

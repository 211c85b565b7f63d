"""What ``invset probe`` says and writes: ``probe.json``, ``probe.csv`` and ``probe.png``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from invset.core.reach import LEVELS, rounded
from invset.files.rundir import RunDir
from invset.report.strip import Strip, plot
from invset.studies.probed import COLUMNS, RANDOM, REAL, UP, Probed

#: What to type for real images.
_IMAGES = "images=/path/to/images (folder, zip or tar)"


@dataclass(frozen=True)
class Told:
    """A neuron that was probed, and what is said of it.

    Attributes:
        probed: the neuron.
        command: that samples the suggested range, or the one above it that random codes hardly
            reach; None if there is none.
        sentences: for the terminal.
    """

    probed: Probed
    command: str | None
    sentences: list[str]

    @classmethod
    def of(cls, probed: Probed, words: Sequence[str]) -> Told:
        """Phrase it.

        Args:
            probed: the neuron.
            words: of the command that samples it, without a range.
        """
        command = None
        if probed.advised is not None and probed.advised.ends:
            z1, z2 = probed.advised.ends
            command = shlex.join([*words, f"z1={z1:g}", f"z2={z2:g}"])
        lines = [*_suggested(probed), _reachable(probed), *_beyond(probed)]
        return cls(probed, command, lines + ([f"  {command}"] if command else []))

    @property
    def strip(self) -> Strip:
        """For `invset.report.strip`."""
        rows = {row: (self.probed.counts[row], q) for row, q in self.probed.levels.items()}
        chosen = self.probed.advised
        return Strip(self.probed.name, rows, None if chosen is None else chosen.ends)

    def as_json(self) -> dict[str, Any]:
        """What ``probe.json`` holds of the neuron."""
        chosen = self.probed.advised
        populations = {
            row: {"count": self.probed.counts[row], "percentiles": q}
            for row, q in self.probed.levels.items()
        }
        return {
            "name": self.probed.name,
            "populations": populations,
            "suggested": chosen.ends if chosen else None,
            "of": chosen.of if chosen else None,
            "reachable": self.probed.reachable,
            "command": self.command,
            "sentences": self.sentences,
        }


def _suggested(probed: Probed) -> list[str]:
    """The range, and where it is from; or how to get one."""
    known = REAL in probed.levels
    lines = [] if known else [f"No activations on real images are stored for it; type {_IMAGES}."]
    ends = probed.suggested
    if probed.suggestion is None or ends is None:
        return [*lines, f"No range is suggested: {_why_none(probed)}."]
    z1, z2 = ends
    if known and not probed.suggestion.real:
        lines.append(f"No real image moves it from {probed.levels[REAL][-1]:.4g}.")
    reached = UP not in probed.levels or z2 <= probed.levels[UP][-1]
    far = "" if reached else ", of which the top was not reached"
    thin = f" (thin: of {probed.thin} only)" if probed.thin else ""
    lines.append(f"{probed.suggestion.of}: z1={z1:g} z2={z2:g}{far}{thin}")
    return lines + _common(probed)


def _common(probed: Probed) -> list[str]:
    """Where random codes are in the suggested range, too, a range that they are not in."""
    if not probed.common:
        return []
    said = "Random codes reach this range, too, so samples may show nothing"
    above = probed.above_random
    if above is None or above.ends is None:
        return [f"{said}, and ascents come no higher; try a larger steps= or length="]
    z1, z2 = above.ends
    return [f"{said}; try z1={z1:g} z2={z2:g}, {above.of}"]


def _why_none(probed: Probed) -> str:
    images = (
        f"no real image moves it from {probed.levels[REAL][-1]:.4g}"
        if REAL in probed.levels
        else "no real images are known"
    )
    if UP not in probed.levels:
        return f"{images}, and no ascent was taken; type starts=4 for one, or {_IMAGES}"
    top = probed.levels[UP][3]
    drawn = probed.levels[RANDOM][5]
    return (
        f"{images}, and half of the ascents of {probed.steps} steps came no higher than {top:.4g},"
        f" where random codes come to {drawn:.4g}; type a larger steps=, length= or seconds=, or"
        f" {_IMAGES}"
    )


def _reachable(probed: Probed) -> str:
    if UP not in probed.levels:
        return "reachable: unknown, since no ascent was taken; type starts=4"
    ascents = probed.levels[UP]
    whole = probed.reachable
    if whole is None:
        return f"reachable: nothing moves it from {ascents[-1]:.4g}"
    middle = rounded(whole[0], ascents[3])
    half = f"; half of the ascents came to {middle[1]:g} or higher" if middle else ""
    return f"reachable: {whole[0]:g} to {whole[1]:g} in {probed.steps} steps, farther in more{half}"


def _beyond(probed: Probed) -> list[str]:
    """Where nothing real is to compare with, of what was reached."""
    if REAL not in probed.levels or probed.reachable is None:
        return []
    low, high = probed.reachable
    smallest, largest = probed.levels[REAL][0], probed.levels[REAL][-1]
    ends = [f"above {largest:.3g}"] if high > largest else []
    ends += [f"below {smallest:.3g}"] if low < smallest else []
    none = f"None of the {probed.counts[REAL]} real images lies {' or '.join(ends)}."
    return [none] if ends else []


def write_probe(rundir: RunDir, about: dict[str, Any], told: Sequence[Told]) -> None:
    """Write the files.

    Args:
        rundir: where to.
        about: names of network, generator and prior, number of steps, and what else ``probe.json``
            says of the whole.
        told: the neurons.
    """
    neurons = [one.as_json() for one in told]
    rundir.write_json("probe.json", {**about, "levels": LEVELS, "neurons": neurons})
    rows = [
        [one.probed.name, row, one.probed.counts[row], *(f"{v:.7g}" for v in q)]
        for one in told
        for row, q in one.probed.levels.items()
    ]
    rundir.write_csv("probe.csv", ["neuron", "population", "count", *COLUMNS], rows)
    real = "real images, " if any(REAL in one.probed.levels for one in told) else ""
    title = (
        f"Activations of {about['network']}: {real}what generator {about['generator']}"
        f" makes of random codes (prior={about['prior']}),\nand how far at most {about['steps']}"
        " steps down and up the gradient bring such codes"
    )
    of = {one.probed.advised.of for one in told if one.probed.advised}
    band = f"suggested range: {of.pop()}" if len(of) == 1 else "suggested range"
    strips = [one.strip for one in told]
    rundir.write("probe.png", lambda path: plot(strips, title, band, path))

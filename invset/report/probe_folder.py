"""What ``invset probe`` says and writes: ``probe.json``, ``probe.csv`` and ``probe.png``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from invset.core.reach import LEVELS, rounded
from invset.files.rundir import RunDir
from invset.report.strip import Strip, plot
from invset.studies.probing import COLUMNS, REAL, UP, Probed


@dataclass(frozen=True)
class Told:
    """A neuron that was probed, and what is said of it.

    Attributes:
        probed: the neuron.
        command: that samples the suggested range; None if there is none.
        sentences: for the terminal.
    """

    probed: Probed
    command: str | None
    sentences: list[str]

    @classmethod
    def of(cls, probed: Probed, words: Sequence[str], steps: int) -> Told:
        """Phrase it.

        Args:
            probed: the neuron.
            words: of the command that samples it, without a range.
            steps: of each ascent and descent.
        """
        command = None
        if probed.suggested:
            z1, z2 = probed.suggested
            command = shlex.join([*words, f"z1={z1:g}", f"z2={z2:g}"])
        lines = [*_suggested(probed), _reachable(probed, steps)]
        return cls(probed, command, lines + ([f"  {command}"] if command else []))

    @property
    def strip(self) -> Strip:
        """For `invset.report.strip`."""
        rows = {row: (self.probed.counts[row], q) for row, q in self.probed.levels.items()}
        return Strip(self.probed.name, rows, self.probed.suggested)

    def as_json(self) -> dict[str, Any]:
        """What ``probe.json`` holds of the neuron."""
        populations = {
            row: {"count": self.probed.counts[row], "percentiles": q}
            for row, q in self.probed.levels.items()
        }
        return {
            "name": self.probed.name,
            "populations": populations,
            "suggested": self.probed.suggested,
            "of": self.probed.of,
            "reachable": self.probed.reachable,
            "command": self.command,
            "sentences": self.sentences,
        }


def _suggested(probed: Probed) -> list[str]:
    lines = []
    if REAL not in probed.levels:
        lines.append(
            "No activations on real images are stored for it; type images=/path/to/images (folder,"
            " zip or tar)."
        )
    if probed.suggested is None:
        none = f"{probed.of}: all {probed.low:.4g}, so there is no range to suggest."
        return [*lines, none]
    z1, z2 = probed.suggested
    far = "" if z2 <= probed.levels[UP][-1] else ", of which the top was not reached"
    return [*lines, f"{probed.of}: z1={z1:g} z2={z2:g}{far}"]


def _reachable(probed: Probed, steps: int) -> str:
    ascents = probed.levels[UP]
    whole = probed.reachable
    if whole is None:
        return f"reachable: nothing moves it from {ascents[-1]:.4g}"
    middle = rounded(whole[0], ascents[3])
    half = f"; half of the ascents came to {middle[1]:g} or higher" if middle else ""
    return f"reachable: {whole[0]:g} to {whole[1]:g} in {steps} steps, farther in more{half}"


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
        f" makes of random codes (prior={about['prior']}),\nand how far {about['steps']} steps down"
        " and up the gradient bring such codes"
    )
    of = {one.probed.of for one in told}
    band = f"suggested range: {of.pop()}" if len(of) == 1 else "suggested range"
    strips = [one.strip for one in told]
    rundir.write("probe.png", lambda path: plot(strips, title, band, path))

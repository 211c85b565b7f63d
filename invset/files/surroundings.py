"""What the bytes of a run or of a training depend on beside its state: a state goes on in the
surroundings that it comes from, or in others that were accepted by name.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from invset import __version__
from invset.errors import InvsetError, did_you_mean
from invset.files.sealed import read_sealed, write_sealed

#: How a person makes things as they were.
_BACK = {
    "options": "put the configuration back as it was",
    "runtime": "leave these options as they were",
    "files": "put the files back as they were",
    "weights": "take the same weights",
    "code": "put the code back as it was",
    "versions": "install the same versions",
    "device": "go on where it began",
    "threads": "type OMP_NUM_THREADS={was} before the command",
}


def machine(device: str | torch.device) -> dict[str, dict[str, Any]]:
    """Versions, device and number of threads: sums are rounded otherwise with others.

    Python's own version is left out: no number of a sample is computed by it.
    """
    device = torch.device(device)
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {
        "versions": {
            "invset": __version__,
            "torch": torch.__version__,
            "torchvision": metadata.version("torchvision"),
            "numpy": metadata.version("numpy"),
        },
        "device": {"device": f"{device.type} ({name})"},
        "threads": {"threads": torch.get_num_threads()},
    }


class Surroundings:
    """Of one run or training.

    Args:
        parts: kind -> name -> value, in plain values: "versions" -> "torch" -> "2.6.0".
        needed: kind that must be as it was; the others may be accepted.
        free: names of that kind, or the first part of names with dots, that may differ.

    Attributes:
        changed: what was accepted, a few words for each.
    """

    def __init__(
        self, parts: Mapping[str, Mapping[str, Any]], needed: str, free: Collection[str] = ()
    ) -> None:
        self.parts = {kind: dict(held) for kind, held in parts.items()}
        self.needed = needed
        self.free = free
        self.changed: list[str] = []

    def write(self, path: Path, state: Mapping[str, Any]) -> None:
        """Write a state that belongs here."""
        write_sealed(
            path, {"surroundings": self.parts, "changed": self.changed, "state": dict(state)}
        )

    def read(self, path: Path, again: str, accept: Sequence[str], way: str) -> dict[str, Any]:
        """What `write` wrote in the same surroundings.

        Args:
            path: of the file.
            again: what to do or type for a new start.
            accept: kinds that may differ.
            way: how kinds are accepted on the command line, with ``{}`` for them.

        Raises:
            InvsetError: the file is damaged, is no state, or comes from others.
        """
        accept = [accept] if isinstance(accept, str) else list(accept or ())
        self._check_accepted(accept, way)
        held = read_sealed(path, again)
        try:
            then, changed, state = (held[key] for key in ("surroundings", "changed", "state"))
            # an earlier version may have known fewer kinds
            found = {kind: self._differing(kind, then[kind]) for kind in self.parts if kind in then}
        except (AttributeError, KeyError, TypeError) as error:
            raise InvsetError(f"{path} is no state that invset wrote; {again}") from error
        differing = {kind: names for kind, names in found.items() if names}
        refused = differing.keys() - set(accept)
        if refused:
            told = [kind for kind in differing if kind in refused]
            raise InvsetError(self._refusal(path, differing, told, then, again, way))
        self.changed = [*changed, *(word for names in differing.values() for word in names)]
        return state

    def _check_accepted(self, accept: Sequence[str], way: str) -> None:
        known = [kind for kind in self.parts if kind != self.needed]
        for kind in accept:
            if kind not in known:
                raise InvsetError(
                    f"{kind} can't be accepted.{did_you_mean(kind, known)} Type"
                    f" {way.replace('{}', known[-1])}; there are {', '.join(known)}"
                )

    def _differing(self, kind: str, then: Mapping[str, Any]) -> list[str]:
        """What was otherwise: a few words for each name of a kind."""
        now = self.parts[kind]
        free = self.free if kind == self.needed else ()
        names = sorted(
            name
            for name in now.keys() | then.keys()
            if name.split(".")[0] not in free and _other(then, now, name)
        )
        return [f"{name} was {_told(then, name)} and is {_told(now, name)}" for name in names]

    def _refusal(
        self,
        path: Path,
        differing: Mapping[str, list[str]],
        refused: Collection[str],
        then: Mapping[str, Mapping[str, Any]],
        again: str,
        way: str,
    ) -> str:
        words = [word for kind in refused for word in differing[kind]]
        was = then.get("threads", {}).get("threads")
        back = " and ".join(_BACK[kind].format(was=was) for kind in refused)
        more = f", and {len(words) - 3} more differ" if len(words) > 3 else ""
        text = f"{path} does not belong here: {', '.join(words[:3])}{more}; {back}"
        if self.needed in refused:
            return f"{text}, or {again}"
        accepted = ",".join(kind for kind in differing if kind != self.needed)
        return (
            f"{text}; or go on with other bytes than a run in one go: {way.replace('{}', accepted)}"
        )


def _other(then: Mapping[str, Any], now: Mapping[str, Any], name: str) -> bool:
    # as text: a number that is not one equals itself
    return (name in then, repr(then.get(name))) != (name in now, repr(now.get(name)))


def _told(held: Mapping[str, Any], name: str) -> str:
    if name not in held:
        return "not there"
    text = str(held[name])
    return text if len(text) <= 40 else f"{text[:12]}…"

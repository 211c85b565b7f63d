"""What a sweep is going to do: the words and the identity of each of its jobs, written down before
the first one begins.

The jobs of a plan, and no others, are in the sweep's table. Jobs of earlier commands in the same
folder lie beside them.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invset.files.ledger import HOME, PLAN, PLAN_PART

#: Options that change no sample and no figure of a result, or their last digits (together).
FREE = frozenset(
    {
        *("progress", "overwrite", "checkpoint_seconds", "retry", "objective", "collect"),
        *("gpu_jobs", "keep", "together"),
    }
)


@dataclass(frozen=True)
class Plan:
    """A sweep that has begun.

    Attributes:
        name: that no other command's has.
        begun: seconds since 1970.
        command: what was typed behind ``invset``.
        jobs: identity of each job -> its words.
    """

    name: str
    begun: float
    command: list[str]
    jobs: dict[str, list[str]]


def matching(words: Sequence[str]) -> tuple[str, ...]:
    """Words of a job without those that change no sample of its result."""
    return tuple(word for word in words if word.split("=")[0].lstrip("+~") not in FREE)


class Planner:
    """Takes down the jobs of a sweep, in the process that begins it.

    Args:
        sweep: its folder; None takes down nothing, as in the process of a job.
        command: what was typed behind ``invset``.
    """

    def __init__(self, sweep: Path | None, command: Sequence[str] = ()) -> None:
        self.sweep = sweep
        self.known: set[str] = set()
        if sweep is not None:
            head = {"plan": os.urandom(8).hex(), "begun": time.time(), "command": list(command)}
            _line(sweep / HOME / PLAN_PART, head, "w")

    def __reduce__(self) -> Any:
        return Planner, (None,)

    def note(self, words: Sequence[str], identity: str) -> None:
        """A job that is going to be."""
        if self.sweep is None or identity in self.known:
            return
        self.known.add(identity)
        part = self.sweep / HOME / PLAN_PART  # until the first job begins
        path = part if part.exists() else self.sweep / HOME / PLAN
        _line(path, {"identity": identity, "words": list(words)}, "a")


def put_in_force(sweep: Path) -> bool:
    """Let what was taken down be the plan of the sweep; whether other jobs are now in it. The
    caller holds the lock of the lists of jobs.
    """
    part = sweep / HOME / PLAN_PART
    if part.is_symlink() or not part.is_file():
        return False
    before = read_plan(sweep)
    os.replace(part, sweep / HOME / PLAN)
    now = read_plan(sweep)
    return now is not None and (before is None or before.jobs.keys() != now.jobs.keys())


def forget_part(sweep: Path) -> None:
    """Delete a plan of which no job has begun."""
    (sweep / HOME / PLAN_PART).unlink(missing_ok=True)


def read_plan(sweep: Path) -> Plan | None:
    """The plan in a sweep's folder; None in the folder of a run, or of an older version."""
    path = sweep / HOME / PLAN
    if path.parent.is_symlink() or path.is_symlink() or not path.is_file():
        return None
    head: dict[str, Any] | None = None
    jobs: dict[str, list[str]] = {}
    for held in _objects(path):
        if head is None:
            head = held
        elif isinstance(held.get("identity"), str) and isinstance(held.get("words"), list):
            jobs[held["identity"]] = [str(word) for word in held["words"]]
    try:
        command = [str(word) for word in (head or {})["command"]]
        return Plan(str((head or {})["plan"]), float((head or {})["begun"]), command, jobs)
    except (KeyError, TypeError, ValueError):
        return None


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            held = json.loads(line)
        except ValueError:
            continue  # cut off
        if isinstance(held, dict):
            yield held


def _line(path: Path, held: dict[str, Any], mode: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    fd = os.open(path, flags | (os.O_TRUNC if mode == "w" else os.O_APPEND), 0o666)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(json.dumps(held) + "\n")

"""``invset status SWEEP``: how far a sweep is, from its folder, while it goes on or after it."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from invset.errors import InvsetError

USAGE = """usage: invset status SWEEP ...

  Says of the folder of a sweep (hydra.sweep.dir=) how many of its jobs are done, run now, failed
  and why, were cut off, and have not begun; how much time is left; and which command goes on.
"""

#: Most failures that are told one by one.
_TOLD = 20

#: Finished: with all samples, or with fewer than were asked for.
_DONE = ("done", "ended with fewer samples than asked for")

#: Kinds of standings, in the order in which they are told.
_KINDS = (*_DONE, "running", "failed", "cut off", "not begun")


@dataclass(frozen=True)
class Standing:
    """How far a job is.

    Attributes:
        kind: one of `_KINDS`.
        folder: of the job; None if it has not begun.
        reason: why it failed, or which process works on it.
        seconds: that it took, of a job that is done and of which it is known.
    """

    kind: str
    folder: Path | None = None
    reason: str = ""
    seconds: float | None = None


def main(words: list[str]) -> int:
    """Print how far sweeps are.

    Args:
        words: what was typed behind ``invset status``.

    Raises:
        InvsetError: no folder was named, or one holds no sweep.
    """
    if "--help" in words or "-h" in words:
        print(USAGE, end="")
        return 0
    flags = [word for word in words if word.startswith("-")]
    if flags or not words:
        raise InvsetError(
            "invset status takes folders of sweeps and no options; type for example: invset status"
            " outputs/DATE/TIME"
        )
    from invset.files.owner import refuse_links

    for folder in map(Path, words):
        if not folder.is_dir():
            raise InvsetError(
                f"there is no folder {folder}; type for example: invset status outputs/DATE/TIME"
            )
        refuse_links(folder)
        print("\n".join(lines(folder)))
    return 0


def lines(sweep: Path) -> list[str]:
    """What is told of a sweep.

    Raises:
        InvsetError: the folder holds no sweep.
    """
    from invset.files.owner import alive
    from invset.files.plan import read_plan

    jobs = standings(sweep)
    if not jobs:
        raise InvsetError(
            f"{sweep} holds no jobs of a sweep; a sweep is begun by: invset run -m"
            f" hydra.sweep.dir={sweep} …"
        )
    counts = Counter(one.kind for one in jobs)
    told = ", ".join(f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind])
    holder, plan = alive(sweep), read_plan(sweep)
    left = time_left(jobs)
    text = f"{sweep}: {len(jobs)} jobs: {told}" + (f"; about {_time(left)} left" if left else "")
    failed = [one for one in jobs if one.kind == "failed"]
    rest = [f"  {one.folder}: {one.reason}" for one in failed[:_TOLD]]
    if len(failed) > _TOLD:
        rest.append(f"  and {len(failed) - _TOLD} more failed")
    if holder:
        rest.append(f"it goes on: {holder}")
    elif plan is not None and len(jobs) > sum(counts[kind] for kind in _DONE):
        rest.append(f"go on with: invset {shlex.join(plan.command)}")
    return [text, *rest]


def standings(sweep: Path) -> list[Standing]:
    """How far each job is that the sweep's last command asks for."""
    from invset.files.job_list import begun_at, jobs_of, waiting_jobs

    begun = begun_at(sweep)
    there = [standing(path, begun.get(path)) for path in jobs_of(sweep)]
    return [*there, *(Standing("not begun") for _ in waiting_jobs(sweep))]


def standing(folder: Path, begun: float | None = None) -> Standing:
    """How far a job is.

    Args:
        folder: of the job.
        begun: when it began, in seconds since 1970.
    """
    from invset.commands.outcome import ended, failure
    from invset.files.owner import alive

    holder = alive(folder)
    if holder:
        return Standing("running", folder, holder)
    reason = failure(folder)
    if reason is not None:
        return Standing("failed", folder, reason)
    code = ended(folder)
    if code is None:
        return Standing("cut off", folder)
    written = [folder / name for name in ("summary.json", "probe.json")]
    at = max(path.stat().st_mtime for path in written if path.is_file())
    return Standing(_DONE[code != 0], folder, seconds=None if begun is None else at - begun)


def time_left(jobs: list[Standing]) -> float | None:
    """Seconds until the jobs that have not ended will have, if as many go on side by side as do
    now; None if that can't be known.
    """
    took = [one.seconds for one in jobs if one.seconds is not None]
    running = sum(one.kind == "running" for one in jobs)
    left = sum(one.kind in ("cut off", "not begun") for one in jobs) + running / 2
    return statistics.median(took) * left / max(running, 1) if took and left else None


def forecast(sweep: Path, side_by_side: int = 1) -> str:
    """What the whole sweep will take, if its jobs are like those that this command has done: their
    mean, but for the first, which loads all. Empty where that isn't known, or all are done.

    Args:
        sweep: its folder.
        side_by_side: jobs that share passes, whose times each hold all of theirs.
    """
    from invset.files.job_list import begun_at
    from invset.files.plan import read_plan

    plan, begun = read_plan(sweep), begun_at(sweep)
    if plan is None:
        return ""
    mine = {path: at for path, at in begun.items() if at >= plan.begun}
    done = {
        path: one.seconds
        for path, at in sorted(mine.items(), key=lambda item: item[1])
        if (one := standing(path, at)).kind in _DONE and one.seconds is not None
    }
    count = len(plan.jobs)
    if not done or count <= len(done):
        return ""
    warm = list(done.values())[1:] or list(done.values())
    took = sum(done.values()) + (count - len(done)) * statistics.fmean(warm)
    took /= side_by_side
    size = count * statistics.fmean(map(bytes_in, done))
    by = f"{len(done)} jobs" if len(done) > 1 else "the first, with all that it loads"
    return (
        f"{count:,} jobs take {_time(took)}, one after the other, and {told_bytes(size)} of the"
        f" disk, by {by}"
    )


def bytes_in(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def told_bytes(count: float) -> str:
    """Bytes, as a person reads them."""
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

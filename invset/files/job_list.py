"""The jobs of a sweep: which folders the sweep that is in a folder now has written to."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from invset.errors import InvsetError
from invset.files.ledger import HOME, JOBS, Ledger, begin_list, inside
from invset.files.owner import locked

#: What Hydra writes for a sweep, before its first job.
_HYDRAS = "multirun.yaml"


def job_folders(sweep: Path) -> list[Path]:
    """The folders of a sweep's jobs, by the jobs' numbers; none for a run."""
    if not sweep.is_dir():
        return []
    listed = _listed(sweep)
    if listed:
        found = [sweep / folder for folder, _ in sorted(listed.items(), key=lambda one: one[1])]
        return [path for path in found if path.is_dir()]
    # a folder of an older version has no list
    numbered = (p for p in sweep.iterdir() if p.is_dir() and p.name.isdigit())
    return sorted(numbered, key=lambda p: int(p.name))


def note_job(sweep: Path, number: int, folder: Path) -> None:
    """List a job that begins.

    Args:
        sweep: the folder of the sweep.
        number: of the job, from 0.
        folder: of the job.

    Raises:
        InvsetError: another job of the sweep has the same folder.
    """
    if not _listed(sweep):  # the first: it is known that there is a sweep
        Ledger(sweep).remove(but=_HYDRAS)
        _note_hydras(sweep)
    name = Path(os.path.relpath(folder, sweep)).as_posix()
    other = _listed(sweep).get(name)
    if other is not None:
        raise InvsetError(
            f"job {number} of the sweep has the folder of job {other}, {folder}; type"
            " hydra.sweep.subdir='${hydra.job.num}', or another that differs for each job"
        )
    begin_list(sweep, JOBS)
    with (sweep / HOME / JOBS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"number": number, "folder": name}) + "\n")


@contextmanager
def new_sweep(sweep: Path) -> Iterator[None]:
    """Replace the sweep in a folder: its files go when the first job begins, and at the end those
    of its jobs that were not replaced. Nothing goes where no job begins.

    Args:
        sweep: the folder, which the caller holds.

    Raises:
        InvsetError: a job of the sweep goes on in another process; nothing was deleted.
    """
    path, before = sweep / HOME / JOBS, _listed(sweep)
    text = path.read_bytes() if before else b""
    with _alone(sweep, before):
        path.unlink(missing_ok=True)
    try:
        yield
    finally:
        _note_hydras(sweep)
        begun = _listed(sweep)
        if begun:
            stale = before.keys() - begun.keys()
            with _alone(sweep, stale):
                for name in stale:
                    Ledger(sweep / name).leave()
        elif before:
            path.write_bytes(text)
        else:
            Ledger(sweep).remove()  # what Hydra wrote


@contextmanager
def _alone(sweep: Path, names: Collection[str]) -> Iterator[None]:
    """Hold the folders of jobs."""
    with ExitStack() as held:
        for name in names:
            if Ledger(sweep / name).kept:
                held.enter_context(locked(sweep / name))
        yield


def _note_hydras(sweep: Path) -> None:
    """List the file that Hydra has written."""
    ledger = Ledger(sweep)
    if ledger.kept and (sweep / _HYDRAS).is_file() and not ledger.ours(_HYDRAS, ledger.sums()):
        ledger.note(_HYDRAS, sweep / _HYDRAS)


def _listed(sweep: Path) -> dict[str, int]:
    """Folder in the sweep's -> number of the job; a folder outside it is not a job's."""
    path = sweep / HOME / JOBS
    found: dict[str, int] = {}
    if not Ledger(sweep).kept or not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            held = json.loads(line)
            name, number = str(held["folder"]), int(held["number"])
        except (ValueError, KeyError, TypeError):
            continue  # cut off: the job had not begun
        if inside(sweep, name):
            found[name] = number
    return found

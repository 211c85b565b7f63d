"""The jobs of a sweep: which folders the sweep that is in a folder now has written to, and what was
asked in each.

Jobs may run at once, in processes of their own (hydra/launcher=joblib): the list has a lock.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from invset.errors import InvsetError
from invset.files.ledger import EARLIER, HOME, JOBS, JOBS_LOCK, Ledger, begin_list, inside
from invset.files.owner import locked

#: What Hydra writes for a sweep, before its first job.
_HYDRAS = "multirun.yaml"


@dataclass(frozen=True)
class Listed:
    """A job that has begun.

    Attributes:
        number: from 0.
        words: what was typed for it; None where it isn't known.
    """

    number: int
    words: list[str] | None


def jobs_of(sweep: Path) -> dict[Path, list[str] | None]:
    """The folders of a sweep's jobs, by the jobs' numbers, and what was typed for each, None where
    it isn't known; nothing for a run.
    """
    if not sweep.is_dir():
        return {}
    listed = sorted(_listed(sweep).items(), key=lambda one: one[1].number)
    if listed:
        found = {sweep / name: one.words for name, one in listed}
        return {path: words for path, words in found.items() if path.is_dir()}
    # a folder of an older version has no list
    numbered = (p for p in sweep.iterdir() if p.is_dir() and p.name.isdigit())
    return dict.fromkeys(sorted(numbered, key=lambda p: int(p.name)))


def check_inside(sweep: Path, number: int, folder: Path) -> None:
    """Raise `InvsetError` for a job that would work outside of its sweep's folder, where nobody
    would find it.
    """
    if not inside(sweep, _name(sweep, folder)) or folder == sweep:
        raise InvsetError(
            f"job {number} of the sweep would work in {folder}, which is not inside of {sweep};"
            " type hydra.sweep.subdir='${hydra.job.num}', or another path inside of it"
        )


def note_job(sweep: Path, number: int, folder: Path, words: Sequence[str]) -> None:
    """List a job that begins.

    Args:
        sweep: the folder of the sweep.
        number: of the job, from 0.
        folder: of the job.
        words: what was typed for it.

    Raises:
        InvsetError: another job of the sweep has the same folder.
    """
    name = _name(sweep, folder)
    with FileLock(sweep / HOME / JOBS_LOCK):
        listed = _listed(sweep)
        if not listed:  # the first: it is known that there is a sweep
            Ledger(sweep).remove(but=_HYDRAS)
            _note_hydras(sweep)
        if name in listed:
            raise InvsetError(
                f"job {number} of the sweep has the folder of job {listed[name].number}, {folder};"
                " type hydra.sweep.subdir='${hydra.job.num}', or another that differs for each job"
            )
        begin_list(sweep, JOBS)
        line = {"number": number, "folder": name, "words": list(words)}
        with (sweep / HOME / JOBS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@contextmanager
def new_sweep(sweep: Path) -> Iterator[None]:
    """Replace the sweep in a folder: its files go when the first job begins, and at the end those
    of its jobs that were not replaced. Nothing goes where no job begins. The jobs that are to go
    are listed, so that those of a sweep that is killed go with the next one.

    Args:
        sweep: the folder, which the caller holds.

    Raises:
        InvsetError: a job of the sweep goes on in another process; nothing was deleted.
    """
    jobs, earlier = sweep / HOME / JOBS, sweep / HOME / EARLIER
    texts = {path: path.read_bytes() for path in (jobs, earlier) if path.is_file()}
    before = {**_listed(sweep, EARLIER), **_listed(sweep)}
    with _alone(sweep, before):
        if before:
            begin_list(sweep, EARLIER)
            earlier.write_bytes(b"\n".join(texts.values()))
        jobs.unlink(missing_ok=True)
    try:
        yield
    finally:
        _note_hydras(sweep)
        begun = _listed(sweep)
        if begun:
            _leave(sweep, before.keys() - begun.keys())
            earlier.unlink(missing_ok=True)
        elif before:
            earlier.unlink()
            for path, text in texts.items():
                path.write_bytes(text)
        else:
            Ledger(sweep).remove()  # what Hydra wrote


def _leave(sweep: Path, names: Collection[str]) -> None:
    with _alone(sweep, names):
        for name in names:
            Ledger(sweep / name).leave()


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


def _name(sweep: Path, folder: Path) -> str:
    return Path(os.path.relpath(folder, sweep)).as_posix()


def _listed(sweep: Path, name: str = JOBS) -> dict[str, Listed]:
    """Folder in the sweep's -> its job; a folder outside it is not a job's."""
    path = sweep / HOME / name
    found: dict[str, Listed] = {}
    if not Ledger(sweep).kept or path.is_symlink() or not path.is_file():
        return found
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            held = json.loads(line)
            folder, number, words = str(held["folder"]), int(held["number"]), held.get("words")
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut off: the job had not begun
        if inside(sweep, folder):
            typed = [str(word) for word in words] if isinstance(words, list) else None
            found[folder] = Listed(number, typed)
    return found

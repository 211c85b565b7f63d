"""The jobs of a sweep: which folders the sweeps in a folder have written to, what was asked in
each, and which of them the last command asks for.

Jobs may run at once, in processes of their own (hydra/launcher=joblib): the list has a lock.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from invset.errors import InvsetError
from invset.files.ledger import EARLIER, HOME, JOBS, JOBS_LOCK, Ledger, begin_list, inside
from invset.files.owner import locked
from invset.files.plan import forget_part, put_in_force, read_plan

#: What is known of a job by texts.
_TEXTS = ("identity", "wanted", "plan")

#: What Hydra writes for a sweep, before its first job.
_HYDRAS = "multirun.yaml"


@dataclass(frozen=True)
class Listed:
    """A job that has begun.

    Attributes:
        number: from 0, in its sweep.
        words: what was typed for it; None where it isn't known.
        identity: of its configuration (`invset.config.identity`); empty where it isn't known.
        wanted: the folder that it would have had if no earlier sweep had one of this name.
        plan: the sweep that it began in.
        begun: seconds since 1970; 0 where it isn't known.
    """

    number: int
    words: list[str] | None
    identity: str = ""
    wanted: str = ""
    plan: str = ""
    begun: float = 0.0


def jobs_of(sweep: Path) -> dict[Path, list[str] | None]:
    """The folders of a sweep's jobs, in the order of the jobs, and what was typed for each, None
    where it isn't known; nothing for a run. Jobs that the last command did not ask for are left
    out.
    """
    if not sweep.is_dir():
        return {}
    listed = dict(sorted(_listed(sweep).items(), key=lambda one: one[1].number))
    if listed:
        found = {sweep / name: listed[name].words for name in _asked_for(sweep, listed)}
        return {path: words for path, words in found.items() if path.is_dir()}
    # a folder of an older version has no list
    numbered = (p for p in sweep.iterdir() if p.is_dir() and p.name.isdigit())
    return dict.fromkeys(sorted(numbered, key=lambda p: int(p.name)))


def waiting_jobs(sweep: Path) -> list[list[str]]:
    """The words of the jobs that the sweep's last command asks for, and that have not begun."""
    plan = read_plan(sweep)
    begun = {one.identity for name, one in _listed(sweep).items() if (sweep / name).is_dir()}
    return [words for own, words in plan.jobs.items() if own not in begun] if plan else []


def begun_at(sweep: Path) -> dict[Path, float]:
    """When each job began, in seconds since 1970, of those of which it is known."""
    return {sweep / name: one.begun for name, one in _listed(sweep).items() if one.begun}


def _asked_for(sweep: Path, listed: dict[str, Listed]) -> list[str]:
    """The folders that the sweep's last command asks for, in the order of its jobs."""
    plan = read_plan(sweep)
    if plan is None:
        return list(listed)
    known = {one.identity: name for name, one in listed.items()}
    planned = [known[identity] for identity in plan.jobs if identity in known]
    # a sweeper that searches plans nothing
    more = [name for name, one in listed.items() if one.plan == plan.name]
    return list(dict.fromkeys([*planned, *more]))


def job_with(sweep: Path, identity: str) -> tuple[Path, Listed] | None:
    """The job of this identity that has begun, whichever command it began for, and its folder."""
    found = [
        (sweep / name, one)
        for name, one in _listed(sweep).items()
        if one.identity == identity and (sweep / name).is_dir()
    ]
    return found[-1] if found else None


def free_folder(sweep: Path, folder: Path) -> Path:
    """A folder for a new job: `folder`, or where a job of an earlier command lies there the same
    name with a number behind it.
    """
    name, listed = _name(sweep, folder), _listed(sweep)
    plan = read_plan(sweep)
    now = plan.name if plan else ""
    if any(one.wanted == name and one.plan == now for one in listed.values()):
        return folder  # two jobs of one command: `note_job` refuses
    names = [name, *(f"{name}-{number}" for number in range(2, 10_000))]
    return sweep / next(one for one in names if one not in listed)


def replaces(sweep: Path, folder: Path) -> bool:
    """Whether a folder is of a job of a sweep that is being replaced."""
    return _name(sweep, folder) in _listed(sweep, EARLIER)


def check_inside(sweep: Path, number: int, folder: Path) -> None:
    """Raise `InvsetError` for a job that would work outside of its sweep's folder, where nobody
    would find it.
    """
    if not inside(sweep, _name(sweep, folder)) or folder == sweep:
        raise InvsetError(
            f"job {number} of the sweep would work in {folder}, which is not inside of {sweep};"
            " type hydra.sweep.subdir='${hydra.job.num}', or another path inside of it"
        )


def begin_plan(sweep: Path) -> None:
    """The first job of a command begins: from now on the folder holds its sweep."""
    with FileLock(sweep / HOME / JOBS_LOCK):
        _begin_plan(sweep)


def _begin_plan(sweep: Path) -> None:
    others = put_in_force(sweep)
    if others or not _listed(sweep):
        Ledger(sweep).remove(but=_HYDRAS)  # the table and the page of other jobs
    _note_hydras(sweep)


def note_job(
    sweep: Path,
    number: int,
    folder: Path,
    words: Sequence[str],
    identity: str = "",
    wanted: Path | None = None,
) -> None:
    """List a job that begins.

    Args:
        sweep: the folder of the sweep.
        number: of the job, from 0.
        folder: of the job.
        words: what was typed for it.
        identity: of its configuration.
        wanted: the folder that it would have had if no earlier sweep had one of this name.

    Raises:
        InvsetError: another job of the sweep has the same folder.
    """
    name = _name(sweep, folder)
    with FileLock(sweep / HOME / JOBS_LOCK):
        _begin_plan(sweep)
        there = _listed(sweep).get(name)
        if there is not None and (not identity or there.identity != identity):
            raise InvsetError(
                f"job {number} of the sweep has the folder of job {there.number}, {folder};"
                " type hydra.sweep.subdir='${hydra.job.num}', or another that differs for each job"
            )
        begin_list(sweep, JOBS)
        plan = read_plan(sweep)
        line = {
            "number": number,
            "folder": name,
            "words": list(words),
            "identity": identity,
            "wanted": name if wanted is None else _name(sweep, wanted),
            "plan": "" if plan is None else plan.name,
            "begun": time.time(),
        }
        with (sweep / HOME / JOBS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


@contextmanager
def new_sweep(sweep: Path, overwrite: bool = False) -> Iterator[None]:
    """Begin a sweep in a folder, which may hold earlier ones.

    With `overwrite` they are replaced: their files go when the first job begins, and at the end
    those of their jobs that were not replaced. Nothing goes where no job begins. The jobs that are
    to go are listed, so that those of a sweep that is killed go with the next one.

    Args:
        sweep: the folder, which the caller holds.
        overwrite: replace what is there.

    Raises:
        InvsetError: a job of the sweep goes on in another process; nothing was deleted.
    """
    jobs, earlier = sweep / HOME / JOBS, sweep / HOME / EARLIER
    texts = {path: path.read_bytes() for path in (jobs, earlier) if path.is_file()}
    before = {**_listed(sweep, EARLIER), **(_listed(sweep) if overwrite else {})}
    if overwrite:
        with _alone(sweep, before):
            if before:
                begin_list(sweep, EARLIER)
                earlier.write_bytes(b"\n".join(texts.values()))
            jobs.unlink(missing_ok=True)
    begin_list(sweep, JOBS)  # the folder is a sweep's from now on, also if it is killed
    try:
        yield
    finally:
        forget_part(sweep)
        _note_hydras(sweep)
        begun = _listed(sweep)
        if begun:
            _leave(sweep, before.keys() - begun.keys())
            earlier.unlink(missing_ok=True)
        elif before:
            earlier.unlink(missing_ok=True)
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
            identity, wanted, plan = (str(held.get(key, "")) for key in _TEXTS)
            begun = float(held.get("begun", 0))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # cut off: the job had not begun
        if inside(sweep, folder):
            typed = [str(word) for word in words] if isinstance(words, list) else None
            found[folder] = Listed(number, typed, identity, wanted, plan, begun)
    return found

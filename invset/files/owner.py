"""Whose a folder is: a run works in a folder that is empty, or that runs wrote, and alone."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from invset.errors import InvsetError
from invset.files.ledger import HOME, IN_HOME, JOBS, LOG, Ledger, begin_list, remove_home

#: What a run may write beside samples/. A file of somebody else's that is called so is never
#: deleted: a run that would replace it does not begin.
NAMES = frozenset(
    {
        "samples.png",
        "samples.csv",
        "samples.safetensors",
        "activations.csv",
        "optimization.csv",
        "summary.json",
        "animation.gif",
        "animation.mp4",
        "report.html",
        "failed.json",
        "state.pt",
        "probe.json",
        "probe.csv",
        "probe.png",
        "features.csv",
        "multirun.yaml",
        "sweep.csv",
        "sweep.png",
        LOG,
    }
)

#: What a run does that finds another one.
_ELSEWHERE = "or type hydra.run.dir= (of a sweep hydra.sweep.dir=) and another folder"

#: The folders that a run makes in its own.
FOLDERS = (HOME, ".hydra", "samples")

#: A file of samples/.
_SAMPLE = re.compile(r"\d{5,}\..+")

#: What Hydra calls the files of a configuration.
_CONFIG = ("config.yaml", "hydra.yaml", "overrides.yaml")


@contextmanager
def owned(
    folder: Path, overwrite: bool = False, resume: bool = False, sweep: bool = False
) -> Iterator[None]:
    """Hold a folder for one run.

    Args:
        folder: of the run; made if it is not there.
        overwrite: the run may replace what earlier runs wrote.
        resume: the run goes on with what is there.
        sweep: it is a sweep, whose jobs lie beside those of earlier sweeps.

    Raises:
        InvsetError: it holds what is not the run's, or another process works in it. Then nothing in
            it was touched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder)
    begun = ledger.kept
    if not begun:  # else who holds it is told first
        _check(folder, overwrite, resume, sweep)
    with locked(folder):
        _check(folder, overwrite, resume, sweep)
        begin_list(folder)
        ledger.remove_unfinished()
        try:
            yield
        finally:
            sums = ledger.sums()
            wrote = sums or (folder / HOME / JOBS).exists()
            if not begun and not (wrote and _others(folder, ledger, sums)):
                ledger.remove()  # bad input leaves nothing
                remove_home(folder)


@contextmanager
def at_rest(folder: Path) -> Iterator[None]:
    """Keep runs out of a folder that is read, and in which files are made of what it holds.

    Raises:
        InvsetError: a run works in it, or a file that a run writes is a link.
    """
    refuse_links(folder)
    if not Ledger(folder).kept:  # no run of this version has been here, and no lock
        yield
        return
    with locked(folder, "and type the command again"):
        yield


@contextmanager
def locked(folder: Path, otherwise: str = _ELSEWHERE) -> Iterator[None]:
    """Keep other processes out of a folder.

    Args:
        folder: that is there.
        otherwise: what a person does who finds another process in it.

    Raises:
        InvsetError: another process is in it.
    """
    home = folder / HOME
    holder = home / "holder.json"
    try:
        home.mkdir(exist_ok=True)
        lock = FileLock(home / "lock")
        # who looks whether a process is here (`alive`) holds it for a moment
        lock.acquire(timeout=0.2)
    except Timeout:
        raise InvsetError(
            f"another run works in {folder}: {_told(holder)}; wait until it has ended, {otherwise}"
        ) from None
    except OSError as error:
        raise InvsetError(
            f"can't write to {folder} ({error.strerror}); type hydra.run.dir= and a folder of yours"
        ) from error
    try:
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        about = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        holder.unlink(missing_ok=True)
        with holder.open("x", encoding="utf-8") as file:
            json.dump(about, file)
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def alive(folder: Path) -> str:
    """Which process works in a folder; empty if none does."""
    holder = folder / HOME / "holder.json"
    if not holder.is_file():
        return ""
    lock = FileLock(holder.with_name("lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _told(holder)
    except OSError:  # somebody else's folder, which can be read alone
        return ""
    lock.release()
    return ""


def _told(holder: Path) -> str:
    try:
        held = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {held['pid']} on {held['host']}, since {held['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has just begun"


def _check(folder: Path, overwrite: bool, resume: bool, sweep: bool) -> None:
    """Raise `InvsetError` for a folder that a run must not begin or go on in."""
    ledger = Ledger(folder)
    sums = ledger.sums()
    if sweep and ledger.kept and (folder / HOME / JOBS).is_file():
        # a sweep that was killed may not have listed what Hydra wrote
        names = [one for one in _in_the_way(folder, ledger, sums) if one != "multirun.yaml"]
        _refuse_to_replace(folder, names)
    elif resume:
        # a folder of an older version has no list; the state is read, and replaced, in any case
        kept = sums and [one for one in _in_the_way(folder, ledger, sums) if one != "state.pt"]
        _refuse_to_replace(folder, [one for one in kept or [] if not one.startswith(".hydra")])
    elif overwrite:
        _refuse_to_replace(folder, _in_the_way(folder, ledger, sums))
    else:
        _refuse_what_is_there(folder, ledger, sums)


def _refuse_to_replace(folder: Path, names: list[str]) -> None:
    if names:
        raise InvsetError(
            f"{folder} holds {_some(names)}, as no run wrote it, which this run would replace; move"
            " it elsewhere, or type hydra.run.dir= and another folder"
        )


def _refuse_what_is_there(folder: Path, ledger: Ledger, sums: dict[str, set[str | None]]) -> None:
    others = _others(folder, ledger, sums)
    if not others:
        return
    hint = "or overwrite=true, which replaces what earlier runs wrote there and nothing else"
    if "state.pt" in others:
        hint += f"; or go on with its run: invset run --resume {shlex.quote(str(folder))}"
    raise InvsetError(
        f"{folder} is not empty, it holds {_some(others)}, and a run needs a new folder;"
        f" type one behind hydra.run.dir= (of a sweep hydra.sweep.dir=), {hint}"
    )


def _others(folder: Path, ledger: Ledger, sums: dict[str, set[str | None]]) -> list[str]:
    """What is in a folder, but for what a run writes before it begins."""
    there = sorted(path.name for path in folder.iterdir())
    return [name for name in there if not _new(folder, name, ledger, sums)]


def _new(folder: Path, name: str, ledger: Ledger, sums: dict[str, set[str | None]]) -> bool:
    """Whether an entry is there before a run has written anything but its configuration."""
    path = folder / name
    if name == LOG:
        return ledger.ours(name, sums)
    if path.is_symlink() or not path.is_dir():
        return False
    inside = {one.name for one in path.iterdir()} if name in (HOME, ".hydra") else set()
    if name == HOME:
        return inside <= IN_HOME
    return bool(inside) and all(ledger.ours(f"{name}/{one}", sums) for one in inside)


def _in_the_way(folder: Path, ledger: Ledger, sums: dict[str, set[str | None]]) -> list[str]:
    """What is not as a run wrote it, and has a name that a run writes to."""
    names = _named(folder)
    wrong = [name for name in names if name in FOLDERS and not _is_folder(folder / name)]
    return wrong + [name for name in names if name not in FOLDERS and not ledger.ours(name, sums)]


def _named(folder: Path) -> list[str]:
    """What is in a folder under names that a run writes to; of what is behind a link, nothing."""
    names = [name for name in (*FOLDERS, *sorted(NAMES)) if os.path.lexists(folder / name)]
    for parent in (".hydra", "samples"):
        there = folder / parent
        inside = sorted(one.name for one in there.iterdir()) if _is_folder(there) else []
        written = [one for one in inside if one in _CONFIG or _SAMPLE.fullmatch(one)]
        names += [f"{parent}/{one}" for one in written]
    return names


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def refuse_links(folder: Path) -> None:
    """Raise `InvsetError` for a run's or sweep's folder in which a file that a run writes is a
    link: somebody else's folder may so bring a person's own files into a report.
    """
    names = [*_named(folder), *(f"{HOME}/{name}" for name in sorted(IN_HOME))]
    links = [name for name in names if (folder / name).is_symlink()]
    if links:
        raise InvsetError(
            f"{_some([str(folder / name) for name in links])} is a link, which may lead to files of"
            " others, and no run makes one; put the file itself there"
        )


def _some(names: list[str], most: int = 3) -> str:
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"

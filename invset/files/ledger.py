"""The list of the files that runs wrote into a folder, kept in the folder itself: what is not in it
is somebody else's.

A line is added before its file gets its name, so that a run that is killed leaves no file of its
own that is not listed. A file is ours only while it has the content that was listed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path, PurePosixPath

#: The folder of the list, of the lock and of its holder's name.
HOME = ".invset"

#: The list: one JSON object a line.
LIST = "files.jsonl"

#: The log of a run beside its results, which changes while the run goes on.
LOG = "run.log"

#: The list of a sweep's jobs.
JOBS = "jobs.jsonl"

#: The jobs of earlier sweeps whose files are not yet replaced, and the lock of the lists of jobs.
EARLIER = "earlier.jsonl"
JOBS_LOCK = "jobs.lock"

#: What a sweep is going to do, and the same while it is being written down.
PLAN = "plan.jsonl"
PLAN_PART = "plan.part"

#: Everything that lies in `HOME`.
IN_HOME = frozenset({LIST, JOBS, EARLIER, JOBS_LOCK, PLAN, PLAN_PART, "lock", "holder.json"})

#: A file that is being written.
_TEMPORARY = re.compile(r"\.part-[0-9a-f]{16}-.+")


class Ledger:
    """What runs wrote into a folder.

    Args:
        folder: of the runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / HOME / LIST

    @property
    def kept(self) -> bool:
        """Whether the folder has a list: a run of ours began in it."""
        return not self.path.parent.is_symlink() and self.path.is_file()

    def note(self, name: str, content: Path | None) -> None:
        """List a file that is about to be there.

        Args:
            name: its path in the folder.
            content: a file with what it will hold; None of a temporary one.
        """
        line = {"name": name, "sha256": None if content is None else sha256_of(content)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def sums(self) -> dict[str, set[str | None]]:
        """Name of each file -> the checksums that it was written with. A line that was cut off
        lists nothing.
        """
        found: dict[str, set[str | None]] = {}
        if not self.kept:
            return found
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, sha256 = _parsed(line)
            if name:
                found.setdefault(name, set()).add(sha256)
        return found

    def ours(self, name: str, sums: dict[str, set[str | None]]) -> bool:
        """Whether a file is as a run wrote it; `sums` is what `sums` gave."""
        path = self.folder / name
        known = sums.get(name)
        if not known or not inside(self.folder, name) or not path.is_file():
            return False
        if None in known and _TEMPORARY.fullmatch(path.name):
            return True
        return sha256_of(path) in known

    def remove(self, but: str = "") -> None:
        """Delete the files that are as runs wrote them, and the folders that this leaves empty; but
        not the file `but`.
        """
        sums = self.sums()
        sums.pop(but, None)
        for name in filter(lambda one: self.ours(one, sums), sums):
            (self.folder / name).unlink()
        names = [name for name in sums if inside(self.folder, name)]
        for parent in {(self.folder / name).parent for name in names} - {self.folder}:
            if parent.is_dir() and not parent.is_symlink() and not any(parent.iterdir()):
                parent.rmdir()
        if self.kept:
            self.path.write_bytes(b"")

    def remove_unfinished(self) -> None:
        """Delete the temporary files of a run that was killed while it wrote them."""
        sums = self.sums()
        for name, known in sums.items():
            if None in known and self.ours(name, sums):
                (self.folder / name).unlink()

    def leave(self) -> None:
        """Delete what runs wrote, the list too, and the folder if nothing else is in it."""
        if not self.kept:
            return
        self.remove()
        remove_home(self.folder)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def _parsed(line: str) -> tuple[str, str | None]:
    """Name and checksum of a line; an empty name where it says nothing that can be used."""
    try:
        held = json.loads(line)
    except ValueError:
        return "", None
    name = held.get("name") if isinstance(held, dict) else None
    if not isinstance(name, str):
        return "", None
    sha256 = held.get("sha256")
    return name, sha256 if isinstance(sha256, str) else None


def inside(folder: Path, name: str) -> bool:
    """Whether a relative path stays in the folder, and goes through no link, which may lead to
    files of others.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return False
    parts = path.parts
    return not any(folder.joinpath(*parts[: i + 1]).is_symlink() for i in range(len(parts)))


def sha256_of(path: Path) -> str:
    """Checksum of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def begin_list(folder: Path, name: str = LIST) -> None:
    """Make the list of a folder that has none."""
    fd = os.open(folder / HOME / name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    os.close(fd)


def remove_home(folder: Path) -> None:
    """Delete the lists and the lock, of a folder in which nothing else of ours is left."""
    for name in IN_HOME:
        (folder / HOME / name).unlink(missing_ok=True)
    if not any((folder / HOME).iterdir()):
        (folder / HOME).rmdir()

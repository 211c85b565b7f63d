"""``${unused:…}``: folders that nothing is in, made when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def unused_folders() -> Iterator[None]:
    """Let configurations ask for a folder by ``${unused:…}``."""
    from omegaconf import OmegaConf

    unused = _Unused()
    OmegaConf.register_new_resolver("unused", unused, replace=True)
    try:
        yield
    finally:  # Hydra asks for the folder of a sweep also where an experiment names another
        for folder in unused.taken.values():
            remove_if_empty(Path(folder))
        # who composes a configuration in this process later makes no folders
        OmegaConf.clear_resolver("unused")


def remove_if_empty(folder: Path) -> None:
    """Delete an empty folder, and those of its day and of all days if nothing else is in them."""
    day = folder.parent
    for empty in (folder, day, day.parent) if day.parent.name == "outputs" else (folder,):
        if not empty.is_dir() or any(empty.iterdir()) or empty == Path.cwd():
            return
        empty.rmdir()


class _Unused:
    """``${unused:outputs/DATE/TIME}``: that folder, or with a number behind it if another run began
    in the same second.
    """

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}  # Hydra asks more than once

    def __call__(self, path: str) -> str:
        if path not in self.taken:
            for folder in (path, *(f"{path}-{number}" for number in range(2, 1000))):
                try:
                    os.makedirs(folder)  # made at once: two processes can't both have it
                except FileExistsError:
                    continue
                except OSError:
                    pass  # Hydra says why
                self.taken[path] = folder
                break
        return self.taken[path]

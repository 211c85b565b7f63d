"""The folder of ``--config-dir``, without which a command that names its options does not run
again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from invset.files.reading import read_plain, reading

T = TypeVar("T")

#: What Hydra calls where that folder comes from.
PROVIDER = "command-line"


def own_words(hydra: Any) -> list[str]:
    """``--config-dir FOLDER`` as it is typed where the command began; no words where it was not.

    Args:
        hydra: Hydra's part of a configuration.
    """
    runtime = hydra["runtime"]
    found = [one["path"] for one in runtime["config_sources"] if one["provider"] == PROVIDER]
    if not found:
        return []
    began, folder = Path(runtime["cwd"]), Path(str(found[0]).removeprefix("file://"))
    inside = folder.is_relative_to(began)
    return ["--config-dir", str(folder.relative_to(began) if inside else folder)]


def own_words_in(folder: Path) -> list[str]:
    """The same, of the command that made a run's folder.

    Raises:
        InvsetError: its ``.hydra/hydra.yaml`` is damaged.
    """
    return _of_hydra(folder, own_words) or []


def began_in(folder: Path) -> str:
    """The directory where the command was typed that made a run's folder; empty where the folder
    does not say it.
    """
    return _of_hydra(folder, lambda hydra: str(hydra["runtime"]["cwd"])) or ""


def began_elsewhere(folder: Path) -> str:
    """The same; empty where it is this directory."""
    began = began_in(folder)
    return "" if began == str(Path.cwd()) else began


def _of_hydra(folder: Path, what: Callable[[Any], T]) -> T | None:
    """Something of Hydra's part of a run's configuration; None without one."""
    file = folder / ".hydra" / "hydra.yaml"
    if not file.is_file():
        return None
    of = "a configuration of Hydra", "run it again"
    held = read_plain(file, *of)
    with reading(file, *of):
        return what(held["hydra"])

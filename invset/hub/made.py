"""What is computed on first use and kept in the cache, as published weights are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from invset.errors import InvsetError
from invset.files.tensors import read_safetensors, write_tensors
from invset.hub.cache import alone, cache_folder, remember, unchanged
from invset.whole import write_whole

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)


def made(
    name: str, recipe: Mapping[str, object], how: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Tensors that `how` computes, or computed earlier.

    The file appears whole or not at all, so that a process that is killed leaves none. One process
    at a time computes it, and the others wait. A file that was changed since is computed anew.

    Args:
        name: of the file, without a suffix.
        recipe: what the tensors depend on; another recipe is another file.
        how: computes them, with the same result each time.

    Raises:
        InvsetError: the cache can't be written.
    """
    key = hashlib.sha256(repr(sorted(recipe.items())).encode()).hexdigest()[:12]
    folder = cache_folder()
    path = folder / f"{name}-{key}.safetensors"
    try:
        if not _whole(path):
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder / f".{path.name}.lock", f"making {name}"):
                if not _whole(path):  # another process may have made it while we waited
                    log.info("%s: made once, kept in %s", name, path)
                    write_whole(path, partial(write_tensors, tensors=how()))
                    remember(path, _sha256(path), "made here")
    except OSError as error:
        what = f"can't read or write {error.filename or folder} ({error.strerror or error})"
        raise InvsetError(f"{what}; type INVSET_CACHE=/a/folder/of/yours before invset") from error
    return read_safetensors(path, name, f"delete {path}, and it is made anew")[0]


def _whole(path: Path) -> bool:
    return path.is_file() and unchanged(path)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

"""Parts of diffusers' models from folders and from huggingface.co: the library is imported when it
is named, loads in silence, and what it raises is told in one sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from invset.errors import InvsetError, first_lines, is_out_of_memory


@cache
def library() -> ModuleType:
    """The package diffusers.

    Raises:
        InvsetError: it is not installed, or a package that it needs is not.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports
            import diffusers
            import transformers  # noqa: F401 - without it, diffusers lacks half of its classes
    except ImportError as error:
        raise InvsetError(
            f"this generator needs diffusers ({first_lines(error)}); type pip install"
            " 'invset[diffusers]'"
        ) from error
    return diffusers


@contextmanager
def had(weights: str, subfolder: str | None, what: Sequence[str]) -> Iterator[None]:
    """Load something without bars, and tell what goes wrong in one sentence.

    Args:
        weights: folder or repository that was typed.
        subfolder: of it.
        what: classes that are wanted of it.

    Raises:
        InvsetError: it is not there, not of such a class, or can't be downloaded.
    """
    where = f"{weights}/{subfolder}" if subfolder else str(weights)
    try:
        with _silence(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InvsetError:
        raise
    except Exception as error:  # of whatever reads or downloads
        if is_out_of_memory(error):
            raise
        told = first_lines(error, 200) or type(error).__name__
        raise InvsetError(
            f"{where} gives no {' or '.join(what)} ({told}); weights= is a folder that diffusers"
            " saved, or a repository of huggingface.co, for which this machine must be online"
        ) from error


@contextmanager
def _silence() -> Iterator[None]:
    """Without the bars and warnings of both libraries."""
    import transformers

    logs = [library().utils.logging, transformers.utils.logging]
    levels = [log.get_verbosity() for log in logs]
    try:
        for log in logs:
            log.set_verbosity_error()
            log.disable_progress_bar()
        yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.set_verbosity(level)
            log.enable_progress_bar()


def place(weights: str) -> str:
    """Folder or repository as the libraries take it."""
    folder = Path(weights).expanduser()
    return str(folder) if folder.is_dir() else str(weights)


def loaded(
    kind: Any, weights: str, subfolder: str | None, classes: Sequence[str], **more: Any
) -> nn.Module:
    """A model in float32, with all its weights.

    Args:
        kind: name of its class, as its configuration gives it.
        weights: folder or repository.
        subfolder: of it.
        classes: that are allowed.
        more: other arguments of ``from_pretrained``.

    Raises:
        InvsetError: another class, weights that are missing, or it can't be had.
    """
    if kind not in classes:
        raise InvsetError(
            f"{weights} holds {kind}, and {' or '.join(classes)} is wanted here; generator= has"
            " options for several kinds of models, and subfolder= says where in a pipeline one is"
        )
    with had(weights, subfolder, classes):
        part, info = getattr(library(), kind).from_pretrained(
            weights,
            subfolder=subfolder,
            torch_dtype=torch.float32,
            low_cpu_mem_usage=find_spec("accelerate") is not None,
            output_loading_info=True,
            **more,
        )
    missing = sorted(info["missing_keys"])
    if missing:
        raise InvsetError(
            f"{weights} lacks {len(missing)} weights of its {kind}, for example"
            f" {missing[0]}; download it again"
        )
    return part

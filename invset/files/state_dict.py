"""State dicts out of files that ``torch.save`` wrote. Nothing in a file is executed, and none makes
us reserve more memory than it has bytes.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import pickletools
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invset.errors import InvsetError
from invset.files.reading import reading

log = logging.getLogger(__name__)

#: What a state dict is saved with, for messages.
SAVE = "save it with torch.save(model.state_dict(), path)"

#: Names under which checkpoints keep the weights: of several state dicts, the one under these.
KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "ema", "weights")

#: How a pickle begins: of protocol 2 or later.
PICKLE = b"\x80"
ZIP = b"PK\3\4"

#: A checkpoint holds its state dict at most so deep.
_DEEP = 4

#: Numbers in a pickle, as a storage's length is written.
_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4"}


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The state dict of a file, or the one in a checkpoint, which is told.

    Args:
        path: of a file that ``torch.save`` wrote.

    Raises:
        InvsetError: it is damaged, holds other objects than tensors, or not just one state dict.
    """
    with reading(path, "weights", SAVE):
        with path.open("rb") as file:
            head = file.read(4)
        if head == ZIP:
            content = _unzipped(path)
        elif head.startswith(PICKLE):
            content = _unpickled(path)
        else:
            raise ValueError("torch.save writes no such file")
    return _chosen(content, path)


def _unzipped(path: Path) -> Any:
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.filename.endswith("/constants.pkl") for part in parts):
        raise ValueError("it is a module of torch.jit, not its weights")
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError("its parts are compressed, as torch.save leaves none")
    if sum(part.file_size for part in parts) > size:
        raise ValueError("its parts claim to have more bytes than the file")
    # as a map of the file: else torch believes what the file says of a tensor's length
    if path.suffix != ".safetensors":
        return _loaded(str(path), mmap=True)
    with tempfile.TemporaryDirectory() as folder:  # torch.load goes by this suffix
        link = Path(folder) / "weights.pth"
        os.symlink(path.absolute(), link)
        return _loaded(str(link), mmap=True)


def _unpickled(path: Path) -> Any:
    """The content of a file of torch < 1.6: pickles, then the numbers of each storage."""
    content = path.read_bytes()
    if any(claimed > len(content) for claimed in _lengths(content)):
        raise ValueError("a tensor of it claims to have more numbers than the file has bytes")
    return _loaded(io.BytesIO(content))


def _lengths(content: bytes) -> Iterator[int]:
    """How many numbers each storage has, as the last of the first four pickles says."""
    file = io.BytesIO(content)
    number = 0
    for _ in range(4):
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name in _NUMBERS:
                number = int(argument or 0)
            elif opcode.name == "BINPERSID":
                yield number


def _loaded(file: Any, **options: Any) -> Any:
    try:
        return torch.load(file, map_location="cpu", weights_only=True, **options)
    except pickle.UnpicklingError as error:
        # torch's own words advise to read such a file by running what is in it
        found = re.search(r"GLOBAL (\S+)", str(error))
        kind = f", such as {found[1][:80]}" if found else ""
        raise ValueError(
            f"it holds other objects than tensors{kind}, which can't be read without running code"
        ) from error


def _chosen(content: Any, path: Path) -> dict[str, Tensor]:
    """The state dict in what a file holds.

    Raises:
        InvsetError: there is none, or several.
    """
    found = dict(_state_dicts(content))
    known = [keys for keys in found if keys and all(key in KEYS for key in keys)]
    chosen = list(found) if len(found) == 1 else known
    if len(chosen) > 1:
        listed = " and ".join(".".join(keys) for keys in chosen)
        raise InvsetError(f"{path} holds several state dicts, under {listed}; save one of them")
    if not chosen:
        others = ", ".join(".".join(keys) for keys in list(found)[:8])
        raise InvsetError(
            f"{path} holds {f'several state dicts, under {others}' if others else 'no state dict'};"
            f" {SAVE}"
        )
    [keys] = chosen
    if keys:
        log.info("%s: the weights are those under %s", path, ".".join(keys))
    return found[keys]


def _state_dicts(
    content: Any, keys: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Tensor]]]:
    """Each state dict in nested dicts, and the keys that it is under."""
    if not isinstance(content, Mapping) or not all(isinstance(key, str) for key in content):
        return
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    # a module may keep anything else under this name
    others = [key for key in content if key not in tensors and not key.endswith("_extra_state")]
    if tensors and not others:
        yield keys, dict(content)
    elif len(keys) < _DEEP:
        for key in others:
            yield from _state_dicts(content[key], (*keys, key))

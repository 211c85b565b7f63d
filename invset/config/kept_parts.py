"""Networks, generators and references that the jobs of one process share: the next job of a sweep
asks for the same ones, and reads no file again.

Only parts that our own functions make of files, which are the same each time, are kept; those of a
person's code, and random weights, are made anew for each job.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from invset.config.identity import flat, named_files

#: Parts that are kept at most: a network, a generator, one for E, and a reference.
MOST = 4

#: Functions whose parts are the same each time, by how their names begin.
_OURS = ("invset.nets.embedded.", "invset.nets.caffe.", "invset.nets.efficientnet_lite.")

_kept: OrderedDict[str, Any] = OrderedDict()

_sweeping = ContextVar("_sweeping", default=False)


@contextmanager
def keeping() -> Iterator[None]:
    """Keep parts, and take those that are kept: for a job of a sweep."""
    token = _sweeping.set(True)
    try:
        yield
    finally:
        _sweeping.reset(token)


def part(cfg: DictConfig, runtime: DictConfig | None, device: Any, make: Callable[[], Any]) -> Any:
    """A network or generator, made or kept.

    Args:
        cfg: of it.
        runtime: how it is evaluated: it may lay out weights in memory.
        device: where it is, a torch.device.
        make: makes it.
    """
    if not str(cfg.get("_target_", "")).startswith(_OURS):
        return make()
    held = OmegaConf.to_container(cfg, resolve=True)
    how = OmegaConf.to_container(runtime, resolve=True) if runtime is not None else None
    files = [_state(path) for _, path in named_files(dict(flat(held)))]
    return kept(json.dumps([held, how, str(device), files], default=str), make)


def of_file(path: Path, make: Callable[[], Any]) -> Any:
    """What is read from a file, or kept while the file stays as it is."""
    return kept(json.dumps(_state(path)) if path.is_file() else "", make)


def kept(key: str, make: Callable[[], Any]) -> Any:
    """What a key stands for; an empty one stands for nothing that is kept."""
    if not _sweeping.get():
        return make()
    if key in _kept:
        _kept.move_to_end(key)
        return _kept[key]
    made = make()
    if key:
        _kept[key] = made
        while len(_kept) > MOST:
            _kept.popitem(last=False)
    return made


def forget() -> None:
    """Keep nothing any more."""
    _kept.clear()


def _state(path: Path) -> list[Any]:
    about = path.stat()
    return [str(path.resolve()), about.st_size, about.st_mtime_ns]

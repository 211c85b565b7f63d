"""Networks, generators and references that the jobs of one process share: the next job of a sweep
asks for the same ones, and reads no file again.

Only parts that our own functions make of files, which are the same each time, are kept; those of a
person's code, and random weights, are made anew for each job.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from invset.config.identity import flat, named_files

#: Parts that are kept at most: a network, a generator, one for E, and a reference.
MOST = 4

#: Functions whose parts are the same each time, by how their names begin.
_OURS = ("invset.nets.embedded.", "invset.nets.caffe.", "invset.nets.efficientnet_lite.")

_kept: OrderedDict[str, Any] = OrderedDict()

_facts: dict[tuple[object, ...], tuple[Sequence[object], Any]] = {}

T = TypeVar("T")

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
    if not _is_ours(cfg):
        return make()
    held = OmegaConf.to_container(cfg, resolve=True)
    how = OmegaConf.to_container(runtime, resolve=True) if runtime is not None else None
    files = [_state(path) for _, path in named_files(dict(flat(held)))]
    return kept(json.dumps([held, how, str(device), files], default=str), make)


def _is_ours(cfg: DictConfig) -> bool:
    return str(cfg.get("_target_", "")).startswith(_OURS)


def why_anew(cfg: DictConfig) -> str | None:
    """Why a network or generator of ``configs/run.yaml`` is made anew for each job, in words; None:
    all are kept.
    """
    for one in ("network", "generator", "encoder_network"):
        if cfg[one] is not None and not _is_ours(cfg[one]):
            return f"each job has a {one.replace('_', ' ')} of its own (docs/report.md)"
    return None


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


def fact(parts: Sequence[object], what: str, find: Callable[[], T]) -> T:
    """What is so of parts as long as they are kept, found once.

    Args:
        parts: networks and generators.
        what: is asked of them.
        find: finds it.
    """
    held = {id(one) for one in _kept.values()}
    if not _sweeping.get() or not all(id(one) in held for one in parts):
        return find()
    key = (what, *(id(one) for one in parts))
    if key not in _facts:
        _facts[key] = (parts, find())  # with the parts: no other object gets their id
    found: T = _facts[key][1]
    return found


def forget() -> None:
    """Keep nothing any more."""
    _kept.clear()
    _facts.clear()


def _state(path: Path) -> list[Any]:
    about = path.stat()
    return [str(path.resolve()), about.st_size, about.st_mtime_ns]

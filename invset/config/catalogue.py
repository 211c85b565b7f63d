"""Samplers by name, found by the files of ``configs/sampler``.

A file that sets nothing but the class (``_target_``) names a sampler; one that also sets options
names a variant of it, which is typed on the command line.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from invset.config.compose import config_dir


def sampler_names() -> list[str]:
    """Options of ``sampler=`` that name a class and nothing else."""
    files = sorted((config_dir() / "sampler").glob("*.yaml"))
    return [file.stem for file in files if _is_plain(file)]


def sampler_class(name: str) -> Any:
    """The class that an option of ``sampler=`` names: a `Sampler` or a `Study`."""
    node = _node(config_dir() / "sampler" / f"{name}.yaml")
    module, _, kind = str(node["_target_"]).rpartition(".")
    return getattr(importlib.import_module(module), kind)


def _is_plain(file: Path) -> bool:
    node = _node(file)
    own = [key for key in node if not OmegaConf.is_missing(node, key)]
    return own == ["_target_"]


def _node(file: Path) -> DictConfig:
    raw = OmegaConf.load(file)
    assert isinstance(raw, DictConfig)
    inner = raw.get("sampler", raw)
    return inner if isinstance(inner, DictConfig) else raw

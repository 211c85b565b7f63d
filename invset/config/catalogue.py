"""Samplers by name: the options of ``sampler=``, found by the files of ``configs/sampler``."""

from __future__ import annotations

import importlib
from typing import Any

from omegaconf import OmegaConf

from invset.config.mistakes import config_dir


def sampler_names() -> list[str]:
    """Options of ``sampler=`` that name a class of their own."""
    files = sorted((config_dir() / "sampler").glob("*.yaml"))
    return [file.stem for file in files if _target(file.stem)]


def sampler_class(name: str) -> Any:
    """The class that an option of ``sampler=`` names."""
    module, _, kind = str(_target(name)).rpartition(".")
    return getattr(importlib.import_module(module), kind)


def _target(name: str) -> str | None:
    cfg = OmegaConf.load(config_dir() / "sampler" / f"{name}.yaml")
    return OmegaConf.select(cfg, "sampler._target_")

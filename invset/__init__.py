"""invset samples the inverse set of a neuron: the natural-looking inputs that excite it to a chosen
level.

The names below are loaded when they are first used, so that ``import invset`` (and ``invset
--help``) costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "InverseSetSampler": "invset.api",
    "Result": "invset.api",
    "Neuron": "invset.problem.neuron",
    "Problem": "invset.problem.problem",
    "Network": "invset.nets.network",
    "Image8Bit": "invset.files.image8bit",
    "Table": "invset.files.tabular",
    "Generator": "invset.nets.generator",
    "CodePrior": "invset.core.space",
    "mini_network": "invset.nets.embedded",
    "mini_generator": "invset.nets.embedded",
    "InvsetError": "invset.errors",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'invset' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

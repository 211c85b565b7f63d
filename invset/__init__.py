"""invset samples the inverse set of a neuron: the natural-looking inputs that excite it to a chosen
level.

The names below are loaded when they are first used, so that ``import invset`` (and ``invset
--help``) costs nothing. A type checker sees them as they are.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # to a type checker it is true; typing itself is not needed for that

if TYPE_CHECKING:
    from invset.api import InverseSetSampler, Result
    from invset.core.space import CodePrior
    from invset.errors import InvsetError
    from invset.files.image8bit import Image8Bit
    from invset.files.tabular import Table
    from invset.nets.embedded import mini_generator, mini_network
    from invset.nets.generator import Generator
    from invset.nets.network import Network
    from invset.problem.neuron import Neuron
    from invset.problem.problem import Problem

__version__ = "0.2.0"

__all__ = [
    "CodePrior",
    "Generator",
    "Image8Bit",
    "InverseSetSampler",
    "InvsetError",
    "Network",
    "Neuron",
    "Problem",
    "Result",
    "Table",
    "__version__",
    "mini_generator",
    "mini_network",
]

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


if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name in _HOME:
            return getattr(importlib.import_module(_HOME[name]), name)
        raise AttributeError(f"module 'invset' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

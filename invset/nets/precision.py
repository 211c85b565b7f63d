"""Modules in float32, the type that ranges and samples are measured in."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import nn

from invset.errors import InvsetError


def in_float32(module: nn.Module, what: str) -> nn.Module:
    """The module itself if its numbers are float32, else a copy that is.

    float16 and bfloat16 weights keep their values; float64 ones are rounded. The module that was
    given stays as it is.

    Args:
        module: of any type.
        what: messages call it.

    Raises:
        InvsetError: the module can't be copied.
    """
    numbers = chain(module.parameters(), module.buffers())
    if all(x.dtype is torch.float32 for x in numbers if x.is_floating_point()):
        return module
    try:
        return copy.deepcopy(module).float()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise InvsetError(
            f"{what} is not float32, and can't be copied to make it so ({error}); return"
            " module.float()"
        ) from error

"""Modules in float32, the type that ranges and samples are measured in."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, nn

from invset.errors import InvsetError


def in_float32(module: nn.Module, what: str, x: Tensor) -> nn.Module:
    """The module itself if it takes float32 inputs, else a copy that does.

    float16 and bfloat16 weights keep their values; float64 ones are rounded. The module that was
    given stays as it is.

    Args:
        module: of any type.
        what: messages call it.
        x: a float32 input of it, on the CPU.

    Raises:
        InvsetError: the module can't be copied.
    """
    held = chain(module.parameters(), module.buffers())
    numbers = [one for one in held if one.is_floating_point()]
    if all(one.dtype is torch.float32 for one in numbers):
        return module
    try:
        twin = copy.deepcopy(module)
        twin.eval()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        first = str(error).split(".")[0]
        raise InvsetError(
            f"{what} is not float32, and can't be copied to make it so ({first}); return"
            " module.float()"
        ) from error
    try:
        with torch.no_grad():
            twin(x.to(numbers[0].device))
    except Exception:  # of another type, or other inputs: a pass in float32 will tell
        return twin.float()
    return module  # it brings its inputs to its own type

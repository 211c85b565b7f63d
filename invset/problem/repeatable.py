"""The same bytes again on a GPU: `runtime.deterministic`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from invset.errors import InvsetError
from invset.problem.runtime import Runtime

#: Where cuBLAS reads what memory it may work in; by itself its sums depend on the stream.
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"

#: What PyTorch says of an operation that has one kernel only, whose sums have no order.
_NO_KERNEL = " does not have a deterministic implementation"


@contextmanager
def repeatable(runtime: Runtime) -> Iterator[None]:
    """Take kernels alone that give the same bytes each time, if `runtime` asks for it; afterwards
    all is as it was.

    Raises:
        InvsetError: an operation has no such kernel.
    """
    if not runtime.deterministic:
        yield
        return
    with ExitStack() as after:
        _switch(after)
        try:
            yield
        except RuntimeError as error:
            name, told, _ = str(error).partition(_NO_KERNEL)
            if not told:
                raise
            raise InvsetError(
                f"runtime.deterministic=true: {name} gives other bytes each time on this device,"
                " and PyTorch has no other kernel for it; type runtime.deterministic=false"
            ) from error


def _switch(after: ExitStack) -> None:
    """Switch everything, and what puts it back on `after`."""
    cudnn = torch.backends.cudnn
    filling: Any = torch.utils.deterministic
    after.callback(
        torch.use_deterministic_algorithms,
        torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    after.callback(setattr, cudnn, "deterministic", cudnn.deterministic)
    after.callback(setattr, cudnn, "benchmark", cudnn.benchmark)
    after.callback(setattr, filling, "fill_uninitialized_memory", filling.fill_uninitialized_memory)
    if _CUBLAS not in os.environ:
        os.environ[_CUBLAS] = ":4096:8"
        after.callback(os.environ.pop, _CUBLAS, None)
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic = True
    cudnn.benchmark = False  # the fastest kernel is another one each time
    filling.fill_uninitialized_memory = False  # what invset reads it has written

"""What a run computes in, whatever its caller has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from invset.core.products import products
from invset.errors import InvsetError


@contextmanager
def own_context() -> Iterator[None]:
    """Compute in float32, on the devices that are named, with gradients where they are asked for.

    It undoes what holds in this thread alone: `no_grad`, `inference_mode`, `autocast`, a default
    device. Products are taken in float32, in all threads, until it ends. The caller's random
    numbers go on as if none had been drawn. A default type holds in all threads, so that it can't
    be set back for one.

    Raises:
        InvsetError: the default type is not float32.
    """
    kind = torch.get_default_dtype()
    if kind is not torch.float32:
        raise InvsetError(
            f"torch.get_default_dtype() is {kind}, and invset computes in float32; call"
            " torch.set_default_dtype(torch.float32) before, and set yours again behind it"
        )
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(_initialised()))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(products("float32"))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        # get_default_device of PyTorch 2.6 overlooks `with torch.device()`; a context costs time in
        # every call
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


def _initialised() -> list[int]:
    """CUDA devices that have a series of random numbers."""
    return list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []

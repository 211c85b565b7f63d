"""How many inputs are looked at in one pass without a gradient, so that memory holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from invset.problem.free_memory import free_memory
from invset.problem.portions import SHARE, power_of_two

#: So few inputs need not be measured.
_FEW = 4


class Peak(TorchDispatchMode):
    """What tensors that operations give take at a time, at most, on any device.

    Attributes:
        bytes: so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # it would be imported, which takes two seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {storage._cdata for storage in _storages((args, kwargs))}
        out = func(*args, **(kwargs or {}))
        for storage in _storages(out):
            if storage._cdata not in given:  # no view, of weights perhaps
                self._held[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._held = {at: held for at, held in self._held.items() if not held[0].expired()}
        self.bytes = max(self.bytes, sum(size for _, size in self._held.values()))
        return out


def _storages(held: object) -> list[torch.UntypedStorage]:
    tensors = [one for one in tree_leaves(held) if isinstance(one, Tensor)]
    # weights that oneDNN packed have no storage to be seen
    return [one.untyped_storage() for one in tensors if not one.is_mkldnn]


@torch.no_grad()
def at_once(
    look: Callable[[Tensor], object], inputs: Tensor, most: int, device: torch.device
) -> int:
    """As many inputs as half of the free memory holds in one pass, at most `most`.

    Args:
        look: takes the pass.
        inputs: the first is looked at, to count.
        most: as many as are worth it.
        device: where the pass is taken.
    """
    free = free_memory(device)
    most = max(1, min(most, len(inputs)))
    if free is None or most <= _FEW:
        return most
    look(inputs[:1])  # a network's first pass may look at more
    with Peak() as peak:
        look(inputs[:1])
    fitting = int(SHARE * free // max(1, peak.bytes))
    return most if fitting >= most else power_of_two(fitting)

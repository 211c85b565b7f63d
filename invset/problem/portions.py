"""How many codes go through the networks at a time, so that memory holds them.

A pass that will be differentiated keeps what its backward pass needs, and that is nearly all of the
memory it takes. What it keeps is counted while it runs, on any device, by
`torch.autograd.graph.saved_tensors_hooks`. ResNet-50, MobileNetV3 and ViT-B/16, 8 pictures of 224
pixels: the count was 0.9 to 1.3 times what the process grew by at its peak.

`micro_batch=auto` takes the first pass whole and counts. A pass that fits is the pass that would
have been taken without it, to the last bit. One that would not fit is given up half-way, and is
taken again in portions.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from invset.core.target import Evaluate

#: Share of the free memory that one pass may take: the rest is for the backward pass, the samples
#: and everybody else.
SHARE = 0.5

#: What PyTorch says where hooks on saved tensors can't be, as inside of `torch.func.grad`.
_NO_HOOKS = "saved tensor hooks"


class _TooLarge(Exception):
    """A pass would keep more than there is room for."""


@dataclass
class _Kept:
    """What a pass keeps so far.

    Attributes:
        room: bytes that it may keep.
        total: bytes that it keeps.
        storages: addresses of what was counted.
    """

    room: float
    total: int = 0
    storages: set[int] = field(default_factory=set)

    def count(self, x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in self.storages:
            self.storages.add(storage.data_ptr())
            self.total += storage.nbytes()
        if self.total > self.room:
            raise _TooLarge
        return x.detach()  # x itself would hold the graph, which would hold x


@dataclass(frozen=True)
class Split:
    """What was decided.

    Attributes:
        part: codes at a time.
        whole: codes that were to go at once.
        needed: bytes that a pass of these would keep.
        free: bytes that were free at the start.
    """

    part: int
    whole: int
    needed: int
    free: int

    @property
    def sentence(self) -> str:
        """For a person."""
        return (
            f"{self.part} codes at a time: a pass of {self.whole} takes about {_gb(self.needed)},"
            f" more than half of the {_gb(self.free)} that are free. Passes are repeated for that,"
            f" so a smaller K is faster; the same samples again: runtime.micro_batch={self.part}"
        )


class Portions:
    """How many codes go at once: all, so many, or as many as memory holds.

    Args:
        micro_batch: as in `Runtime`.
        free: gives the bytes of memory that are free; None where nobody knows.

    Attributes:
        part: codes that go at once; None: all, as long as all passes fitted.
        split: why so few; None as long as all passes fitted.
    """

    def __init__(self, micro_batch: int | str | None, free: Callable[[], int | None]) -> None:
        self.micro_batch = micro_batch
        self.part = micro_batch if isinstance(micro_batch, int) else None
        self.split: Split | None = None
        self._ask = free
        self._free: int | None = None
        self._asked = False
        self._fitted = 0  # codes of the largest pass that was counted
        self._each = 0.0  # bytes that a code of it kept

    @property
    def free(self) -> int | None:
        """Bytes that were free when this was asked first."""
        if not self._asked:
            self._free = self._ask()
            self._asked = True
        return self._free

    @property
    def room(self) -> float:
        """Bytes that one pass may keep."""
        return math.inf if self.free is None else SHARE * self.free

    def untried(self, count: int) -> bool:
        """Whether a pass of so many codes may be too large: none was so far, and none of as many
        fitted.
        """
        unknown = self.micro_batch == "auto" and self.part is None and count > max(self._fitted, 1)
        return unknown and self.free is not None

    def at_a_time(self, count: int) -> int:
        """How many of `count` codes go at once, at least 1, by what is known."""
        part = self.part
        if part is None and self._each:
            # without a gradient a pass takes less than one that was counted
            most = max(self._fitted, int(self.room / self._each))
            part = count if count <= most else power_of_two(most)
        return max(1, count if part is None else min(count, part))

    def go_on(self, split: Mapping[str, int] | None) -> None:
        """Go on with what a run that was interrupted had decided, as its state holds it."""
        if split is not None:
            self.split = Split(**split)
            self.part = self.split.part

    def attempt(self, evaluate: Evaluate, codes: Tensor) -> tuple[Tensor, Tensor] | None:
        """Take a pass whole, and count what it keeps.

        Args:
            evaluate: takes the pass.
            codes: with shape (B, code_dim), B > 1.

        Returns:
            None if there may be no room for it: then `at_a_time` knows what there is room for.
        """
        try:
            with _counted(self.room) as kept:
                found = evaluate(codes)
        except _TooLarge:
            self._measure(evaluate, codes)
            return None
        except RuntimeError as error:
            if _NO_HOOKS not in str(error):
                raise
            self.part = sys.maxsize  # what a pass keeps can't be counted
            return None
        self._learn(len(codes), kept.total)
        return found

    def _learn(self, count: int, needed: int) -> None:
        """Remember a pass that fits."""
        self._fitted = count
        self._each = needed / count

    def _measure(self, evaluate: Evaluate, codes: Tensor) -> None:
        """Find how many codes there is room for, from passes of one and of two.

        Their difference is what one more code takes: weights, which are there anyway, are in both.
        """
        assert self.free is not None  # else there is nothing to try
        one = kept_bytes(evaluate, codes[:1])
        each = max(1, kept_bytes(evaluate, codes[:2]) - one)
        needed = each * len(codes)
        if needed <= self.room:
            self._learn(len(codes), needed)
            return
        self.part = power_of_two(int(self.room // each))
        self.split = Split(self.part, len(codes), needed, self.free)


def kept_bytes(evaluate: Evaluate, codes: Tensor) -> int:
    """Bytes that a pass of codes keeps for its backward pass, weights among them."""
    with _counted(math.inf) as kept:
        evaluate(codes)
    return kept.total


@contextmanager
def _counted(room: float) -> Iterator[_Kept]:
    kept = _Kept(room)
    with torch.autograd.graph.saved_tensors_hooks(kept.count, lambda x: x):
        yield kept


def power_of_two(count: int) -> int:
    """The largest one that is not above `count`: equal parts, and the same ones where a little more
    memory is free.
    """
    return 1 << (max(1, count).bit_length() - 1)


def _gb(count: int) -> str:
    return f"{count / 1e9:.2g} GB"

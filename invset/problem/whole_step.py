"""A sampler's whole step, recorded: one launch in place of hundreds, a third of them the networks'.

What a step reads are its inputs: the sampler's state, and a draw, which is made on the host. They
are copied to where the recording reads, and what it wrote is copied away: a state that was given
out stays as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from invset.core.target import Meter, Target
from invset.problem.graphs import SEEN, Recorder, record_cuda

T = TypeVar("T")


class WholeStep:
    """Repeats functions of tensors: calls them at first, then replays what it recorded.

    Args:
        record: how; the default needs CUDA.
    """

    def __init__(self, record: Recorder = record_cuda) -> None:
        self.record = record
        self._seen: Counter[Any] = Counter()
        self._recordings: dict[Any, _Recording] = {}

    def __call__(self, function: Callable[..., T], target: Target, *inputs: Any) -> T:
        """What ``function(target, *inputs)`` gives.

        Args:
            function: of its inputs alone, without a draw, and without waiting for the device.
            target: the same one at every call; its meter counts replays, too.
            inputs: tensors, plain values, and dataclasses of them.
        """
        given: list[Tensor] = []
        key = (function, _outline(inputs, given))
        self._seen[key] += 1
        if self._seen[key] <= SEEN:
            return function(target, *inputs)
        if key not in self._recordings:
            self._recordings[key] = _Recording(partial(function, target), target.meter, inputs)
            self._recordings[key].begin(self.record)
        return self._recordings[key](given)


class _Recording:
    """A function of inputs of some shapes, in memory of its own."""

    def __init__(self, function: Callable[..., Any], meter: Meter, inputs: Any) -> None:
        given: list[Tensor] = []
        _outline(inputs, given)
        self.inputs = [x.detach().clone() for x in given]
        self.function = partial(function, *_filled(inputs, iter(self.inputs)))
        self.meter = meter

    def begin(self, record: Recorder) -> None:
        """Record; what a recorder calls for that is not counted as a pass."""
        before = self.meter.copy()

        def step() -> tuple[Tensor, ...]:
            self.meter.set(before)
            self.result = self.function()
            found: list[Tensor] = []
            _outline(self.result, found)
            return tuple(found)

        self.replay, self.outputs = record(step)
        forwards = self.meter.forwards - before.forwards
        self.spent = Meter(forwards, self.meter.backwards - before.backwards)
        self.meter.set(before)

    def __call__(self, given: list[Tensor]) -> Any:
        _copy(self.inputs, given)
        self.replay()
        self.meter.set(self.meter.plus(self.spent))
        found = [torch.empty_like(x) for x in self.outputs]
        _copy(found, self.outputs)  # the next replay writes there again
        return _filled(self.result, iter(found))


def _outline(value: Any, tensors: list[Tensor]) -> Any:
    """What a value is but for the numbers in its tensors, which are appended to `tensors`."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return value.dtype, value.shape
    if is_dataclass(value):
        inner = [_outline(getattr(value, one.name), tensors) for one in fields(value)]
        return type(value), *inner
    if isinstance(value, tuple):
        return tuple(_outline(one, tensors) for one in value)
    return value


def _filled(value: Any, tensors: Iterator[Tensor]) -> Any:
    """The value with other tensors."""
    if isinstance(value, Tensor):
        return next(tensors)
    if is_dataclass(value) and not isinstance(value, type):
        named = {one.name: _filled(getattr(value, one.name), tensors) for one in fields(value)}
        return replace(value, **named)
    if isinstance(value, tuple):
        return tuple(_filled(one, tensors) for one in value)
    return value


def _copy(there: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    """Copy tensors to others, those of a type in one launch."""
    for dtype in {x.dtype for x in there}:
        chosen = [number for number, x in enumerate(there) if x.dtype is dtype]
        torch._foreach_copy_([there[i] for i in chosen], [given[i] for i in chosen])

"""CUDA graphs of a step: its kernels are recorded once and replayed, so that none waits for Python
to launch it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invset.core.target import Evaluate

#: Runs the function and returns what repeats it, and the tensors that it gave, which each
#: repetition writes over.
Recorder = Callable[
    [Callable[[], tuple[Tensor, ...]]], tuple[Callable[[], None], tuple[Tensor, ...]]
]

#: Passes of one batch size before it is recorded: sizes that come once, at the end of a run, are
#: not worth it.
SEEN = 2


def record_cuda(
    function: Callable[[], tuple[Tensor, ...]],
) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
    """Record on CUDA; what libraries set up at their first calls must not be part of it, so there
    are some before.
    """
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function()
    return graph.replay, outputs


class _Recording:
    """Forward and backward pass of one batch size, in memory of its own."""

    def __init__(self, function: Evaluate, codes: Tensor, record: Recorder) -> None:
        self.codes = codes.detach().clone().requires_grad_()
        with torch.enable_grad():
            self.forward, (f, e) = record(lambda: function(self.codes))
            self.gradients = torch.zeros_like(f), torch.zeros_like(e)
            self.backward, (self.gradient,) = record(
                lambda: torch.autograd.grad((f, e), self.codes, self.gradients, retain_graph=True)
            )
        self.outputs = f, e
        self.passes = 0


class _Replay(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, codes: Tensor, recording: _Recording) -> tuple[Tensor, Tensor]:
        recording.codes.copy_(codes)
        recording.forward()
        recording.passes += 1
        ctx.recording = recording
        ctx.number = recording.passes
        f, e = (x.detach().clone() for x in recording.outputs)
        return f, e

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        recording = ctx.recording
        if ctx.number != recording.passes:
            raise RuntimeError(
                "this pass was recorded over by a later one: differentiate a pass before the next"
                " of its size"
            )
        for mine, given in zip(recording.gradients, gradients, strict=True):
            mine.copy_(given)
        recording.backward()
        # the next backward pass, of the same forward pass too, writes there again
        return recording.gradient.clone(), None


class Recorded:
    """A differentiable function of codes that replays what it recorded at an earlier pass of as
    many codes.

    Each pass may be differentiated several times, but only until the next one of its size.

    Args:
        function: codes to activations and encodings, without waiting for the device.
        record: how; the default needs CUDA.
    """

    def __init__(self, function: Evaluate, record: Recorder = record_cuda) -> None:
        self.function = function
        self.record = record
        self._seen: Counter[torch.Size] = Counter()
        self._recordings: dict[torch.Size, _Recording] = {}

    def __call__(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        size = codes.shape
        self._seen[size] += 1
        if self._seen[size] <= SEEN:
            return self.function(codes)
        if size not in self._recordings:
            self._recordings[size] = _Recording(self.function, codes, self.record)
        return _Replay.apply(codes, self._recordings[size])

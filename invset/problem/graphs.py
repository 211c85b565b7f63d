"""CUDA graphs of a step: its kernels are recorded once and replayed, so that none waits for Python
to launch it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from invset.core.target import Evaluate
from invset.interrupt import waiting

#: Runs the function and returns what repeats it, and the tensors that it gave, which each
#: repetition writes over. What repeats another function may follow, whose memory it shares.
Recorder = Callable[..., tuple[Callable[[], None], tuple[Tensor, ...]]]

#: Passes of one batch size before it is recorded: sizes that come once, at the end of a run, are
#: not worth it.
SEEN = 2

#: Sizes whose recordings are kept, each with the memory of its passes: K, and the rest that the
#: last part of n codes has.
MOST = 2


class _Graph:
    """Kernels that were recorded; a call launches them again."""

    def __init__(self) -> None:
        self.graph = torch.cuda.CUDAGraph()

    def __call__(self) -> None:
        self.graph.replay()


def record_cuda(
    function: Callable[[], tuple[Tensor, ...]], beside: _Graph | None = None
) -> tuple[_Graph, tuple[Tensor, ...]]:
    """Record on CUDA, on the device of what the function gives.

    Args:
        function: it is called three times before, so that what libraries set up then is no part of
            the recording.
        beside: shares its memory with this recording: what only the one or the other needs while
            it runs.
    """
    device = function()[0].device
    stream = _stream(device)
    recorded = _Graph()
    pool = None if beside is None else beside.graph.pool()
    with torch.cuda.device(device):
        stream.wait_stream(torch.cuda.current_stream())
        # on this stream outside, too: where a recording fails, its own context does not leave it
        with torch.cuda.stream(stream):
            for _ in range(2):
                function()
            with waiting(), torch.cuda.graph(recorded.graph, pool=pool, stream=stream):
                outputs = function()
        torch.cuda.current_stream().wait_stream(stream)
    return recorded, outputs


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Of all recordings on a device: a backward pass runs on the stream of its forward pass, and
    PyTorch's own stream for recordings is that of the device that recorded first.
    """
    return torch.cuda.Stream(device)


class _Recording:
    """Forward and backward pass of one batch size, in memory of its own."""

    def __init__(self, function: Evaluate, codes: Tensor, record: Recorder) -> None:
        self.codes = codes.detach().clone().requires_grad_()
        with torch.enable_grad():
            self.forward, (f, e) = record(lambda: function(self.codes))
            self.gradients = torch.zeros_like(f), torch.zeros_like(e)
            self.backward, (self.gradient,) = record(
                lambda: torch.autograd.grad((f, e), self.codes, self.gradients, retain_graph=True),
                self.forward,
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
        recording = self._recordings.pop(size, None)
        if recording is None:
            while len(self._recordings) >= MOST:  # their memory is free for the new one
                del self._recordings[next(iter(self._recordings))]
            recording = _Recording(self.function, codes, self.record)
        self._recordings[size] = recording  # behind those that were used before
        return _Replay.apply(codes, recording)

"""Recorded passes, with a recorder that runs on any device."""

from __future__ import annotations

import gc
import signal
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from cases import seeded, tanh_net
from fake_device import FakeCuda
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from invset.interrupt import waiting
from invset.problem.graphs import MOST, SEEN, Recorded, _stream


class Tape(TorchDispatchMode):
    """What a CUDA graph is, on any device: the kernels that ran, to run again on the same
    memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kernels: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.kernels.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, out in self.kernels:
            again = func(*args, **kwargs)
            for mine, new in zip(tensors(out), tensors(again), strict=True):
                if new.data_ptr() != mine.data_ptr():  # not a view, and not in place
                    mine.detach().copy_(new)


def tensors(value: Any) -> list[Tensor]:
    """Of what an operator gave: one, or several."""
    several = value if isinstance(value, (tuple, list)) else [value]
    return [one for one in several if isinstance(one, Tensor)]


def record(
    function: Callable[[], tuple[Tensor, ...]], beside: Callable[[], None] | None = None
) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
    with Tape() as tape:
        outputs = function()
    return tape.replay, outputs


NET = tanh_net()


def twice(c: Tensor) -> tuple[Tensor, Tensor]:
    return NET(c), c.square()


def gradients(evaluate: Callable[[Tensor], tuple[Tensor, Tensor]], c: Tensor) -> list[Tensor]:
    c = c.clone().requires_grad_()
    f, e = evaluate(c)
    # all are looked at when the last has been taken: none may be written over by the next
    ways = [
        torch.autograd.grad(x, c, retain_graph=True)[0]
        for x in (f[:, 0].sum(), e.sum(), (f.sum(1) * e.sum(1)).sum())
    ]
    return [f.detach(), e.detach(), *ways]


def codes(seed: int, count: int = 4) -> Tensor:
    return torch.randn(count, 8, generator=seeded(seed), dtype=torch.float64)


def test_replayed_passes_are_those_of_the_codes_they_are_given() -> None:
    recorded = Recorded(twice, record)
    found = [gradients(recorded, codes(seed)) for seed in range(SEEN + 3)]
    for seed, rows in enumerate(found):
        for mine, expected in zip(rows, gradients(twice, codes(seed)), strict=True):
            torch.testing.assert_close(mine, expected)


def test_sizes_that_come_often_are_recorded_once_each() -> None:
    calls: Counter[int] = Counter()

    def counted(
        function: Callable[[], tuple[Tensor, ...]], beside: Callable[[], None] | None = None
    ) -> tuple[Callable[[], None], tuple[Tensor, ...]]:
        calls["recorded"] += 1
        return record(function)

    recorded = Recorded(twice, counted)
    for count in (4, 3, 4, 2, 4, 4):
        recorded(codes(0, count).requires_grad_())
    assert calls["recorded"] == 2  # forward and backward of four codes
    for _ in range(SEEN):
        f, _ = recorded(codes(0, 3).requires_grad_())
    torch.testing.assert_close(f.detach(), twice(codes(0, 3))[0])
    assert calls["recorded"] == 4


def test_a_pass_that_was_recorded_over_is_not_differentiated() -> None:
    recorded = Recorded(twice, record)
    for seed in range(SEEN):
        recorded(codes(seed).requires_grad_())
    c = codes(5).requires_grad_()
    f, _ = recorded(c)
    recorded(codes(6, 3).requires_grad_())  # another size is in memory of its own
    (gradient,) = torch.autograd.grad(f.sum(), c, retain_graph=True)
    torch.testing.assert_close(gradient, torch.autograd.grad(twice(c)[0].sum(), c)[0])
    recorded(codes(6).requires_grad_())
    with pytest.raises(RuntimeError, match="recorded over by a later one"):
        torch.autograd.grad(f.sum(), c)


def test_few_recordings_are_kept() -> None:
    memory: list[weakref.ref[Tensor]] = []

    def watched(*arguments: Any) -> Any:
        replay, outputs = record(*arguments)
        memory.append(weakref.ref(outputs[0]))
        return replay, outputs

    recorded = Recorded(twice, watched)
    for count in (5, 6, 5, 7):  # what was used last stays: 5 and 7
        for seed in range(SEEN + 1):
            gradients(recorded, codes(seed, count))
    gc.collect()
    alive = [one() is not None for one in memory]
    assert alive == [True, True, False, False, True, True]
    assert sum(alive) == 2 * MOST
    made = len(memory)
    for count in (7, 5):
        for mine, expected in zip(
            gradients(recorded, codes(0, count)), gradients(twice, codes(0, count)), strict=True
        ):
            torch.testing.assert_close(mine, expected)
    assert len(memory) == made


class Cuda:
    """What recording asks CUDA for, in the order in which it asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.current: list[Any] = ["default"]
        cuda = self

        class Stream:
            def __init__(self, device: torch.device) -> None:
                self.device = device

            def wait_stream(self, other: Any) -> None:
                pass

        class Graph:
            def pool(self) -> Any:
                return self

            def replay(self) -> None:
                cuda.asked.append(("replay", self))

        @contextmanager
        def on(what: Any) -> Iterator[None]:
            self.current.append(what)
            yield
            self.current.pop()

        @contextmanager
        def graph(made: Graph, pool: Any, stream: Stream) -> Iterator[None]:
            self.asked.append(("record", (made, pool, stream, self.current[1])))
            if self.interrupts:
                signal.raise_signal(signal.SIGINT)
            yield
            self.asked.append(("recorded", made))

        self.interrupts = False
        answers = {"Stream": Stream, "CUDAGraph": Graph, "graph": graph, "device": on, "stream": on}
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: Stream(torch.device("cpu")))


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    _stream.cache_clear()
    with FakeCuda():
        yield Cuda(monkeypatch)
    _stream.cache_clear()


def test_a_pass_is_recorded_where_its_codes_are(cuda: Cuda) -> None:
    recorded = Recorded(lambda c: (c.sin(), c.square()))
    for _ in range(SEEN + 1):
        c = codes(0).to("cuda:1").requires_grad_()
        f, _ = recorded(c)
    torch.autograd.grad(f.sum(), c)
    there = torch.device("cuda", 1)
    (forward, backward) = [what for name, what in cuda.asked if name == "record"]
    assert forward[2] is backward[2], "a backward pass runs on the stream of its forward pass"
    assert (forward[2].device, forward[3], backward[3]) == (there, there, there)
    assert (forward[1], backward[1]) == (None, forward[0]), "in the memory of the forward pass"
    assert cuda.asked[-2:] == [("replay", forward[0]), ("replay", backward[0])]
    assert cuda.current == ["default"]


def test_a_signal_waits_for_the_end_of_a_recording(
    cuda: Cuda, request: pytest.FixtureRequest
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    recorded = Recorded(lambda c: (c.sin(), c.square()))
    c = codes(0).to("cuda").requires_grad_()
    for _ in range(SEEN):
        recorded(c)
    cuda.interrupts = True
    with pytest.raises(KeyboardInterrupt):
        recorded(c)
    assert [name for name, _ in cuda.asked] == ["record", "recorded"]
    cuda.interrupts = False
    recorded(c)
    assert [name for name, _ in cuda.asked[2:]] == ["record", "recorded"] * 2 + ["replay"]


def test_signals_that_waited_go_where_they_would_have_gone() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with waiting():
            signal.raise_signal(signal.SIGTERM)
            assert heard == []
        assert heard == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert len(heard) == 2
    finally:
        signal.signal(signal.SIGTERM, before)

"""Recorded passes, with a recorder that runs on any device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cases import seeded, tanh_net
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from invset.problem.graphs import SEEN, Recorded


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
    function: Callable[[], tuple[Tensor, ...]],
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
        function: Callable[[], tuple[Tensor, ...]],
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

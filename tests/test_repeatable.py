"""`runtime.deterministic`: what is switched, in forward and backward passes, and put back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from test_passes import problem
from torch.utils._python_dispatch import TorchDispatchMode
from typed import typed

from invset.api import InverseSetSampler
from invset.errors import InvsetError
from invset.problem.problem import Problem
from invset.problem.repeatable import repeatable
from invset.problem.result import Result
from invset.problem.runtime import Runtime
from invset.samplers.stream import Stream

ON = Runtime(deterministic=True)


def switches() -> tuple[Any, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
        torch.utils.deterministic.fill_uninitialized_memory,
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


class Watched(TorchDispatchMode):
    """The switches at each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[tuple[Any, ...]]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.setdefault(func.overloadpacket.__name__, set()).add(switches())
        return func(*args, **(kwargs or {}))


def sampled(**options: Any) -> Result:
    return run(problem(**options))


def run(question: Problem) -> Result:
    return InverseSetSampler(k=3, n=3).run(question)


def test_it_holds_in_each_pass_and_ends_with_the_run() -> None:
    before = switches()
    question = problem(deterministic=True)  # its own first passes are no part of a run
    with Watched() as watched:
        result = run(question)
    assert switches() == before
    held = (True, False, True, False, False, ":4096:8")
    assert watched.seen["convolution"] >= {held}
    assert watched.seen["convolution_backward"] == {held}
    plain = sampled()
    for name in ("codes", "activations", "inputs", "encodings"):  # on a CPU it changes nothing
        assert torch.equal(getattr(result, name), getattr(plain, name))


def test_by_default_nothing_is_switched() -> None:
    before = switches()
    with repeatable(Runtime()):
        assert switches() == before


def test_what_was_set_comes_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = switches()
    with repeatable(ON):
        assert switches() == (True, False, True, False, False, ":16:8")
    assert switches() == before
    with pytest.raises(ZeroDivisionError), repeatable(ON):
        raise ZeroDivisionError
    assert switches() == before


def test_an_operation_without_such_a_kernel_is_a_sentence() -> None:
    with (
        pytest.raises(InvsetError, match=r"deterministic=true: put_ .*deterministic=false$"),
        repeatable(ON),
    ):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
    with pytest.raises(RuntimeError, match="a defect"), repeatable(ON):
        raise RuntimeError("a defect")


def test_the_command_takes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also in what is made before the first step: codes to begin at are activations."""
    words = ["network=mini", "neuron=horse", "z1=4", "z2=6", "n=1", "progress=false"]
    words += ["report=false", "animation=false", "runtime.deterministic=true"]
    before = switches()
    seen = []
    region, step = Problem.region, Stream.step
    monkeypatch.setattr(Problem, "region", lambda *a: seen.append(switches()) or region(*a))
    monkeypatch.setattr(Stream, "step", lambda *a: seen.append(switches()) or step(*a))
    assert typed(monkeypatch, "run", *words, f"hydra.run.dir={tmp_path / 'run'}") == 0
    assert len(seen) > 1
    assert all(one[0] for one in seen)
    assert switches() == before

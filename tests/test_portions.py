"""How many codes go at a time: what a pass keeps, by hand; what is chosen, for a free memory that
is made up; and that a pass which fits is the pass that would be taken anyway.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from test_passes import CODE_DIM, CPU, codes, gradients, problem
from torch import Tensor
from typed import typed

from invset.api import InverseSetSampler
from invset.core.target import Evaluate
from invset.problem import passes as passes_file
from invset.problem.free_memory import _available, _left, free_memory
from invset.problem.passes import Passes
from invset.problem.portions import Portions, kept_bytes
from invset.problem.runtime import Runtime
from invset.samplers import drive
from invset.samplers.stream import Stream

HIDDEN = 1000
#: Bytes of the two matrices, and of what a ReLU keeps for one code.
WEIGHTS = 4 * (CODE_DIM * HIDDEN + HIDDEN * 2)
EACH = 4 * HIDDEN


def two_layers(called: list[int]) -> Evaluate:
    rng = torch.Generator().manual_seed(0)
    first = torch.randn(CODE_DIM, HIDDEN, generator=rng)
    second = torch.randn(HIDDEN, 2, generator=rng)

    def evaluate(c: Tensor) -> tuple[Tensor, Tensor]:
        called.append(len(c))
        f = (c @ first).relu() @ second
        return f, f

    return evaluate


def made(called: list[int], free: int | None, micro_batch: int | str | None = "auto") -> Passes:
    portions = Portions(micro_batch, lambda: free)
    return Passes(two_layers(called), Runtime(), CPU, portions)


def room_for(count: int) -> int:
    """Free memory of which half holds a pass of `count` codes, and not of one more."""
    return 2 * (count * EACH + EACH // 2)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_what_a_pass_keeps_by_hand(count: int) -> None:
    c = codes(count).requires_grad_()
    assert kept_bytes(two_layers([]), c) == WEIGHTS + count * EACH


@pytest.mark.parametrize(("fits", "part"), [(9, 8), (8, 8), (7, 4), (5, 4), (3, 2), (1, 1), (0, 1)])
def test_the_part_that_half_of_the_free_memory_holds(fits: int, part: int) -> None:
    called: list[int] = []
    c = codes(10)
    passes = made(called, room_for(fits))
    found = gradients(passes, c)
    # the whole, given up; one and two to learn from; the parts, and again for each of two gradients
    parts = [len(some) for some in c.split(part)]
    assert called == [10, 1, 2, *parts, *2 * parts[::-1]]
    expected = gradients(two_layers([]), c)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 1e-5 * other.norm()
    split = passes.portions.split
    assert split is not None
    assert (split.part, split.whole, split.free) == (part, 10, room_for(fits))
    assert split.needed == 10 * EACH
    assert split.sentence.endswith(f"runtime.micro_batch={part}")
    called.clear()
    gradients(passes, c)
    assert called == [*parts, *2 * parts[::-1]]  # nothing is tried twice


@pytest.mark.parametrize("free", [room_for(10) + 2 * WEIGHTS, None])
def test_a_pass_that_fits_is_taken_once_and_as_ever(free: int | None) -> None:
    called: list[int] = []
    c = codes(10)
    passes = made(called, free)
    found = [gradients(passes, c), gradients(passes, c[:4])]
    assert called == [10, 4]
    assert passes.portions.split is None
    for some, count in zip(found, (10, 4), strict=True):
        for one, other in zip(some, gradients(two_layers([]), c[:count]), strict=True):
            assert torch.equal(one, other)


def test_weights_are_there_anyway() -> None:
    called: list[int] = []
    passes = made(called, room_for(10))
    gradients(passes, codes(10))
    assert called == [10, 1, 2, 10]  # with the weights it seems too large, and is not
    assert passes.portions.split is None


def test_a_larger_pass_is_tried_again() -> None:
    called: list[int] = []
    passes = made(called, room_for(5) + 2 * WEIGHTS)
    for count in (4, 5, 40):
        gradients(passes, codes(count))
    assert called[:5] == [4, 5, 40, 1, 2]
    assert called[5:7] == [16, 16]
    assert passes.portions.part == 16


def test_passes_without_a_gradient_obey_what_is_known() -> None:
    portions = Portions("auto", lambda: 2 * 70 * EACH)
    assert portions.at_a_time(64) == 64  # nothing was counted yet, and nothing is kept
    portions.attempt(lambda c: (c.relu(), c), torch.ones(10, HIDDEN, requires_grad=True))
    assert [portions.at_a_time(count) for count in (1, 64, 70, 71)] == [1, 64, 70, 64]
    portions.part = 8
    assert [portions.at_a_time(count) for count in (0, 8, 9)] == [1, 8, 8]


@pytest.mark.parametrize(("micro_batch", "expected"), [(None, [1, 2, 64]), (3, [1, 2, 3])])
def test_what_is_typed_is_done(micro_batch: int | None, expected: list[int]) -> None:
    portions = Portions(micro_batch, lambda: 0)
    assert [portions.at_a_time(count) for count in (1, 2, 64)] == expected
    assert not portions.untried(64)


def test_where_nothing_can_be_counted_all_go_at_once() -> None:
    """Hooks are refused within `torch.func.grad`."""

    def evaluate(c: Tensor) -> tuple[Tensor, Tensor]:
        slope = torch.func.grad(lambda x: (c.detach() * x).square().sum())(torch.ones(CODE_DIM))
        return c * slope, c

    passes = Passes(evaluate, Runtime(), CPU, Portions("auto", lambda: 1))
    for one, other in zip(gradients(passes, codes(5)), gradients(evaluate, codes(5)), strict=True):
        assert torch.equal(one, other)


def test_samples_are_the_same_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(free: int, micro_batch: int | str | None = "auto") -> tuple[list, list[int]]:
        monkeypatch.setattr(passes_file, "free_memory", lambda device: free)
        one = problem(micro_batch=micro_batch)
        result = InverseSetSampler(sampler=Stream(K=10, n=20)).run(one)
        split = one.portions.split
        return [result.codes, result.activations, result.encodings], [split.part] if split else []

    everything, none = run(2**40)
    few, chosen = run(220_000)
    assert (none, chosen) == ([], [4])
    for one, other in zip(few, everything, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    for one, other in zip(few, run(2**40, 4)[0], strict=True):
        assert torch.equal(one, other)  # as the sentence says
    for one, other in zip(everything, run(0, None)[0], strict=True):
        assert torch.equal(one, other)


def test_a_run_says_what_it_chose(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "network=mini", "neuron=horse", "z1=3", "z2=5", "n=4", "K=4", "progress=false"]
    words += ["animation=false", "report=false"]

    def chosen(name: str) -> dict:
        assert typed(monkeypatch, *words, f"hydra.run.dir={tmp_path}/{name}") == 0
        return json.loads((tmp_path / name / "summary.json").read_text())["runtime"]

    whole = chosen("whole")
    assert (whole["micro_batch"], whole["split"]) == ("auto", None)
    assert "at a time" not in capsys.readouterr().err
    monkeypatch.setattr(passes_file, "free_memory", lambda device: 2**20)
    split = chosen("split")["split"]
    assert (split["part"], split["whole"], split["free"]) == (1, 4, 2**20)
    assert capsys.readouterr().err.count("1 codes at a time: a pass of 4 takes about") == 1


def test_a_run_that_is_resumed_keeps_its_portions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["run", "network=mini", "neuron=horse", "z1=3", "z2=5", "n=6", "K=3", "progress=false"]
    words += ["animation=false", "report=false"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    original = drive.closest
    calls: list[int] = []

    def ctrl_c(*given: object) -> Tensor:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return original(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(passes_file, "free_memory", lambda device: 2**20)
        assert typed(patch, *words, f"hydra.run.dir={whole}") == 0
        patch.setattr(drive, "closest", ctrl_c)
        assert typed(patch, *words, f"hydra.run.dir={cut}") == 130
    # by now there is room for all
    assert typed(monkeypatch, "run", "--resume", str(cut)) == 0
    found, again = (json.loads((one / "summary.json").read_text()) for one in (whole, cut))
    assert found["runtime"]["split"]["part"] == 1
    assert again["runtime"] == found["runtime"]
    name = "samples.safetensors"
    assert (cut / name).read_bytes() == (whole / name).read_bytes()


GROUPS = [
    (("memory.max", "memory.current", "inactive_file"), "1000", 300),
    (("memory.max", "memory.current", "inactive_file"), "max", None),
    (("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"), "600", 0),
]


@pytest.mark.parametrize(("names", "limit", "left"), GROUPS)
def test_memory_that_a_container_has_left(
    names: tuple[str, str, str], limit: str, left: int | None, tmp_path: Path
) -> None:
    assert _left(tmp_path, names) is None
    held = {names[0]: limit, names[1]: "900", "memory.stat": f"anon 500\n{names[2]} 200"}
    for name, text in held.items():
        (tmp_path / name).write_text(text + "\n")
    assert _left(tmp_path, names) == left


def test_memory_that_linux_says_is_free(tmp_path: Path) -> None:
    assert _available(tmp_path / "meminfo") is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:    7 kB\n")
    assert _available(tmp_path / "meminfo") == 7 * 1024


def test_memory_of_this_machine_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_memory(CPU)
    assert free is not None
    assert 2**20 < free < 2**50
    assert free_memory(torch.device("meta")) is None

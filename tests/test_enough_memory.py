"""Memory that is too small: it is recognised, nothing is lost, and what is typed helps."""

from __future__ import annotations

import json
import re
import shlex
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch
from test_passes import problem
from typed import typed

from invset.api import InverseSetSampler
from invset.bad_input import bad_input
from invset.core.target import Target
from invset.errors import InvsetError, is_out_of_memory
from invset.problem.enough_memory import OutOfMemory, enough_memory
from invset.problem.problem import Problem
from invset.problem.runtime import Runtime
from invset.samplers.stream import Stream

CUDA = "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 9 GiB"

#: What PyTorch says, and whether it is about memory.
SAID: list[tuple[BaseException, bool]] = [
    (torch.OutOfMemoryError(CUDA), True),
    (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`"), True),
    (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
    (RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), True),
    (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), True),
    (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB"), True),
    (RuntimeError("level_zero backend failed: UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY"), True),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
    (MemoryError(), True),
    (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), False),
    (RuntimeError("shapes do not match"), False),
    (ValueError("out of memory"), False),
]


@pytest.mark.parametrize(("error", "known"), SAID, ids=[str(one)[:40] for one, _ in SAID])
def test_all_that_says_so_is_recognised(error: BaseException, known: bool) -> None:
    assert is_out_of_memory(error) == known
    assert (bad_input(error, "run") is not None) == known


def test_a_command_names_its_own_options() -> None:
    def told(command: str) -> str:
        return str(bad_input(torch.OutOfMemoryError(CUDA), command))

    assert "type a smaller settings.batch_size=" in told("train network")
    assert "type smaller codes= and starts=" in told("probe")
    assert "(CUDA out of memory. Tried to allocate 20.00 GiB." in told("run")


@pytest.mark.parametrize(
    ("options", "part", "device", "how"),
    [
        ({}, None, "cuda", ["runtime.micro_batch=4"]),
        ({"micro_batch": 4}, 4, "cuda", ["runtime.micro_batch=2"]),
        ({"micro_batch": None}, None, "cuda", ["runtime.micro_batch=4"]),
        ({}, 2, "cuda", ["runtime.micro_batch=1"]),
        ({"micro_batch": 1}, 1, "cuda", ["device=cpu"]),
        ({"micro_batch": 1}, 1, "cpu", []),
        (
            {"cuda_graphs": True},
            None,
            "cuda",
            ["runtime.cuda_graphs=false", "runtime.micro_batch=4"],
        ),
    ],
)
def test_the_options_that_help(
    options: dict[str, Any], part: int | None, device: str, how: list[str]
) -> None:
    asked = problem()
    asked.runtime = Runtime(**options)
    asked.portions.part = part
    asked.network.device = torch.device(device)
    with pytest.raises(OutOfMemory) as error, enough_memory(asked, 9, 20):
        raise torch.OutOfMemoryError(CUDA)
    assert error.value.how == how
    told = f"there is not enough memory on {device} for {min(9, part or 9)} codes at once and 20 "
    assert str(error.value).startswith(told)
    assert f"type {' '.join(how) or 'smaller networks'}" in str(error.value)
    Runtime(**{**options, **dict(_option(word) for word in how if word.startswith("runtime."))})


def _option(word: str) -> tuple[str, Any]:
    name, _, value = word.removeprefix("runtime.").partition("=")
    return name, False if value == "false" else int(value)


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="a defect"), enough_memory(problem(), 9, 20):
        raise RuntimeError("a defect")


@pytest.mark.parametrize("where", ["init", "step"])
def test_in_python(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @wraps(getattr(Stream, where))
    def small(*_: Any) -> Any:
        raise torch.OutOfMemoryError(CUDA)

    monkeypatch.setattr(Stream, where, small)
    with pytest.raises(
        InvsetError,
        match=r"9 codes at once and 20 samples; type runtime\.micro_batch=4, .*CUDA",
    ):
        InverseSetSampler(sampler=Stream(K=9, n=20)).run(problem())


WORDS = ["network=mini", "neuron=horse", "z1=4", "z2=6", "n=6", "K=4", "progress=false"]
WORDS += ["report=false", "animation=false", "judge=null"]


def test_a_run_goes_on_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Passes of more than one code are too large from the fifth on: told twice, followed twice."""
    look, calls = Target.look, []

    def small(self: Target, *given: Any, **more: Any) -> Any:
        calls.append(1)
        evaluate = self.evaluate
        assert hasattr(evaluate, "__self__")
        owner = evaluate.__self__
        assert isinstance(owner, Problem)
        if len(calls) > 4 and owner.portions.part != 1:
            raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
        return look(self, *given, **more)

    monkeypatch.setattr(Target, "look", small)
    folder = tmp_path / "run"
    words = ["run", *WORDS, f"hydra.run.dir={folder}"]
    commands = []
    while len(commands) < 3 and (code := typed(monkeypatch, *words)) == 2:
        found = re.search("go on with: invset (.*)", capsys.readouterr().err)
        assert found is not None
        commands.append(found[1])
        words = shlex.split(found[1])
    assert commands == [f"run --resume {folder} runtime.micro_batch={part}" for part in (2, 1)]
    assert code == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "reached"
    assert len(list((folder / "samples").iterdir())) == 6

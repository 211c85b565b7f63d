"""What is computed on first use: once, whole or not at all, and again where it was changed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from invset.errors import InvsetError
from invset.hub import made as module
from invset.hub.made import made

OTHER = """
import sys, time, torch
from invset.hub.made import made
def how():
    print("computing", flush=True)
    time.sleep(float(sys.argv[1]))
    return {"x": torch.arange(3)}
print(made("thing", {"version": 1}, how)["x"].tolist(), flush=True)
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def once(calls: Counter[str], recipe: dict[str, object]) -> dict[str, Tensor]:
    def how() -> dict[str, Tensor]:
        calls["made"] += 1
        return {"x": torch.tensor([1.5, 2.5])}

    return made("thing", recipe, how)


def test_it_is_computed_once_and_kept_by_its_recipe(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: Counter[str] = Counter()
    for _ in range(3):
        assert once(calls, {"version": 1})["x"].tolist() == [1.5, 2.5]
    assert calls["made"] == 1
    (file,) = folder.glob("*.safetensors")
    assert caplog.messages == [f"thing: made once, kept in {file}"]
    once(calls, {"version": 2})
    assert calls["made"] == 2
    assert len(list(folder.glob("*.safetensors"))) == 2


def test_what_was_changed_is_computed_anew(folder: Path) -> None:
    calls: Counter[str] = Counter()
    once(calls, {})
    (file,) = folder.glob("*.safetensors")
    file.write_bytes(b"something else")
    assert once(calls, {})["x"].tolist() == [1.5, 2.5]
    assert calls["made"] == 2


def test_a_cache_that_takes_nothing_is_told(folder: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(InvsetError, match=r"can't read or write .*type INVSET_CACHE="):
        once(Counter(), {})


def started(folder: Path, seconds: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "INVSET_CACHE": str(folder)}
    words = [sys.executable, "-c", OTHER, str(seconds)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)


def begun(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "computing\n"


def test_two_processes_compute_it_once(folder: Path) -> None:
    first = started(folder, 3.0)
    begun(first)
    second = started(folder, 0.0)
    assert second.communicate(timeout=60)[0] == "[0, 1, 2]\n"
    assert first.communicate(timeout=60)[0] == "[0, 1, 2]\n"


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_process_that_is_killed_leaves_no_file(folder: Path) -> None:
    first = started(folder, 60.0)
    begun(first)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=10)
    assert not list(folder.glob("*.safetensors"))
    second = started(folder, 0.0)  # which the dead one's lock does not hold
    assert second.communicate(timeout=60)[0] == "computing\n[0, 1, 2]\n"

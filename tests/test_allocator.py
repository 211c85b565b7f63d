"""The allocator's thresholds."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from invset import cli
from invset.problem.allocator import keep_freed_memory


def test_tells_whether_it_could():
    assert isinstance(keep_freed_memory(), bool)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_glibc_takes_the_thresholds():
    assert keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()


def test_the_command_raises_them_and_the_library_does_not(monkeypatch):
    calls = []
    monkeypatch.setattr(cli, "keep_freed_memory", lambda: calls.append("command"))
    monkeypatch.setattr(cli, "launch", lambda *_: 0)
    for name, (_, config, _) in cli.COMMANDS.items():
        if config is not None:  # the others compute nothing
            cli.start(name, [])
    assert len(calls) == sum(config is not None for _, config, _ in cli.COMMANDS.values())
    code = (
        "import ctypes, torch; ctypes.CDLL = None; import invset.api, invset.commands.run,"
        " invset.commands.compare"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

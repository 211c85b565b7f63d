"""The allocator's thresholds."""

from __future__ import annotations

import platform
import sys

import pytest

from invset.allocator import keep_freed_memory


def test_tells_whether_it_could():
    assert isinstance(keep_freed_memory(), bool)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_glibc_takes_the_thresholds():
    assert keep_freed_memory()


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()

"""What a person types, in this process."""

from __future__ import annotations

import sys

import pytest
from hydra.core.global_hydra import GlobalHydra

from invset.cli import main


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Type ``invset WORDS``; return the exit code."""
    monkeypatch.setattr(sys, "argv", ["invset", *words])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)

"""``import invset`` as a type checker sees it, and as Python does: the same names, the same
classes.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import invset

ROOT = Path(__file__).parents[1]

SNIPPET = """
import invset

reveal_type(invset.Problem)
reveal_type(invset.mini_network())
invset.Problem(1, 2, nonsense=3)
invset.nothing
problem = invset.Problem(
    invset.mini_network(), invset.mini_generator(), None, [invset.Neuron("fc8", 1, (3.0, 4.0))]
)
result: invset.Result = invset.InverseSetSampler(n=4).run(problem)
"""


#: PyTorch is left out: to read it takes half a minute.
SETTINGS = """
[mypy]
follow_imports = silent
[mypy-torch.*,torchvision.*,numpy.*,hydra.*,omegaconf.*,PIL.*]
follow_imports = skip
"""


def declared() -> dict[str, str]:
    """Name -> module of what a type checker is told."""
    tree = ast.parse((ROOT / "invset" / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.name: node.module or ""
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_names_are_served_from_where_they_are_declared() -> None:
    assert declared() == invset._HOME
    assert set(invset.__all__) == {*invset._HOME, "__version__"}
    for name, module in declared().items():
        assert getattr(invset, name) is getattr(importlib.import_module(module), name)


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = invset.nothing


@pytest.mark.slow
def test_a_type_checker_sees_the_classes(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "snippet.py").write_text(SNIPPET)
    (tmp_path / "mypy.ini").write_text(SETTINGS)  # all that it asks of is ours
    settings = ["--config-file", tmp_path / "mypy.ini", "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-pretty", *settings, tmp_path / "snippet.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    lines = [line.split(":", 1)[1] for line in done.stdout.splitlines() if "snippet.py" in line]
    told = {int(line.split(":")[0]): [] for line in lines}
    for line in lines:
        number, _, text = line.partition(":")
        told[int(number)].append(text)
    assert "invset.problem.problem.Problem" in told[4][0]
    assert told[5] == [' note: Revealed type is "invset.nets.network.Network"']
    assert any('Unexpected keyword argument "nonsense"' in text for text in told[6])
    assert any('has no attribute "nothing"' in text for text in told[7])
    assert set(told) == {4, 5, 6, 7}  # the rest is right

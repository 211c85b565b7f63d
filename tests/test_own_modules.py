"""The working folder: the user's modules are found, and hide nobody else's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from invset.config.mistakes import _hidden
from invset.own_modules import own_modules_last

#: Modules of Python and of what invset uses, which a file may be called as.
TAKEN = (
    *("queue", "random", "json", "typing", "argparse", "copy", "string", "pathlib", "logging"),
    *("torch", "numpy", "hydra", "yaml", "PIL"),
)


def test_a_users_modules_hide_no_other(tmp_path: Path) -> None:
    for name in TAKEN:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('mine')\n", encoding="utf-8")
    (tmp_path / "net.py").write_text(
        "from torch import nn\nimport sibling\ndef build():\n    return sibling.make(nn)\n",
        encoding="utf-8",
    )
    (tmp_path / "sibling.py").write_text(
        "def make(nn):\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))\n",
        encoding="utf-8",
    )
    words = ["network=custom", "network.module._target_=net.build", "network.image_size=2"]
    checkout = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "invset", "list", "layers", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": checkout},
    )
    assert done.returncode == 0, done.stderr
    [line] = done.stderr.splitlines()
    assert line.endswith(f"invset probe {' '.join(words)} layer=1 neuron=1")
    assert "5 neurons" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        ("joblib", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        ("submitit", ["hydra/launcher=submitit_local"]),
    ],
)
def test_workers_of_launchers_find_them(plugin: str, words: list[str], tmp_path: Path) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{plugin}_launcher")
    (tmp_path / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def build():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(12, 5))\n",
        encoding="utf-8",
    )
    asked = ["network=custom", "network.module._target_=net.build", "network.image_size=2"]
    asked += ["network.encoder=0", "generator=pixels", "generator.size=2", "neuron=1,2", "goal=max"]
    asked += ["sampler=random", "n=1", "judge=null", "report=false", "animation=false"]
    asked += ["sampler.budget=1", "reference=null", "progress=false", "robust=0"]
    done = subprocess.run(
        [sys.executable, "-m", "invset", "run", "-m", *asked, *words, "hydra.sweep.dir=out"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("out/*/summary.json"))) == 2


@pytest.fixture
def path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    monkeypatch.setattr(sys, "path", [str(tmp_path), "", "/elsewhere", str(tmp_path)])
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    monkeypatch.chdir(tmp_path)
    return sys.path


def test_the_working_folder_goes_last(path: list[str], tmp_path: Path) -> None:
    own_modules_last(str(tmp_path))
    own_modules_last(str(tmp_path))
    assert path == ["/elsewhere", str(tmp_path)]
    assert os.environ["PYTHONSAFEPATH"] == "1"  # of workers, which would put it first


def test_a_file_that_is_called_as_another_module_is_told(path: list[str], tmp_path: Path) -> None:
    assert _hidden("queue.build") is None
    (tmp_path / "queue.py").touch()
    (tmp_path / "net.py").touch()
    assert _hidden("queue.build") == tmp_path / "queue.py"
    assert _hidden("net.build") is None

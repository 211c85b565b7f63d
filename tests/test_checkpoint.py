"""Checkpoints and logs of training runs."""

from __future__ import annotations

import pytest
import torch

from invset.errors import InvsetError
from invset.training.checkpoint import Log, load_checkpoint, save_checkpoint

CONFIG = {"lr": 0.1, "layers": ["conv1", "fc6"]}


def test_round_trip(tmp_path):
    state = {"weights": torch.arange(3.0), "step": 7, "config": CONFIG}
    save_checkpoint(tmp_path / "checkpoint.pt", state)
    loaded = load_checkpoint(tmp_path / "checkpoint.pt", CONFIG)
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_none_yet(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint.pt", CONFIG) is None


@pytest.mark.parametrize(
    "changed", [{**CONFIG, "lr": 0.2}, {"layers": CONFIG["layers"]}, {**CONFIG, "lr": None}]
)
def test_other_settings_are_named(tmp_path, changed):
    save_checkpoint(tmp_path / "checkpoint.pt", {"config": CONFIG})
    with pytest.raises(InvsetError, match=r"made with others \(lr\)"):
        load_checkpoint(tmp_path / "checkpoint.pt", changed)


def test_an_interrupted_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1, "config": CONFIG})

    def killed(state, file):
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"step": 2, "config": CONFIG})
    assert load_checkpoint(path, CONFIG)["step"] == 1


def test_log_appends_and_drops_rows_that_no_checkpoint_knows(tmp_path):
    path = tmp_path / "log.csv"
    log = Log(path, rows=0)
    for step in (1, 2, 3):
        log.write({"step": step, "loss": step / 3})
    assert path.read_text() == "step,loss\n1,0.333333\n2,0.666667\n3,1\n"
    Log(path, rows=2).write({"step": 3, "loss": 0.5})
    assert path.read_text() == "step,loss\n1,0.333333\n2,0.666667\n3,0.5\n"
    Log(path, rows=0).write({"step": 1, "loss": 0.25})
    assert path.read_text() == "step,loss\n1,0.25\n"

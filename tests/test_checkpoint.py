"""Checkpoints and logs of training runs."""

from __future__ import annotations

import pytest
import torch

from invset.errors import InvsetError
from invset.files.sums import short_sum
from invset.nets.mini import MiniNet
from invset.training.checkpoint import (
    Log,
    load_checkpoint,
    save_checkpoint,
    structure,
    surroundings,
)

CONFIG = {"lr": 0.1, "layers": ["conv1", "fc6"]}


def around(config=CONFIG):
    return surroundings(config, "cpu")


def test_round_trip(tmp_path):
    weights = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([weights])
    weights.sum().backward()
    optimizer.step()
    maps = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state = {"optimizer": optimizer.state_dict(), "step": 7, "maps": maps}
    save_checkpoint(tmp_path / "checkpoint.pt", state, around())
    loaded = load_checkpoint(tmp_path / "checkpoint.pt", around())
    assert torch.equal(loaded["maps"], maps)
    assert loaded["maps"].stride() == maps.stride()
    assert repr(loaded["optimizer"]) == repr(state["optimizer"])  # keys that are numbers, tuples
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_none_yet(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint.pt", around()) is None


@pytest.mark.parametrize(
    "changed", [{**CONFIG, "lr": 0.2}, {"layers": CONFIG["layers"]}, {**CONFIG, "lr": None}]
)
def test_other_settings_are_named(tmp_path, changed):
    save_checkpoint(tmp_path / "checkpoint.pt", {"step": 1}, around())
    with pytest.raises(InvsetError, match=r"lr was 0\.1 and is .*another out="):
        load_checkpoint(tmp_path / "checkpoint.pt", around(changed))
    with pytest.raises(InvsetError, match="options can't be accepted"):
        load_checkpoint(tmp_path / "checkpoint.pt", around(changed), ["options"])


def test_another_number_of_threads_is_accepted_by_name(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    before = around()
    before.parts["threads"]["threads"] = 64
    save_checkpoint(path, {"step": 1}, before)
    with pytest.raises(InvsetError, match=r"OMP_NUM_THREADS=64 .*'accept=\[threads\]'"):
        load_checkpoint(path, around())
    assert load_checkpoint(path, around(), ["threads"]) == {"step": 1}
    assert "threads was 64 and is" in caplog.text


def test_every_picture_counts():
    images = torch.zeros(2500, 3, 2, 2, dtype=torch.uint8)
    other = images.clone()
    other[1234, 0, 0, 0] = 1
    assert short_sum(images) == short_sum(images.clone()) != short_sum(other)
    assert short_sum(torch.tensor([0, 1])) != short_sum(torch.tensor([1, 0]))


def test_an_interrupted_write_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"step": 1}, around())

    def killed(path, value):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("invset.files.surroundings.write_sealed", killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(path, {"step": 2}, around())
    assert load_checkpoint(path, around()) == {"step": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_the_log_is_that_of_the_checkpoint(tmp_path):
    path = tmp_path / "log.csv"
    log = Log(path)
    for step in (1, 2, 3):
        log.add({"step": step, "loss": step / 3})
    assert path.read_text() == "step,loss\n1,0.333333\n2,0.666667\n3,1\n"
    known = log.rows[:2]  # the third row's step is done again
    for damage in ("", "step,loss\n1,0.33", None):  # by a person, or a full disk
        if damage is None:
            path.unlink()
        else:
            path.write_text(damage)
        Log(path, known)
        assert path.read_text() == "step,loss\n1,0.333333\n2,0.666667\n"
    Log(path, known).add({"step": 3, "loss": 0.5})
    assert path.read_text() == "step,loss\n1,0.333333\n2,0.666667\n3,0.5\n"
    Log(path).add({"step": 1, "loss": 0.25})
    assert path.read_text() == "step,loss\n1,0.25\n"


def test_what_a_module_is_before_training():
    def net(mean=(0, 0, 0), dropout=0.1, fc6=8):
        return MiniNet(
            (4,) * 5, fc6, 8, 2, 8, batch_norm=True, dropout=dropout, mean=mean, std=(1, 1, 1)
        )

    plain = structure(net())
    for same in (net(), net((0.0, 0.0, 0.0))):
        assert structure(same) == plain
    used = net()
    used(torch.rand(4, 3, 8, 8))  # the running means of batch norm are learnt
    assert structure(used) == plain
    for other in (net((0.1, 0, 0)), net(dropout=0.2), net(fc6=9)):
        assert structure(other) != plain

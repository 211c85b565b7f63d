"""Training of the classifier: it learns, it resumes, it exports what it measured."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from toys import two_classes
from typed import typed

from invset.commands.train_network import class_names
from invset.errors import InvsetError
from invset.nets.mini import MiniNet, fold_batch_norm
from invset.training import classification as network
from invset.training.classification import (
    NetworkSettings,
    accuracy,
    predict,
    train_network,
    warm_ema,
)

TINY = {"epochs": 4, "batch_size": 16, "lr": 0.05, "crop": 1, "cutout": 2, "ema": 0.9}


def tiny_net(seed=0):
    torch.manual_seed(seed)
    return MiniNet((4, 4, 4, 4, 4), fc6=8, fc7=8, n_out=2, size=8, batch_norm=True, dropout=0.0)


def trained(out, weights=0, **changed):
    return train_network(
        tiny_net(weights),
        two_classes(),
        two_classes(seed=1),
        NetworkSettings(**{**TINY, **changed}),
        out,
    )


def rows(out):
    with (out / "log.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize("autocast", ["bf16", "off"])
def test_learns_and_logs(tmp_path, autocast):
    net = trained(tmp_path / "new" / "folder", autocast=autocast, epochs=8)
    log = rows(tmp_path / "new" / "folder")
    assert [row["epoch"] for row in log] == [str(i) for i in range(1, 9)]
    assert float(log[-1]["train_loss"]) < 0.5 * float(log[0]["train_loss"])
    assert accuracy(net, two_classes(seed=1)) == float(log[-1]["val_accuracy"]) > 0.9
    assert not net.training


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_resumed_is_uninterrupted(tmp_path, monkeypatch, when):
    whole = trained(tmp_path / "whole").state_dict()
    save = network.save_checkpoint

    def interrupted(path, state, around):
        if when == "after" or state["epoch"] < 3:
            save(path, state, around)
        if state["epoch"] == 3:
            raise Interrupted

    (tmp_path / "halves").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(network, "save_checkpoint", interrupted)
        with pytest.raises(Interrupted):
            trained(tmp_path / "halves")
    resumed = trained(
        tmp_path / "halves", weights=99
    ).state_dict()  # the new first weights do not matter
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)
    assert rows(tmp_path / "halves") == rows(tmp_path / "whole")
    again = trained(tmp_path / "halves").state_dict()  # nothing is left to do
    assert all(torch.equal(whole[k], again[k]) for k in whole)


def test_the_seed_decides(tmp_path):
    first, again, other = (
        trained(tmp_path / str(i), epochs=1, seed=s).state_dict() for i, s in enumerate((0, 0, 1))
    )
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not all(torch.equal(first[k], other[k]) for k in first)


@pytest.mark.parametrize("batch_size", [64, 32, 21, 16, 13])
def test_runs_of_a_few_steps(tmp_path, batch_size):
    trained(tmp_path, epochs=1, batch_size=batch_size)
    assert len(rows(tmp_path)) == 1


def test_other_settings_need_another_folder(tmp_path):
    trained(tmp_path, epochs=1)
    with pytest.raises(InvsetError, match=r"lr was .* and is .*another out="):
        trained(tmp_path, epochs=1, lr=0.1)


def test_folding_keeps_the_logits(tmp_path):
    net, images = trained(tmp_path), two_classes(seed=2).images
    torch.testing.assert_close(
        predict(fold_batch_norm(net), images), predict(net, images), rtol=1e-4, atol=1e-4
    )


def test_fewer_pictures_than_a_batch(tmp_path):
    with pytest.raises(InvsetError, match="batch_size=65 is more than the 64 training pictures"):
        trained(tmp_path, batch_size=65)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2"),
        ({"lr": 0.0}, "lr must be a number above 0"),
        ({"lr": float("nan")}, "lr must be a number above 0"),
        ({"ema": 1.0}, "ema must be a number of at least 0 and below 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be"),
        ({"crop": -1}, "crop must be a whole number of at least 0"),
        ({"zoom": 0.0}, "zoom must be a number above 0"),
        ({"zoom": 1.5}, "zoom must be a number above 0 and at most 1, not 1.5"),
        ({"autocast": "fp16"}, "autocast must be bf16 or off, not 'fp16'"),
        ({"autocast": False}, "autocast must be bf16 or off"),
    ],
)
def test_settings_that_make_no_sense(changed, told):
    with pytest.raises(InvsetError, match=told):
        NetworkSettings(**changed)


def test_the_average_begins_as_a_short_mean():
    average, zero, one = warm_ema(0.99), torch.zeros(()), torch.ones(())
    # weight of the new value: max(1 - 0.99, 1 / (1 + 0.1 count))
    assert float(average(zero, one, 0)) == 1
    assert float(average(zero, one, 10)) == pytest.approx(1 / 2)
    assert float(average(zero, one, torch.tensor(10**6))) == pytest.approx(0.01)
    counter = torch.tensor(7)
    assert int(average(torch.tensor(3), counter, 5)) == 7


def test_a_first_convolution_with_a_stride():
    net = MiniNet((4, 4, 4, 4, 4), fc6=8, fc7=8, n_out=3, size=32, first=(7, 2))
    assert net.conv1.kernel_size == (7, 7)
    assert net.conv1(torch.zeros(1, 3, 32, 32)).shape == (1, 4, 16, 16)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    with pytest.raises(InvsetError, match="multiple of 16, not 24"):
        MiniNet(size=24, first=(7, 2))
    with pytest.raises(InvsetError, match="odd kernel side"):
        MiniNet(first=(4, 1))


def test_names_of_classes(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text(
        "n2\tgreat white shark, Carcharodon\nn1\tgoldfish\nn3\tnot asked for\n", encoding="utf-8"
    )
    assert class_names(str(file), ["n1", "n2"]) == ["goldfish", "great white shark, Carcharodon"]
    assert class_names(None, ["n1", "n2"]) == ["n1", "n2"]
    with pytest.raises(InvsetError, match=r'no line "n4<tab>names", and 1 more'):
        class_names(str(file), ["n1", "n4", "n5"])
    with pytest.raises(InvsetError, match=r"can't read data\.names="):
        class_names(str(tmp_path / "nowhere"), ["n1"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_trains_on_cuda(tmp_path):
    settings = NetworkSettings(**{**TINY, "epochs": 8})
    net = train_network(
        tiny_net(), two_classes(), two_classes(seed=1), settings, tmp_path, device="cuda"
    )
    assert next(net.parameters()).is_cuda
    assert accuracy(net, two_classes(seed=1)) == float(rows(tmp_path)[-1]["val_accuracy"]) > 0.9


def pictures(folder, classes, count=20, size=8):
    rng = torch.Generator().manual_seed(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            data = torch.randint(0, 256, (size, size, 3), generator=rng, dtype=torch.uint8)
            Image.fromarray(data.numpy()).save(folder / name / f"{i}.png")


SMALL = ["model.widths=[4,4,4,4,4]", "model.fc6=8", "model.fc7=8", "data.size=8"]
SMALL += ["settings.epochs=1", "settings.batch_size=20", "settings.crop=1", "settings.cutout=2"]


def train(monkeypatch, folder, *words):
    data = [f"data.train={folder}/train", f"data.val={folder}/val", f"out={folder}/out"]
    return typed(monkeypatch, "train", "network", *SMALL, *data, *words)


@pytest.mark.parametrize(
    ("train_classes", "val_classes", "message"),
    [
        ("bc", "abc", "data.val has the class a, which the other set has not (1 such)"),
        ("abc", "bc", "data.train has the class a, which the other set has not (1 such)"),
        ("b", "b", "data.train has one class, so that a network could learn nothing"),
    ],
)
def test_classes_are_the_same_in_both_sets(
    tmp_path, monkeypatch, capsys, train_classes, val_classes, message
):
    pictures(tmp_path / "train", train_classes, 2)
    pictures(tmp_path / "val", val_classes, 2)
    assert train(monkeypatch, tmp_path) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "network.safetensors").exists()


def test_a_loss_that_is_not_finite_ends_a_training(tmp_path, monkeypatch):
    trained(tmp_path / "good", epochs=2)
    whole = (tmp_path / "good" / "checkpoint.pt").read_bytes()
    original = network.NetworkTraining.train_epoch

    def breaks(training, train):
        loss = original(training, train)
        return loss if training.epoch < 2 else float("nan")

    with monkeypatch.context() as patch:
        patch.setattr(network.NetworkTraining, "train_epoch", breaks)
        with pytest.raises(
            InvsetError, match="train_loss is not finite in epoch 2"
        ):
            trained(tmp_path / "bad", epochs=2)
    assert [row["epoch"] for row in rows(tmp_path / "bad")] == ["1"]
    trained(tmp_path / "bad", epochs=2)  # the checkpoint of the epoch before goes on
    assert rows(tmp_path / "bad") == rows(tmp_path / "good")
    assert len((tmp_path / "bad" / "checkpoint.pt").read_bytes()) == len(whole)
    with pytest.raises(InvsetError, match="is not finite in epoch 1"):
        trained(tmp_path / "huge", lr=1e30)


def test_whole_numbers_stay_means(tmp_path, monkeypatch, capsys):
    for part in ("train", "val"):
        pictures(tmp_path / part, "bc", 10 if part == "train" else 2)
    whole = ["model.mean=[0,0,1]", "model.std=[1,1,2]"]
    assert train(monkeypatch, tmp_path, *whole) == 0
    with safe_open(tmp_path / "out" / "network.safetensors", "pt") as file:
        mean = file.get_tensor("normalize.mean")
        assert mean.is_floating_point()
        assert mean.flatten().tolist() == json.loads(file.metadata()["mini"])["mean"] == [0, 0, 1]
    # a training that has finished is not passed off as another one
    before = (tmp_path / "out" / "config.yaml").read_text()
    for word, told in (
        ("model.dropout=0.4", "model was"),
        ("model.mean=[0,0,0]", "model was"),
        (f"data.val={tmp_path}/train", "val's labels was"),
    ):
        capsys.readouterr()
        assert train(monkeypatch, tmp_path, *whole, word) == 2
        assert told in capsys.readouterr().err
    assert (tmp_path / "out" / "config.yaml").read_text() == before
    assert train(monkeypatch, tmp_path, "model.std=[1,1,0]") == 2
    assert "model.std is three numbers above 0, one a channel" in capsys.readouterr().err

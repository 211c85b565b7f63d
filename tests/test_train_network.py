"""Training of the classifier: it learns, it resumes, it exports what it measured."""

from __future__ import annotations

import csv
import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import OmegaConf
from PIL import Image
from safetensors import safe_open
from torch import nn
from toys import two_classes
from typed import typed

from invset.commands.train_network import class_names, main
from invset.config.compose import compose
from invset.errors import InvsetError
from invset.nets.embedded import mini_network
from invset.nets.mini import MiniNet, fold_batch_norm
from invset.training import classification as network
from invset.training.average import WarmAverage
from invset.training.checkpoint import NotFinite
from invset.training.classification import (
    NetworkSettings,
    accuracy,
    predict,
    train_network,
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


def test_dropout_draws_the_same_after_an_interruption(tmp_path, monkeypatch):
    def run(out):
        torch.manual_seed(0)
        net = MiniNet((4,) * 5, fc6=8, fc7=8, n_out=2, size=8, batch_norm=True, dropout=0.5)
        settings = NetworkSettings(**{**TINY, "epochs": 2})
        return train_network(net, two_classes(), two_classes(seed=1), settings, out).state_dict()

    mine = torch.random.get_rng_state()
    torch.manual_seed(0)
    whole = run(tmp_path / "whole")
    save = network.save_checkpoint

    def interrupted(*held):
        save(*held)
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(network, "save_checkpoint", interrupted)
        with pytest.raises(Interrupted):
            run(tmp_path / "halves")
    torch.random.set_rng_state(mine)
    resumed = run(tmp_path / "halves")
    assert all(torch.equal(whole[k], resumed[k]) for k in whole)


def test_a_training_draws_nothing_from_anybody_elses_generator(tmp_path):
    net = tiny_net()
    before = torch.random.get_rng_state()
    settings = NetworkSettings(**{**TINY, "epochs": 1})
    train_network(net, two_classes(), two_classes(seed=1), settings, tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_loss_that_is_not_finite_ends_with_the_last_good_weights(tmp_path, monkeypatch):
    with pytest.raises(NotFinite, match="is not finite in epoch 1; nothing was learnt") as ended:
        trained(tmp_path / "at once", lr=1e30)
    assert ended.value.last is None
    assert not (tmp_path / "at once" / "log.csv").exists()

    train_epoch = network.NetworkTraining.train_epoch
    kept = {}

    def spoilt(training, *words):
        loss = train_epoch(training, *words)
        if training.epoch < 3:
            module = training.average.module
            kept.update({name: one.clone() for name, one in module.state_dict().items()})
            return loss
        with torch.no_grad():  # the loss is finite, but what was learnt is not
            training.average.module.fc8.weight[0, 0] = torch.inf
        return loss

    monkeypatch.setattr(network.NetworkTraining, "train_epoch", spoilt)
    with pytest.raises(NotFinite, match="a weight is not finite in epoch 3") as ended:
        trained(tmp_path / "later")
    last = ended.value.last
    assert not last.training
    assert [row["epoch"] for row in rows(tmp_path / "later")] == ["1", "2"]
    assert all(torch.equal(kept[name], one) for name, one in last.state_dict().items())


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


def sets(tmp_path, train, val, **changed):
    return train_network(tiny_net(), train, val, NetworkSettings(**{**TINY, **changed}), tmp_path)


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        (["red", "green"], "data.val has the class green, which the other set has not"),
        (["red", "blue", "green"], "data.val has the class green"),
        (["red"], "data.train has the class blue, which the other set has not"),
        (["blue", "red"], "the same classes in another order"),
    ],
)
def test_labels_mean_the_same_in_both_sets(tmp_path, classes, told):
    val = replace(two_classes(seed=1), classes=classes)
    with pytest.raises(InvsetError, match=told):
        sets(tmp_path, two_classes(), val)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_one_class_measures_nothing(tmp_path):
    one = replace(two_classes(), classes=["pictures"], labels=torch.zeros(64, dtype=torch.long))
    with pytest.raises(InvsetError, match="measure nothing; give a folder of folders"):
        sets(tmp_path, one, one)


def test_pictures_of_two_sizes(tmp_path):
    with pytest.raises(InvsetError, match="pictures of val are 16x16 pixels, not 8x8"):
        sets(tmp_path, two_classes(), two_classes(size=16))
    for key in ("crop", "cutout"):
        with pytest.raises(InvsetError, match=f"{key} must be less than the pictures' side of 8"):
            sets(tmp_path, two_classes(), two_classes(seed=1), **{key: 8})


@pytest.mark.parametrize("part", ["train", "val"])
def test_pictures_that_changed_between_two_starts(tmp_path, part):
    held = {"train": two_classes(), "val": two_classes(seed=1)}
    sets(tmp_path, **held, epochs=1)
    before = (tmp_path / "log.csv").read_bytes()
    held[part].images[5, 0, 0, 0] ^= 1
    with pytest.raises(InvsetError, match=f"{part}'s pictures was"):
        sets(tmp_path, **held, epochs=1)
    assert (tmp_path / "log.csv").read_bytes() == before


def test_fewer_pictures_than_a_batch(tmp_path):
    with pytest.raises(InvsetError, match="batch_size=65 is more than the 64 training pictures"):
        trained(tmp_path, batch_size=65)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, not 0"),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2"),
        ({"lr": 0.0}, "lr must be a number above 0"),
        ({"lr": float("inf")}, "lr must be a number above 0 and below inf"),
        ({"lr": "fast"}, "lr must be a number above 0"),
        ({"weight_decay": float("inf")}, "weight_decay must be a number of at least 0"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
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
    model = nn.BatchNorm1d(2)
    average = WarmAverage(model, 0.99)
    # weight of the new value: max(1 - 0.99, 1 / (1 + 0.1 count))
    for count, weight in ((0, 1), (10, 1 / 2), (10**6, 0.01)):
        with torch.no_grad():
            for one in average.module.state_dict().values():
                one.zero_()
            model.weight.fill_(1.0)
            model.running_mean.fill_(2.0)
            model.num_batches_tracked.fill_(7)
        average.n_averaged.fill_(count)
        average.update_parameters(model)
        assert average.module.weight.tolist() == pytest.approx([weight] * 2)
        assert average.module.running_mean.tolist() == pytest.approx([2 * weight] * 2)
        assert int(average.module.num_batches_tracked) == 7
        assert int(average.n_averaged) == count + 1


def test_a_first_convolution_with_a_stride():
    net = MiniNet((4, 4, 4, 4, 4), fc6=8, fc7=8, n_out=3, size=32, first=(7, 2))
    assert net.conv1.kernel_size == (7, 7)
    assert net.conv1(torch.zeros(1, 3, 32, 32)).shape == (1, 4, 16, 16)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 3)
    with pytest.raises(InvsetError, match="at least 16, not 15"):
        MiniNet(size=15, first=(7, 2))
    with pytest.raises(InvsetError, match="odd kernel side"):
        MiniNet(first=(4, 1))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("side", range(24, 36))
def test_grey_pictures_of_any_side(side, stride):
    small = {"widths": (2, 2, 2, 2, 2), "fc6": 4, "fc7": 4, "n_out": 3}
    net = MiniNet(**small, size=side, first=(5, stride), mean=[0.1], std=[0.3])
    x = torch.rand(2, 1, side, side)
    assert net(x).shape == (2, 3)
    torch.testing.assert_close(net.normalize(x), (x - 0.1) / 0.3)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"widths": (8, 8)}, "widths must be 5 whole numbers"),
        ({"widths": 8}, "widths must be 5 whole numbers"),
        ({"widths": (8, 8, 8, 8, 0)}, "widths must be 5 whole numbers"),
        ({"fc6": 1.5}, "fc6 and fc7 must be 2 whole numbers"),
        ({"first": 5}, "must be 2 whole numbers"),
        ({"first": (5, 0)}, "must be 2 whole numbers"),
        ({"size": 0}, "size must be a whole number of at least 8, not 0"),
        ({"dropout": 1}, "dropout must be a number of at least 0 and below 1"),
        ({"dropout": float("nan")}, "dropout must be a number"),
    ],
)
def test_models_that_make_no_sense(changed, told):
    with pytest.raises(InvsetError, match=told):
        MiniNet(**changed)


# The command


@pytest.fixture
def photographs(tmp_path):
    """Two classes of 12 pictures of noise."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        folder = tmp_path / "photographs" / name
        folder.mkdir(parents=True)
        for i in range(12):
            image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(image).save(folder / f"{i}.png")
    return tmp_path / "photographs"


@functools.cache
def composed():
    small = ["model.widths=[4,4,4,4,4]", "model.fc6=8", "model.fc7=8", "data.size=8"]
    few = ["settings.epochs=2", "settings.batch_size=8", "settings.crop=1", "settings.cutout=2"]
    data = ["data.train=", "data.val=", "out="]
    return compose("train_network", [*small, *few, *data])


def command(photographs, out, *words):
    data = [f"data.train={photographs}", f"data.val={photographs}", f"out={out}"]
    cfg = OmegaConf.merge(composed(), OmegaConf.from_dotlist([*data, *words]))
    OmegaConf.resolve(cfg)
    main(cfg)


def test_the_command_writes_the_last_good_weights(tmp_path, photographs, monkeypatch):
    train_epoch = network.NetworkTraining.train_epoch

    def spoilt(training, *words):
        loss = train_epoch(training, *words)
        return loss if training.epoch < 2 else float("nan")

    monkeypatch.setattr(network.NetworkTraining, "train_epoch", spoilt)
    with pytest.raises(InvsetError, match="train_loss is not finite in epoch 2"):
        command(photographs, tmp_path / "o")
    net = mini_network(str(tmp_path / "o" / "network.safetensors")).module
    assert all(one.isfinite().all() for one in net.state_dict().values())


def test_options_are_checked_before_pictures_are_read(tmp_path):
    for word in ("model.widths=[8]", "model.mean=0.5", "model.std=[0,1,1]", "settings.epochs=0"):
        with pytest.raises((InvsetError, InstantiationException)) as error:
            command(tmp_path / "nowhere", tmp_path / "o", word)
        assert "nowhere" not in str(error.value)


def test_names_of_classes(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text(
        "n2\tgreat white shark, Carcharodon\nn1\tgoldfish\nn3\tnot asked for\n", encoding="utf-8"
    )
    assert class_names(str(file), ["n1", "n2"]) == ["goldfish", "great white shark, Carcharodon"]
    assert class_names(None, ["n1", "n2"]) == ["n1", "n2"]
    assert class_names(OmegaConf.create(["one", "two"]), ["n1", "n2"]) == ["one", "two"]
    with pytest.raises(InvsetError, match=r"a list of 2 names, .* not \['one'\]"):
        class_names(OmegaConf.create(["one"]), ["n1", "n2"])
    with pytest.raises(InvsetError, match=r'no line "n4<tab>names", and 1 more'):
        class_names(str(file), ["n1", "n4", "n5"])
    with pytest.raises(InvsetError, match=r"can't read data\.names="):
        class_names(str(tmp_path / "nowhere"), ["n1"])


@pytest.mark.gpu
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
    original = network.NetworkTraining.train_epoch

    def breaks(training, *words):
        loss = original(training, *words)
        return loss if training.epoch < 2 else float("nan")

    with monkeypatch.context() as patch:
        patch.setattr(network.NetworkTraining, "train_epoch", breaks)
        with pytest.raises(InvsetError, match="train_loss is not finite in epoch 2"):
            trained(tmp_path / "bad", epochs=2)
    assert [row["epoch"] for row in rows(tmp_path / "bad")] == ["1"]
    trained(tmp_path / "bad", epochs=2)  # the checkpoint of the epoch before goes on
    assert rows(tmp_path / "bad") == rows(tmp_path / "good")


@pytest.mark.parametrize("command", ["network", "generator"])
@pytest.mark.parametrize("word", ["model=wide", "settings=5", "model=${oc.env:HOME}"])
def test_a_word_for_several_options_is_a_sentence(command, word, tmp_path, monkeypatch, capsys):
    words = [f"data.{part}={tmp_path}" for part in ("train", "val")]
    assert typed(monkeypatch, "train", command, *words, f"out={tmp_path / 'out'}", word) == 2
    key = word.partition("=")[0]
    assert f"{key} has several options, which {key}=" in capsys.readouterr().err


def test_whole_numbers_stay_means(tmp_path, monkeypatch, capsys):
    for part in ("train", "val"):
        pictures(tmp_path / part, "bc", 10 if part == "train" else 2)
    whole = ["model.mean=[0,0,1]", "model.std=[1,1,2]"]
    assert train(monkeypatch, tmp_path, *whole) == 0
    out = tmp_path / "out"
    with safe_open(out / "network.safetensors", "pt") as file:
        mean = file.get_tensor("normalize.mean")
        assert mean.is_floating_point()
        assert mean.flatten().tolist() == json.loads(file.metadata()["mini"])["mean"] == [0, 0, 1]
    module = mini_network(str(out / "network.safetensors")).module
    assert torch.equal(module.get_submodule("normalize").mean, mean)
    # a training that has finished is not passed off as another one
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    for word, told in (
        ("model.dropout=0.4", "model was"),
        ("model.mean=[0,0,0]", "model was"),
        ("settings.lr=0.1", "lr was"),
        ("seed=1", "seed was"),
        (f"data.val={tmp_path}/train", "val's labels was"),
        ("model.std=[1,1,0]", "model.std is three numbers above 0, one a channel"),
    ):
        held = [f"data.train={tmp_path}/train", f"data.val={tmp_path}/val"]
        with pytest.raises(InvsetError, match=told):
            command(tmp_path, out, *SMALL, *held, *whole, word)
    assert before == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}

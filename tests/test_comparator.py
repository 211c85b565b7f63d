"""Feature losses in another network: by hand, balanced, resumed, chosen on the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_train_generator import (
    Interrupted,
    command,
    rows,
    same,
    strange,
    training,
)
from test_train_generator import photographs as photographs  # a fixture
from torch import nn
from toys import seeded, two_classes

from invset.config.compose import compose
from invset.errors import InvsetError
from invset.nets.network import Network
from invset.training import comparator as module
from invset.training import inversion_run
from invset.training.comparator import Comparator, enlarged
from invset.training.inversion import GeneratorTraining
from invset.training.inversion_run import train_generator


def other(seed=3, size=8):
    """A network that knows nothing of the one whose codes are inverted."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (size - 2) ** 2, 5)]
    return Network(nn.Sequential(*layers), image_size=size)


def noise(count, seed, size=8):
    return torch.rand(count, 3, size, size, generator=seeded(seed))


@pytest.fixture
def still(monkeypatch):
    """Whole pictures, not enlarged."""
    monkeypatch.setattr(module, "LOOSE", 0)


# Layers


def test_layers_are_spread_over_the_outermost_parts():
    def block():
        return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())

    deep = nn.Sequential(
        nn.Sequential(*[block() for _ in range(4)]), nn.Flatten(), nn.Linear(192, 2)
    )
    network = Network(deep, image_size=8)
    assert network.traced.evenly(1) == ["0"]
    assert network.traced.evenly(2) == ["0.1", "0.3"]
    assert network.traced.evenly(4) == ["0.0", "0.1", "0.2", "0.3"]
    assert network.traced.evenly(8) == [f"0.{i}.{j}" for i in range(4) for j in range(2)]
    assert network.traced.evenly(99) == network.traced.evenly(8)  # no more are there
    assert (
        Network(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), image_size=8).traced.evenly(3) == []
    )


def test_layers_follow_the_order_of_execution():
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.last(self.first(x))

    assert Network(Turned(), image_size=8).traced.evenly(2) == ["first", "last"]


def test_by_itself_it_takes_maps_the_encoder_and_the_output():
    assert Comparator(other()).layers == ["0", "1", "3.input", "3"]
    assert Comparator(strange()).layers == ["stem", "bend", "map", "head.input", "head"]
    assert Comparator(other(), ["1", "0", "1"]).layers == ["1", "0"]
    with pytest.raises(InvsetError, match="has no layer 'conv9'"):
        Comparator(other(), ["conv9"])


# Losses


def test_losses_by_hand(still):
    compared = Comparator(other(), ["0", "3"])
    real = noise(40, 1)
    compared.measure(real, seeded())
    picture, x = noise(3, 2), noise(3, 3)
    conv, linear = compared.network.module[0], compared.network.module[3]

    def layers(images):
        maps = conv(images).detach()
        units = linear(maps.relu().flatten(1)).detach()
        return maps.permute(0, 2, 3, 1).reshape(len(images), -1, 4).numpy(), units.numpy()

    found = compared.losses(picture, x, seeded()).detach()
    for many, a, b, loss in zip(layers(real), layers(picture), layers(x), found, strict=True):
        spread = many.reshape(-1, many.shape[-1]).std(0, ddof=1)
        assert (spread > 0.1 * np.sqrt((spread**2).mean())).all()  # no floor plays a part
        assert float(loss) == pytest.approx((((a - b) / spread) ** 2).mean() / 2, rel=1e-4)


def test_unrelated_photographs_have_a_loss_of_one(still):
    compared = Comparator(other(), ["0", "3"])
    compared.measure(noise(500, 1), seeded())
    losses = compared.losses(noise(500, 2), noise(500, 3), seeded())
    torch.testing.assert_close(losses, torch.ones(2), rtol=0, atol=0.1)
    assert (compared.losses(noise(5, 2), noise(5, 2), seeded()) == 0).all()


def test_a_layer_that_never_changes_is_refused(still):
    network = other()
    with torch.no_grad():
        network.module[0].weight.zero_()
    with pytest.raises(InvsetError, match="layer 0 of network is the same for every picture"):
        Comparator(network).measure(noise(8, 1), seeded())


def test_balanced_layers_pull_alike():
    compared = Comparator(other())
    compared.measure(noise(40, 1), seeded())
    picture, x = noise(4, 2), noise(4, 3)
    compared.balance(picture, x, seeded(5))
    y = picture.requires_grad_()
    weighted = compared.weights * compared.losses(y, x, seeded(5))
    pulls = torch.stack([torch.autograd.grad(w, y, retain_graph=True)[0].norm() for w in weighted])
    torch.testing.assert_close(pulls, pulls.mean().expand(4), rtol=1e-3, atol=0)
    assert float(compared.weights.sum()) == pytest.approx(1)
    torch.testing.assert_close(compared(y, x, seeded(5)), weighted.sum())
    first, old = compared.weights.clone(), torch.tensor([0.1, 0.2, 0.3, 0.4])
    compared.weights.copy_(old)
    compared.balance(picture, x, seeded(5))
    mean = (first * old).sqrt()
    torch.testing.assert_close(compared.weights, mean / mean.sum(), rtol=1e-3, atol=0)


def test_parts_are_enlarged_and_the_same_for_both():
    ramp = torch.linspace(0, 1, 16).expand(1, 3, 16, 16)
    slopes = set()
    for seed in range(40):
        part = enlarged(ramp, (32, 24), seeded(seed))
        assert part.shape == (1, 3, 32, 24)
        slopes.add(round(float(part[0, 0, 9, 12] - part[0, 0, 9, 11]) * 15, 3))
        again = enlarged(ramp, (32, 24), seeded(seed))
        assert torch.equal(part, again)
    # 16 pixels become 24 to 30: a step of 16/24 to 16/30 of a pixel's
    assert len(slopes) == 7
    assert max(slopes) == pytest.approx(16 / 24, abs=2e-3)
    assert min(slopes) == pytest.approx(16 / 30, abs=2e-3)


# Training


def compared(**changed):
    options = {"network": strange(), "encoder": "map", "code_dim": 12, "autocast": "off", **changed}
    run = training(**options)
    parts = (run.network, run.encoder, run.generator, run.discriminator, run.settings)
    return GeneratorTraining(*parts, Comparator(other()))


def test_features_are_the_comparators_at_their_share():
    told = []
    for share in (0, 0.5):
        run = compared(features=share, prior_share=0, adversarial=0)
        run.comparator.measure(two_classes(64).images / 255, run.rng)
        run.balance(two_classes(8).images)
        run.generator.register_forward_hook(
            lambda _module, _inputs, output: output.register_hook(told.append) and None
        )
        losses = run.train_step(two_classes(8).images)
        assert 0 < losses["features"].item() < 10
    image, both = told
    assert float((both - image).norm() / image.norm()) == pytest.approx(0.5, rel=1e-3)


def test_the_comparators_loss_falls_and_its_weights_are_resumed(tmp_path, monkeypatch):
    long = {"steps": 60, "report_every": 20, "features": 3, "adversarial": 0, "batch_size": 16}

    def train(out):
        return train_generator(compared(**long), two_classes(), two_classes(seed=1), out)

    whole = train(tmp_path / "whole")
    log = rows(tmp_path / "whole")
    assert log[-1]["features"] < 0.8 * log[0]["features"]
    save = inversion_run.save_checkpoint

    def interrupted(path, state, around):
        save(path, state, around)
        if state["step"] == 40:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(inversion_run, "save_checkpoint", interrupted)
        with pytest.raises(Interrupted):
            train(tmp_path / "halves")
    assert same(whole, train(tmp_path / "halves"))
    assert rows(tmp_path / "halves") == log
    alone = training(strange(), "map", 12, autocast="off", **long)
    with pytest.raises(
        InvsetError,
        match=r"comparator was .*, comparator_layers was .* and is not there; .*another out=",
    ):
        train_generator(alone, two_classes(), two_classes(seed=1), tmp_path / "halves")


def test_the_layers_of_the_network_itself_are_not_asked():
    assert compared(decision=0).layers == ["map"]
    assert compared(decision=0.5).layers == ["map", "head"]
    assert training(strange(), "map", 12, layers=["stem"]).layers == ["stem", "map"]


# The command


def test_the_command_takes_a_comparator(tmp_path, photographs):
    words = ["network=mini", f"data.train={photographs}", f"data.val={photographs}"]
    tiny = ["model.hidden=[8]", "model.start=6", "model.widths=[[6,6],[6,4],[4,4]]"]
    few = ["settings.steps=1", "settings.batch_size=4", "settings.adversarial=0"]
    asked = ["comparator=mini64", "comparator_layers=[conv1,fc8]", f"out={tmp_path}/out"]
    command(*words, *tiny, *few, "discriminator=[4,4,4]", *asked)
    assert rows(tmp_path / "out")[0]["features"] > 0
    assert (tmp_path / "out" / "generator.safetensors").is_file()


def test_a_comparator_is_an_option_of_networks():
    cfg = compose("train_generator", ["comparator=torchvision", "comparator.image_size=96"])
    assert cfg.comparator._target_ == "invset.nets.torchvision.torchvision_network"
    assert cfg.comparator.image_size == 96
    for words in ([], ["comparator=null"]):
        assert compose("train_generator", words).comparator is None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["comparator_layers=[a]"], "there is none; type comparator="),
        (["comparator="], "such as comparator=mini64, not ''"),
        (["+comparator=mini64"], "such as comparator=mini64, not 'mini64'"),
        (["comparator=mini64", "comparator_layers=[conv9]"], "mini64 has no layer 'conv9'"),
    ],
)
def test_what_is_no_comparator_is_refused(tmp_path, words, told):
    with pytest.raises(InvsetError, match=told):
        command("network=mini", "data.train=x", "data.val=x", f"out={tmp_path}", *words)

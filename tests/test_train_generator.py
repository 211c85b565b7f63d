"""Training of the generator: its losses by hand, it learns, it resumes, it takes any network and
layer.
"""

from __future__ import annotations

import csv
import functools

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from scipy.special import rel_entr, softmax
from torch import nn
from toys import seeded, two_classes

from invset.commands.train_generator import main
from invset.config.commands import OPTIONS
from invset.config.compose import compose
from invset.config.validate import check_own
from invset.errors import InvsetError
from invset.nets.embedded import upconv_generator
from invset.nets.mini import LAYER_ALIASES, MiniNet
from invset.nets.network import Network
from invset.nets.upconv import UpConv
from invset.training import inversion_run
from invset.training.checkpoint import NotFinite
from invset.training.discriminator import Discriminator, hinge
from invset.training.generator_settings import GeneratorSettings
from invset.training.inversion import GeneratorTraining
from invset.training.inversion_run import train_generator
from invset.training.losses import gaussian_codes, relative_error

TINY = {
    "steps": 5,
    "batch_size": 8,
    "lr": 5e-3,
    "warmup": 2,
    "report_every": 2,
    "ema": 0.8,
    "layers": ("conv2", "fc6"),
}


def mini(seed=0):
    torch.manual_seed(seed)
    return Network(
        MiniNet((4, 4, 4, 4, 4), fc6=8, fc7=8, size=8),
        image_size=8,
        aliases=LAYER_ALIASES,
        output="fc8",
        encoder="fc6",
    )


def strange():
    """No names in common with CaffeNet, codes of either sign, a layer with a map instead of
    units.
    """
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(3, 6, 3, padding=1))
    net.add_module("bend", nn.Tanh())
    net.add_module("map", nn.Conv2d(6, 3, 4, stride=4))
    net.add_module("flat", nn.Flatten())
    net.add_module("head", nn.Linear(12, 5))
    return Network(net, image_size=8)


def training(network=None, encoder="fc6", code_dim=8, seed=0, **changed):
    torch.manual_seed(seed)
    maker = UpConv(code_dim, 8, (12,), 6, ((6, 6),)).initialize(seeded(seed))
    settings = GeneratorSettings(**{**TINY, **changed})
    return GeneratorTraining(
        network or mini(), encoder, maker, Discriminator(code_dim, (6,)), settings
    )


def trained(out, **options):
    return train_generator(training(**options), two_classes(), two_classes(seed=1), out)


def rows(out):
    with (out / "log.csv").open() as file:
        return [
            {k: float(v) for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
        ]


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return all(torch.equal(first[k], second[k]) for k in first)


# Losses


def test_drawn_codes_have_the_mean_and_covariance_of_the_batch():
    codes = (
        torch.randn(12, 4, generator=seeded(1), dtype=torch.float64)
        @ torch.randn(4, 4, generator=seeded(2), dtype=torch.float64)
        + 3
    )
    drawn = gaussian_codes(codes, 200_000, seeded())
    spread = codes.std(0)
    assert ((drawn.mean(0) - codes.mean(0)).abs() < 5 * spread / 200_000**0.5).all()
    difference = (drawn.T.cov() - codes.T.cov()).abs() / (spread.unsqueeze(1) * spread)
    assert (difference < 5 * (2 / 200_000) ** 0.5).all()
    assert gaussian_codes(codes, 0, seeded()).shape == (0, 4)


def test_relative_error_by_hand():
    # errors 1 and 2: mean square 2.5; target's mean square (4 + 16) / 2 = 10
    assert float(relative_error(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0]))) == 0.25
    assert float(relative_error(torch.zeros(3), torch.ones(3))) == 1
    assert float(relative_error(torch.zeros(3), torch.zeros(3))) == 0


def test_hinge_by_hand():
    # real: (0 + 0.5) / 2; drawn: (2 + 0) / 2
    assert float(hinge(torch.tensor([2.0, 0.5]), torch.tensor([1.0, -3.0]))) == 1.25


def picture_gradient(**changed):
    """What the generator is told at its pictures in its first step: 8 of real codes, then 2 of
    drawn ones.
    """
    told = []
    run = training(autocast="off", **changed)
    run.generator.register_forward_hook(
        lambda _module, _inputs, output: output.register_hook(told.append) and None
    )
    run.train_step(two_classes(8).images)
    return told[0]


def test_features_get_their_share_of_the_image_gradient():
    image = picture_gradient(features=0)
    assert (image[8:] == 0).all()  # there is no picture to compare with
    for share in (1, 0.25):
        features = picture_gradient(features=share) - image
        assert float(features[:8].norm() / image.norm()) == pytest.approx(share, rel=1e-3)
        assert features[8:].norm() > 0


def test_the_critic_has_its_weight_after_the_warmup():
    faithful = picture_gradient(adversarial=0)
    assert torch.equal(picture_gradient(adversarial=9, warmup=1), faithful)
    once, twice = (picture_gradient(adversarial=a, warmup=0) - faithful for a in (1, 2))
    assert (once.flatten(1).norm(dim=1) > 0).all()
    torch.testing.assert_close(twice, 2 * once, rtol=1e-3, atol=1e-5)


def test_without_an_adversarial_loss_there_is_no_discriminator(tmp_path):
    run = training(adversarial=0)
    run.discriminator.register_forward_hook(lambda *_: pytest.fail("it was computed for nothing"))
    train_generator(run, two_classes(), two_classes(seed=1), tmp_path)
    assert "discriminator" not in rows(tmp_path)[0]


@pytest.mark.parametrize("relu", [True, False])
def test_cycle_asks_of_a_code_what_the_encoder_can_give(relu):
    class Shifted(nn.Module):
        def forward(self, x):
            return x.flatten(1) - 0.5

    module = nn.Sequential(Shifted(), nn.ReLU() if relu else nn.Identity(), nn.Linear(192, 2))
    run = training(Network(module, encoder="1"), "1", 192, layers=["0"])
    x = torch.rand(3, 3, 8, 8, generator=seeded(1))
    picture = torch.rand(5, 3, 8, 8, generator=seeded(2))
    drawn = picture[3:].flatten(1) - 0.5  # what encodes to them, negative entries too
    real = run.network.taps(x, ["0", "1"])
    losses = run._losses(picture, x, real, torch.cat([real["1"], drawn]))
    assert float(losses["cycle"]) == 0
    assert float(losses["image"]) == pytest.approx(
        float((picture[:3] - x).square().mean() / x.var()), rel=1e-5
    )
    ratio = (picture[:3] - x).square().sum() / (x - 0.5).square().sum()
    assert float(losses["features"]) == pytest.approx(float(ratio), rel=1e-5)


@pytest.mark.parametrize("weight", [0, 0.5])
def test_decision_is_the_divergence_of_the_classes(weight):
    run = training(decision=weight, layers=["conv2"], autocast="off")
    x, picture = (
        300 * torch.rand(n, 3, 8, 8, generator=seeded(n)) for n in (3, 5)
    )  # so large that its classes differ
    real = run.network.taps(x, run.layers)
    decision = float(run._losses(picture, x, real, torch.rand(5, 8))["decision"])
    p, q = (
        softmax(run.network.taps(v, ["fc8"])["fc8"].double().numpy(), axis=1)
        for v in (x, picture[:3])
    )
    assert decision == pytest.approx(rel_entr(p, q).sum() / 3 if weight else 0, rel=1e-4)
    assert weight == 0 or decision > 1e-3


def test_the_decision_has_the_features_share():
    sure = mini()
    with torch.no_grad():
        sure.module.get_submodule("fc8").weight.mul_(
            1e3
        )  # a tiny random network gives every picture the same class
    image, both = (
        picture_gradient(network=sure, features=f, decision=1e9, prior_share=0) for f in (0, 0.5)
    )
    assert float((both - image).norm() / image.norm()) == pytest.approx(0.5, rel=1e-3)
    layers = picture_gradient(network=sure, features=0.5, prior_share=0)
    assert (both - layers).norm() > 0.1 * image.norm()
    nothing = picture_gradient(network=sure, features=0.5, decision=1e-9, prior_share=0)
    torch.testing.assert_close(nothing, layers, rtol=1e-3, atol=1e-6)


def test_zoomed_pictures_are_parts_of_pictures():
    ramp = torch.linspace(0, 255, 16).round().to(torch.uint8).expand(64, 3, 16, 16)
    whole, parts = (training(zoom=zoom).augmented(ramp) for zoom in (1, 0.25))
    slopes = (parts[..., -1] - parts[..., 0]) / (whole[0, 0, 0, -1] - whole[0, 0, 0, 0]).abs()
    assert slopes.abs().max() <= 1
    assert slopes.abs().min() > 0.25 / (
        4 / 3
    )  # a quarter of the area, 3 : 4, is never narrower than 0.43 sides
    assert slopes.abs().mean() < 0.85
    assert 0.25 < (slopes > 0).float().mean() < 0.75


def test_jittered_pictures_have_other_colours():
    red = torch.tensor([200, 30, 30], dtype=torch.uint8).view(1, 3, 1, 1).expand(64, 3, 16, 16)
    same, other = (training(jitter=amount).augmented(red) for amount in (0, 0.3))
    torch.testing.assert_close(same, red / 255)
    assert (other - same).flatten(1).abs().amax(1).min() > 0.01
    assert (other[:, 0] > other[:, 1:].amax(1)).all()


def test_discriminator_scores_with_and_without_codes():
    torch.manual_seed(0)
    critic, images, codes = (
        Discriminator(5, (4, 6)),
        torch.rand(3, 3, 16, 16, generator=seeded()),
        torch.randn(3, 5, generator=seeded()),
    )
    critic.eval()
    alone, nothing = critic(images)
    assert nothing is None
    again, both = critic(images, codes)
    assert alone.shape == both.shape == (3,)
    assert torch.equal(alone, again)
    torch.testing.assert_close(critic(images, torch.zeros(3, 5))[1], alone)


# Runs


def test_reconstructions_get_better(tmp_path):
    options = {"network": strange(), "encoder": "map", "code_dim": 12, "layers": ["bend"]}
    maker = trained(
        tmp_path, steps=120, report_every=20, batch_size=16, warmup=60, autocast="off", **options
    )
    log = rows(tmp_path)
    assert log[-1]["image"] < 0.5 * log[0]["image"]
    assert log[-1]["features"] < 0.8 * log[0]["features"]
    assert log[-1]["val_rmse"] < 0.8 * log[0]["val_rmse"]
    assert all(np.isfinite(list(row.values())).all() for row in log)
    assert not maker.training
    data = two_classes(seed=2)
    with torch.no_grad():
        pictures = maker(options["network"].taps(data.images / 255, ["map"])["map"].flatten(1))
    redder = pictures[:, 0].mean((1, 2)) > pictures[:, 2].mean((1, 2))
    assert torch.equal(redder, data.labels == 0)


def test_writes_the_log_and_the_pictures(tmp_path):
    maker = trained(tmp_path / "new" / "folder")
    out = tmp_path / "new" / "folder"
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.pt", "log.csv", "pictures"]
    assert [(row["step"], row["images"]) for row in rows(out)] == [(2, 16), (4, 32), (5, 40)]
    assert sorted(p.name for p in (out / "pictures").iterdir()) == [
        "000002.png",
        "000004.png",
        "000005.png",
    ]
    with Image.open(out / "pictures" / "000005.png") as grid:
        assert grid.size == (20 * 10 + 2, 3 * 10 + 2)  # 8 pixels and a margin of 2
    codes = mini().taps(two_classes().images / 255, ["fc6"])["fc6"]
    assert float(maker.code_scale) == pytest.approx(float(codes.square().mean().sqrt()), rel=1e-4)


def test_the_log_has_means_of_losses_in_bfloat16(tmp_path, monkeypatch):
    critic = torch.tensor(-2.0, dtype=torch.bfloat16)  # a sum of its type stays at -512

    def step(run, images):
        run.step += 1
        return {"critic": critic}

    monkeypatch.setattr(GeneratorTraining, "train_step", step)
    trained(tmp_path, steps=400, report_every=400)
    assert rows(tmp_path)[0]["critic"] == -2


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_resumed_is_uninterrupted(tmp_path, monkeypatch, when):
    whole = trained(tmp_path / "whole")
    save = inversion_run.save_checkpoint

    def interrupted(path, state, around):
        if when == "after" or state["step"] < 4:
            save(path, state, around)
        if state["step"] == 4:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(inversion_run, "save_checkpoint", interrupted)
        with pytest.raises(Interrupted):
            trained(tmp_path / "halves")
    assert same(whole, trained(tmp_path / "halves", seed=99))  # the new first weights do not matter
    assert rows(tmp_path / "halves") == rows(tmp_path / "whole")
    assert same(whole, trained(tmp_path / "halves"))  # nothing is left to do


def test_other_settings_need_another_folder(tmp_path):
    trained(tmp_path, steps=2)
    with pytest.raises(InvsetError, match=r"layers was .* and is .*another out="):
        trained(tmp_path, steps=2, layers=["conv3"])
    with pytest.raises(InvsetError, match=r"network was .* and is .*another out="):
        trained(tmp_path, steps=2, network=mini(seed=1))
    with pytest.raises(InvsetError, match=r"pictures was .* and is .*another out="):
        train_generator(training(steps=2), two_classes(seed=5), two_classes(seed=1), tmp_path)


def test_what_it_began_with_belongs_to_a_training(tmp_path):
    def run(about=None, **changed):
        net = training(steps=2, **changed)
        return train_generator(net, two_classes(), two_classes(seed=1), tmp_path, about=about)

    run({"init": "abc"})
    run({"init": "abc"})
    with pytest.raises(InvsetError, match="init was abc and is None"):
        run({"init": None})
    with pytest.raises(InvsetError, match="encoder was fc6 and is fc7"):
        run({"init": "abc"}, encoder="fc7")
    other = two_classes(seed=1)
    other.images[0, 0, 0, 0] ^= 1
    with pytest.raises(InvsetError, match="val's pictures was"):
        train_generator(training(steps=2), two_classes(), other, tmp_path, about={"init": "abc"})


def test_pictures_have_the_generators_size(tmp_path):
    small, large = two_classes(), two_classes(size=16)
    for train, val in ((small, large), (large, small)):
        with pytest.raises(InvsetError, match="are 16x16 pixels, not 8x8"):
            train_generator(training(steps=2), train, val, tmp_path)


@pytest.mark.parametrize("what", ["image", "discriminator"])
def test_a_loss_that_is_not_finite_ends_with_the_last_good_weights(tmp_path, monkeypatch, what):
    run = training()
    step = run.train_step

    def spoilt(images):
        losses = step(images)
        return losses | {what: losses[what] * float("nan" if run.step > 3 else 1)}

    save = inversion_run.save_checkpoint
    kept = []

    def noted(*held):
        kept.append({name: one.clone() for name, one in run.averaged.state_dict().items()})
        save(*held)

    monkeypatch.setattr(run, "train_step", spoilt)
    monkeypatch.setattr(inversion_run, "save_checkpoint", noted)
    with pytest.raises(NotFinite, match=f"{what} is not finite in step 4") as ended:
        train_generator(run, two_classes(), two_classes(seed=1), tmp_path)
    assert len(kept) == 1
    assert all(torch.equal(kept[0][k], one) for k, one in ended.value.last.state_dict().items())
    assert [row["step"] for row in rows(tmp_path)] == [2]
    with pytest.raises(NotFinite) as ended:
        trained(tmp_path / "at once", lr=1e30, adversarial=0)
    assert ended.value.last is None


def test_a_layer_named_twice_counts_twice():
    first, second, both = (
        training(layers=layers, autocast="off").train_step(two_classes(8).images)["features"].item()
        for layers in (["conv2"], ["fc6"], ["conv2", "fc6", "fc6"])
    )
    assert both == pytest.approx((first + 2 * second) / 3, rel=1e-5)
    assert first != pytest.approx(second)


@pytest.mark.parametrize(("encoder", "code_dim"), [("map", 12), ("stem", 384), ("head", 5)])
@pytest.mark.parametrize("share", [0.0, 0.25])
def test_any_network_and_layer(tmp_path, encoder, code_dim, share):
    network = strange()
    codes = network.taps(two_classes().images / 255, [encoder])[encoder]
    assert (codes < 0).any()
    maker = trained(
        tmp_path,
        network=network,
        encoder=encoder,
        code_dim=code_dim,
        layers=["stem", "bend"],
        prior_share=share,
    )
    assert maker(codes.flatten(1)).shape == (64, 3, 8, 8)
    assert all(np.isfinite(list(row.values())).all() for row in rows(tmp_path))
    assert (rows(tmp_path)[0]["cycle"] == 0) == (share == 0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, not 0"),
        ({"batch_size": 1}, "batch_size must be a whole number of at least 2"),
        ({"report_every": 0}, "report_every must be a whole number of at least 1"),
        ({"prior_share": -0.1}, "prior_share must be a number of at least 0"),
        ({"prior_share": 1.5}, "at most 1, not 1.5; for example settings.prior_share=0.25"),
        ({"lr": 0.0}, "lr must be a number above 0"),
        ({"decision": -1}, "decision must be a number of at least 0"),
        ({"zoom": 0.0}, "zoom must be a number above 0"),
        ({"zoom": 1.5}, "zoom must be a number above 0 and at most 1, not 1.5"),
        ({"jitter": -0.1}, "jitter must be a number of at least 0"),
        ({"ema": 1.0}, "ema must be a number of at least 0 and below 1"),
        ({"lr": float("inf")}, "lr must be a number above 0 and below inf"),
        ({"adversarial": float("nan")}, "adversarial must be a number of at least 0"),
        ({"layers": "conv2"}, "layers must be a list of texts, not conv2"),
        ({"layers": []}, "layers must name at least one layer"),
        ({"autocast": "float16"}, "autocast must be"),
    ],
)
def test_settings_that_make_no_sense(changed, told):
    with pytest.raises(InvsetError, match=told):
        GeneratorSettings(**changed)


# The command


@functools.cache
def composed(words):
    return compose("train_generator", words)


def command(*words, then=()):
    """Type `words`; composing them once does for commands that differ in what is typed `then`."""
    cfg = OmegaConf.merge(composed(words), OmegaConf.from_dotlist(list(then)))
    OmegaConf.resolve(cfg)
    check_own(cfg, OPTIONS["train generator"])  # as every command is
    main(cfg)


@pytest.fixture
def photographs(tmp_path):
    """12 pictures of noise in two folders."""
    rng = np.random.default_rng(0)
    for number in range(12):
        folder = tmp_path / "photographs" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
            folder / f"{number}.png"
        )
    return tmp_path / "photographs"


def test_the_command_trains_in_parts(tmp_path, photographs, monkeypatch):
    small = [
        "model.hidden=[8]",
        "model.start=6",
        "model.widths=[[6,6],[6,4],[4,4]]",
        "discriminator=[4,4,4]",
    ]
    few = ["settings.steps=2", "settings.batch_size=4", "settings.lr=1e-8", "settings.ema=0"]
    words = ["network=mini", f"data.train={photographs}", f"data.val={photographs}", *small, *few]

    def run(name, *then):
        command(*words, then=[f"out={tmp_path}/{name}", *then])

    begun = f"init={tmp_path}/first/generator.safetensors"
    run("first")
    assert (tmp_path / "first" / "curves.png").is_file()
    monkeypatch.setattr(
        "invset.commands.train_generator.plot_log", lambda *_: None
    )  # once is enough
    run("second", begun, "seed=5")
    run("other", "seed=5", "settings.adversarial=0", "settings.decision=0.1")
    codes = torch.rand(3, 1024, generator=seeded())
    first, second, other = (
        upconv_generator(tmp_path / name / "generator.safetensors")(codes)
        for name in ("first", "second", "other")
    )
    # the rate is next to zero: what a training began with it ends with, to the precision of its
    # file
    torch.testing.assert_close(second, first, rtol=0, atol=2e-3)
    assert (other - first).abs().max() > 0.05
    assert (
        upconv_generator(
            tmp_path / "first" / "generator.safetensors", tmp_path / "first" / "prior.safetensors"
        ).prior
        is not None
    )
    with pytest.raises(InvsetError, match="do not fit"):
        run("third", begun, "model.hidden=[9]")
    with pytest.raises(InvsetError, match="init was"):
        run("second", "seed=5")
    for word in ("prior.variance=2", "prior.share=0", "model.start=0", "discriminator=[4,0]"):
        with pytest.raises(InvsetError, match=f"{word.split('=')[0].split('.')[-1]} must be"):
            run("fourth", word, "data.train=nowhere")

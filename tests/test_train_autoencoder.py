"""Training of the autoencoder: it learns, its codes have unit variance, it resumes, it is exported
as a network and a generator.
"""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from toys import seeded, two_classes
from typed import typed

from invset.errors import InvsetError
from invset.files.images import to_float, to_grey
from invset.nets.downconv import DownConv
from invset.nets.embedded import mnist_encoder, upconv_generator
from invset.nets.natural import read_prior
from invset.nets.upconv import UpConv
from invset.training import autoencoder
from invset.training.autoencoder import (
    Autoencoder,
    AutoencoderSettings,
    AutoencoderTraining,
    train_autoencoder,
    with_unit_codes,
)
from invset.training.checkpoint import NotFinite

TINY = {"epochs": 4, "batch_size": 16, "lr": 1e-2, "crop": 1, "ema": 0.8}


def model(seed=0, channels=3):
    torch.manual_seed(seed)
    down = DownConv(6, 8, ((4, 4),), channels)
    up = UpConv(6, 8, (), 4, ((4, 4),), channels=channels).initialize(seeded(seed))
    return Autoencoder(down, up)


def trained(out, **changed):
    settings = AutoencoderSettings(**{**TINY, **changed})
    return train_autoencoder(model(), (two_classes(), two_classes(seed=1)), settings, out)


def rows(out):
    with (out / "log.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def same(first, second):
    first, second = first.state_dict(), second.state_dict()
    return all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize("autocast", ["bf16", "off"])
def test_learns_and_logs(tmp_path, autocast):
    found = trained(tmp_path, epochs=50, autocast=autocast)
    logged = rows(tmp_path)
    assert len(logged) == 50
    assert float(logged[-1]["image"]) < 0.8 * float(logged[0]["image"])
    x = to_float(two_classes(seed=1).images)
    error = (found.averaged(x) - x).square().mean()
    assert float(logged[-1]["val_rmse"]) == pytest.approx(error.sqrt().item(), rel=1e-4)
    assert float(logged[-1]["val_image"]) == pytest.approx((error / x.var()).item(), rel=1e-4)


def test_one_step_is_adams_on_the_relative_error():
    """At step 100 the warming up has ended; the cosine is that of 100 of 400 steps."""
    first, second = model(), model()
    settings = AutoencoderSettings(**{**TINY, "crop": 0, "autocast": "off"})
    images = two_classes().images[:16]
    AutoencoderTraining(first, settings, 100)._step(images, 100)
    rate = 1e-2 * 0.5 * (1 + np.cos(np.pi / 4))
    optimizer = torch.optim.Adam(second.parameters(), lr=rate)
    x = to_float(images)
    (((second(x) - x) ** 2).mean() / x.var()).backward()
    optimizer.step()
    for mine, theirs in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=1e-4)


def test_codes_get_unit_variance_and_pictures_stay():
    one = model()
    data = two_classes().images
    x = to_float(data)
    before = one(x)
    mean_before = one.encoder(x).mean(0)
    scale = one.encoded(data).var(0).mean().sqrt()
    with_unit_codes(one, one.encoded(data))
    assert one.encoded(data).var(0).mean() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(one.encoder(x).mean(0) * scale, mean_before, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(one(x), before, atol=1e-5, rtol=1e-4)


def test_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole")
    epoch = AutoencoderTraining.train_epoch
    calls = []

    def interrupted(self, *words):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return epoch(self, *words)

    monkeypatch.setattr(AutoencoderTraining, "train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "parts")
    monkeypatch.setattr(AutoencoderTraining, "train_epoch", epoch)
    parts = trained(tmp_path / "parts")
    assert same(whole.averaged, parts.averaged)
    assert rows(tmp_path / "whole") == rows(tmp_path / "parts")
    with pytest.raises(InvsetError, match="lr"):
        trained(tmp_path / "parts", lr=1e-3)


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(
        autoencoder.AutoencoderTraining, "train_epoch", lambda self, *words: float("nan")
    )
    with pytest.raises(NotFinite, match="image is not finite in epoch 0"):
        trained(tmp_path)


def test_sets_that_can_not_be_trained_on(tmp_path):
    with pytest.raises(InvsetError, match="batch_size=1000 is more than"):
        trained(tmp_path, batch_size=1000)
    with pytest.raises(InvsetError, match=r"settings.crop must be less than .* 8 pixels"):
        trained(tmp_path, crop=8)
    data = two_classes()
    small = replace(data, images=data.images[:, :, :4, :4])
    with pytest.raises(InvsetError, match="4x4 pixels, not 8x8"):
        train_autoencoder(model(), (small, small), AutoencoderSettings(), tmp_path)


def test_encoders_that_make_no_sense():
    with pytest.raises(InvsetError, match="multiple of 2"):
        DownConv(size=30)
    with pytest.raises(InvsetError, match="a pair of widths must be 2 whole numbers"):
        DownConv(widths=((3,),))
    with pytest.raises(InvsetError, match="code_dim, size and channels"):
        DownConv(code_dim=0)


def test_a_first_map_of_7_pixels():
    maker = UpConv(5, 28, (), 3, ((4, 4), (4, 2)), side=7, channels=1)
    assert maker(torch.zeros(2, 5)).shape == (2, 1, 28, 28)
    with pytest.raises(InvsetError, match=r"7 \* 2 \*\* .* = 28, not 32"):
        UpConv(5, 32, (), 3, ((4, 4), (4, 2)), side=7)


def test_the_command_writes_what_networks_and_generators_are_read_from(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / "pictures" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    here = f"{tmp_path}/pictures"
    code = typed(
        monkeypatch,
        *("train", "autoencoder"),
        *(f"data.train={here}", f"data.val={here}", "data.size=8", f"out={tmp_path}/out"),
        *("model.code_dim=5", "model.down=[[3,4]]", "model.up.side=4", "model.up.start=4"),
        *("model.up.widths=[[4,3]]", "settings.epochs=2", "settings.batch_size=8", "device=cpu"),
    )
    assert code == 0
    out = tmp_path / "out"
    encoder = mnist_encoder(out / "encoder.safetensors")
    generator = upconv_generator(out / "generator.safetensors", out / "prior.safetensors")
    assert encoder.medium.shape == (1, 8, 8)
    assert encoder.shape("code") == (5,)
    files = sorted((tmp_path / "pictures").rglob("*.png"))
    colours = np.stack([np.asarray(Image.open(file)) for file in files])
    grey = to_grey(torch.from_numpy(colours).permute(0, 3, 1, 2))
    codes = encoder.taps(to_float(grey), ["code"])["code"]
    assert codes.var(0).mean().item() == pytest.approx(1, rel=0.02)  # weights are float16
    prior = read_prior(out / "prior.safetensors")
    torch.testing.assert_close(prior.mean, codes.mean(0).detach(), atol=5e-3, rtol=1e-2)
    assert generator(codes).shape == (24, 1, 8, 8)
    for name in ("log.csv", "curves.png", "reconstructions.png", "config.yaml"):
        assert (out / name).is_file()

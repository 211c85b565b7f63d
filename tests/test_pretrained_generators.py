"""Generators that people have, against the packages that they come from: tiny, with random
weights.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_generators as make
import torch
from cases import normal, seeded
from PIL import Image
from safetensors import safe_open
from scipy.stats import norm, truncnorm
from torch import Tensor
from typed import typed

from invset.errors import InvsetError
from invset.nets import biggan, latents
from invset.nets.diffusers_files import library
from invset.nets.generator import Generator
from invset.nets.turbo import turbo_generator

pytest.importorskip("diffusers", reason="needs the extra diffusers")
pytest.importorskip("pytorch_pretrained_biggan", reason="needs the extra biggan")

#: Codes of two pictures of the turbo models.
Z = normal(2, 4, 8, 8).float()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a folder of each model."""
    folder = tmp_path_factory.mktemp("models")
    library()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what both packages think of small models
        make.tiny().save_pretrained(folder / "tiny")
        make.kl(latent_channels=4, shift_factor=0.3).save_pretrained(folder / "kl")
        stated = {"latents_mean": [0.1, 0.2, 0.3, 0.4], "latents_std": [1.0, 2.0, 3.0, 4.0]}
        make.kl(latent_channels=4, **stated).save_pretrained(folder / "stated")
        make.rae().save_pretrained(folder / "rae")
        make.turbo(folder / "words").save_pretrained(folder / "turbo")
        make.turbo(folder / "words", "v_prediction").save_pretrained(folder / "velocity")
        make.turbo(folder / "words", "sample").save_pretrained(folder / "sample")
        make.turbo_xl(folder / "words").save_pretrained(folder / "turbo_xl")
    make.save_biggan(folder / "biggan")
    return folder


def reloaded(home: Path, name: str) -> Any:
    """An autoencoder by diffusers alone."""
    kind = {"tiny": "AutoencoderTiny", "rae": "AutoencoderRAE"}.get(name, "AutoencoderKL")
    return getattr(library(), kind).from_pretrained(home / name, low_cpu_mem_usage=False).eval()


#: What stands in the packages' pipelines, by hand -> (codes to the decoder's latents).
RAW: dict[str, Callable[[Tensor], Tensor]] = {
    "tiny": lambda z: z,
    "kl": lambda z: z / 0.18215 + 0.3,
    "stated": lambda z: (
        z * torch.arange(1.0, 5).view(4, 1, 1) / 0.18215 + 0.1 * torch.arange(1.0, 5).view(4, 1, 1)
    ),
}


@pytest.mark.parametrize("name", RAW)
@torch.no_grad()
def test_codes_are_latents_of_a_diffusion_model(name: str, home: Path) -> None:
    generator = latents.diffusers_generator(str(home / name), size=[16, 24])
    assert generator.code_dim == 4 * 8 * 12
    z = normal(2, 4, 8, 12).float()
    own = reloaded(home, name)
    expected = (own.decode(RAW[name](z)).sample + 1) / 2
    torch.testing.assert_close(generator.unclamped(z.flatten(1)), expected, atol=1e-5, rtol=1e-5)
    # and the encoder gives them back as the decoder takes them
    encoder = latents.diffusers_encoder(str(home / name))
    x = torch.rand(2, 3, 16, 24, generator=seeded())
    raw = own.encode(2 * x - 1)
    raw = raw.latents if name == "tiny" else raw.latent_dist.mean
    code = encoder.taps(x, ["code"])["code"]
    torch.testing.assert_close(RAW[name](code), raw, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_codes_of_rae_are_the_encoders_tokens(home: Path) -> None:
    generator = latents.rae_generator(str(home / "rae"))
    encoder = latents.rae_encoder(str(home / "rae"))
    own = reloaded(home, "rae")
    x = torch.rand(2, 3, 8, 8, generator=seeded())
    code = encoder.taps(x, ["code"])["code"]
    torch.testing.assert_close(code, own.encode(x).latent)
    codes = code.flatten(1)
    assert generator.code_dim == codes.shape[1] == 256
    torch.testing.assert_close(generator.unclamped(codes), own(x).sample, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["kl", "rae"])
@torch.no_grad()
def test_codes_begin_as_encodings_of_noise(name: str, home: Path) -> None:
    if name == "kl":
        generator = latents.diffusers_generator(str(home / name), size=16)
        encoder = latents.diffusers_encoder(str(home / name))
    else:
        generator = latents.rae_generator(str(home / name))
        encoder = latents.rae_encoder(str(home / name))
    assert generator.prior is None
    assert generator.start is not None
    found = generator.start(11, seeded(3))
    assert torch.equal(found, generator.start(11, seeded(3)))
    rng = seeded(3)
    side = 16 if name == "kl" else 8
    noise = torch.cat([torch.rand(n, 3, side, side, generator=rng) for n in (8, 3)])
    torch.testing.assert_close(found, encoder.taps(noise, ["code"])["code"].flatten(1))


@pytest.mark.parametrize("name", ["turbo", "velocity", "turbo_xl"])
@torch.no_grad()
def test_turbo_is_the_pipeline_in_one_step(name: str, home: Path) -> None:
    kind = "StableDiffusionXLPipeline" if name == "turbo_xl" else "StableDiffusionPipeline"
    asked = {"prompt": ["a cat"] * 2, "num_inference_steps": 1, "guidance_scale": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers reads NumPy as of old
        pipeline = getattr(library(), kind).from_pretrained(home / name)
        pipeline.set_progress_bar_config(disable=True)
        expected = pipeline(**asked, latents=Z.clone(), output_type="pt").images
    generator = turbo_generator(str(home / name), "a cat")
    assert generator.code_dim == 256
    assert generator.prior is not None
    assert expected.std() > 0.05
    torch.testing.assert_close(generator(Z.flatten(1)), expected, atol=2e-5, rtol=0)
    other = turbo_generator(str(home / name), "")
    assert (other(Z.flatten(1)) - expected).abs().max() > 1e-4  # the text is heard


@torch.no_grad()
def test_turbo_takes_another_decoder_and_size(home: Path) -> None:
    generator = turbo_generator(str(home / "turbo"), size=[16, 32], decoder=str(home / "tiny"))
    codes = normal(2, 4 * 8 * 16).float()
    x0 = generator.module.denoised(codes.view(2, 4, 8, 16))  # type: ignore[union-attr]
    expected = (reloaded(home, "tiny").decode(x0).sample + 1) / 2
    torch.testing.assert_close(generator.unclamped(codes), expected)
    assert expected.shape == (2, 3, 16, 32)


@torch.no_grad()
def test_biggan_is_the_packages(home: Path) -> None:
    from pytorch_pretrained_biggan import BigGAN

    own = BigGAN.from_pretrained(str(home / "biggan")).eval()
    generator = biggan.biggan_generator(str(home / "biggan"), label=3, truncation=0.5)
    assert generator.code_dim == 8
    c = normal(2, 8).float()
    z = 0.5 * torch.from_numpy(truncnorm.ppf(norm.cdf(c.numpy()), -2, 2)).float()
    expected = (own(z, torch.eye(5)[[2, 2]], 0.5) + 1) / 2
    assert expected.std() > 0.05
    torch.testing.assert_close(generator(c), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_class_of_biggan_may_be_a_part_of_the_code(home: Path) -> None:
    generator = biggan.biggan_generator(str(home / "biggan"))
    module: Any = generator.module
    assert generator.code_dim == 8 + 4  # five embeddings span four directions
    embeddings = module.net.embeddings.weight.T
    torch.testing.assert_close(module.middle, embeddings.mean(0))
    torch.testing.assert_close(module.spread.T @ module.spread, torch.cov(embeddings.T))


def test_the_cut_off_normal_distribution() -> None:
    c = torch.linspace(-6, 6, 101, dtype=torch.float64)
    expected = truncnorm.ppf(norm.cdf(c.numpy()), -2, 2)
    assert biggan.cut_off(c).numpy() == pytest.approx(expected, abs=1e-7)
    assert biggan.cut_off(c.float()).numpy() == pytest.approx(expected, abs=1e-4)
    assert biggan.cut_off(torch.tensor([99.0])).isfinite().all()


MADE: dict[str, Callable[[Path], Generator]] = {
    "tiny": lambda home: latents.diffusers_generator(str(home / "tiny"), size=16),
    "kl": lambda home: latents.diffusers_generator(str(home / "kl"), size=16),
    "rae": lambda home: latents.rae_generator(str(home / "rae")),
    "turbo": lambda home: turbo_generator(str(home / "turbo")),
    "turbo_xl": lambda home: turbo_generator(str(home / "turbo_xl")),
    "biggan": lambda home: biggan.biggan_generator(str(home / "biggan")),
}


@pytest.mark.parametrize("name", MADE)
def test_slopes_are_those_of_finite_differences(name: str, home: Path) -> None:
    generator = MADE[name](home)
    assert isinstance(generator.module, torch.nn.Module)
    generator.module.double()
    c = normal(1, generator.code_dim).requires_grad_()
    weights = normal(*generator.unclamped(c).shape, seed=1)
    (slope,) = torch.autograd.grad((generator.unclamped(c) * weights).sum(), c)
    way = normal(1, generator.code_dim, seed=2)
    with torch.no_grad():
        ahead, behind = (
            (generator.unclamped(c + step * way) * weights).sum().item() for step in (1e-6, -1e-6)
        )
    found = (slope * way).sum().item()
    assert abs(found) > 1e-4
    assert found == pytest.approx((ahead - behind) / 2e-6, rel=1e-5, abs=1e-7)


RUN = ("network=mini", "neuron=horse", "z1=-9", "z2=9", "n=3", "K=3", "judge=null", "robust=0")
RAE_ENCODER = ("+network@encoder_network=rae_encoder", "encoder_network.weights=rae")
SHORT = ("animation=false", "report=false", "progress=false", "reference=null")


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        (("generator=turbo", "generator.weights=turbo"), (16, 16, 3)),
        (("generator=rae", "generator.weights=rae", *RAE_ENCODER), (8, 8, 3)),
        (("generator=biggan", "generator.weights=biggan", "generator.label=2"), (16, 16, 3)),
    ],
)
def test_each_runs(
    words: tuple[str, ...],
    shape: tuple[int, ...],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(home)
    assert typed(monkeypatch, "run", *RUN, *SHORT, *words, f"hydra.run.dir={tmp_path}/out") == 0
    with safe_open(tmp_path / "out" / "samples.safetensors", "pt") as file:
        e, codes = (file.get_tensor(name) for name in ("encodings", "codes"))
    if "generator=rae" in words:  # E inverts G, as far as random weights allow: of one size
        assert e.shape == codes.shape == (3, 256)
    pictures = sorted((tmp_path / "out" / "samples").iterdir())
    assert len(pictures) == 3
    assert np.array(Image.open(pictures[0])).shape == shape


def test_a_region_is_fitted_through_the_autoencoders_own_encoder(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for number in range(12):
        pixels = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{number}.png")
    monkeypatch.chdir(home)
    prior = tmp_path / "prior.safetensors"
    fit = ("network=diffusers_encoder", "network.weights=kl", "size=16", f"out={prior}")
    assert typed(monkeypatch, "fit", "prior", *fit, f"data={tmp_path}/pictures") == 0
    words = ("generator=diffusers", "generator.weights=kl", "generator.size=16")
    words += (f"generator.prior={prior}", f"hydra.run.dir={tmp_path}/out")
    assert typed(monkeypatch, "run", *RUN, *SHORT, *words) == 0
    generator = latents.diffusers_generator("kl", size=16, prior=str(prior))
    assert generator.prior is not None
    assert 1 < generator.prior.dim <= 11
    x = generator(generator.prior.decode(torch.zeros(1, generator.prior.dim)))
    assert x.shape == (1, 3, 16, 16)
    with pytest.raises(InvsetError, match="codes with 256 numbers, but the generator's have 576"):
        latents.diffusers_generator("kl", size=24, prior=str(prior))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: latents.diffusers_generator("/nowhere"), "/nowhere gives no AutoencoderTiny or"),
        (lambda: latents.diffusers_generator("rae"), "rae holds AutoencoderRAE, and Autoencoder"),
        (lambda: latents.rae_generator("kl"), "holds AutoencoderKL, and AutoencoderRAE is wanted"),
        (lambda: latents.diffusers_generator("kl", size=15), "in multiples of 2, or .* not 15"),
        (lambda: turbo_generator("/nowhere"), "/nowhere gives no StableDiffusionPipeline or"),
        (lambda: turbo_generator("sample"), "predicts sample; generator=turbo takes epsilon and"),
        (lambda: turbo_generator("turbo", size=3), "in multiples of 2"),
        (lambda: biggan.biggan_generator("/nowhere"), "is no folder; type one with config.json"),
        (lambda: biggan.biggan_generator("biggan", label=6), "label=6 is not one class; .* 1 to 5"),
        (lambda: biggan.biggan_generator("biggan", truncation=0), "truncation must be a number"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(
    call: Callable[[], object], message: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    with pytest.raises(InvsetError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_weights_that_are_missing_are_not_random(home: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    name = "diffusion_pytorch_model.safetensors"
    (tmp_path / "config.json").write_bytes((home / "kl" / "config.json").read_bytes())
    state = load_file(home / "kl" / name)
    gone = state.pop("decoder.conv_in.weight")
    assert gone.numel()
    save_file(state, tmp_path / name, {"format": "pt"})
    with pytest.raises(InvsetError, match="lacks 1 weights of its AutoencoderKL, for example dec"):
        latents.diffusers_generator(str(tmp_path))
    torch.save({}, tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_bytes((home / "biggan" / "config.json").read_bytes())
    with pytest.raises(InvsetError, match=r"pytorch_model\.bin|lacks \d+ weights"):
        biggan.biggan_generator(str(tmp_path))


def test_packages_that_are_not_installed_are_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_pretrained_biggan", None)
    with pytest.raises(InvsetError, match=r"pip install 'invset\[biggan\]'"):
        biggan.biggan_generator(str(home / "biggan"))
    library.cache_clear()
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(InvsetError, match=r"pip install 'invset\[diffusers\]'"):
        turbo_generator(str(home / "turbo"))

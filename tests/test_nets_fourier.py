"""Images by pixels and by Fourier coefficients, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from invset.nets.fourier import Fourier, fourier_generator
from invset.nets.pixels import pixels_generator


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pixels_are_the_code():
    images = torch.rand(4, 3, 8, 8, generator=seeded())
    generator = pixels_generator(size=8)
    assert generator.code_dim == 192
    assert torch.equal(generator(images.flatten(1)), images)
    assert torch.equal(pixels_generator([4, 16])(images.flatten(1)), images.view(4, 3, 4, 16))


def test_pixels_start_uniform_and_seeded():
    generator = pixels_generator(size=16)
    codes = generator.start(20, seeded(3))
    assert torch.equal(codes, generator.start(20, seeded(3)))
    assert codes.min() >= 0
    assert codes.max() <= 1
    assert codes.mean().item() == pytest.approx(0.5, abs=0.02)
    assert generator.prior is None


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 9), (8, 11), (11, 8)])
@pytest.mark.parametrize(("ky", "kx"), [(1, 2), (0, 1), (-3, 3), (2, 0), (0, 0)])
@pytest.mark.parametrize("part", [0, 1])
def test_one_coefficient_is_a_cosine(height, width, ky, kx, part):
    fourier = Fourier((height, width)).double()
    code = torch.zeros(1, 3, height, width // 2 + 1, 2, dtype=torch.float64)
    code[0, 1, ky, kx, part] = 2.0
    image = fourier.spatial(code.flatten(1))
    sides = (torch.arange(side, dtype=torch.float64) for side in (height, width))
    y, x = torch.meshgrid(*sides, indexing="ij")
    # z e^{iφ} for itself and, beyond column 0, its mirror image: z = 2 gives 2 cos φ, z = 2i gives
    # -2 sin φ; 1/√(height · width) is "ortho"
    phase = 2 * math.pi * (ky * y / height + kx * x / width)
    wave = torch.cos(phase) if part == 0 else -torch.sin(phase)
    size = math.sqrt(height * width)
    expected = fourier.scale[ky, kx] * 2.0 * (2 if kx else 1) / size * wave
    torch.testing.assert_close(image[0, 1], expected, atol=1e-12, rtol=1e-7)
    assert image[0, [0, 2]].abs().max() == 0


@pytest.mark.parametrize("size", [8, 9, 32, (16, 9)])
@pytest.mark.parametrize("decay", [0.0, 1.0, 1.5])
def test_unit_codes_give_unit_logits(size, decay):
    fourier = Fourier(size, decay)
    codes = torch.randn(3000 * 8 // fourier.size[0], fourier.code_dim, generator=seeded())
    assert fourier.spatial(codes).square().mean().sqrt().item() == pytest.approx(1, rel=0.03)
    assert fourier.color.square().sum(1).mean().item() == pytest.approx(1)


@pytest.mark.parametrize("decay", [0.0, 1.0, 2.0])
def test_power_falls_as_frequency_to_twice_the_decay(decay):
    size = 32
    fourier = Fourier(size, decay)
    image = fourier.spatial(torch.randn(200, fourier.code_dim, generator=seeded()))
    power = torch.fft.rfft2(image).abs().square().mean((0, 1))
    # row 0, columns 1 … 15: horizontal frequencies 1/32 … 15/32
    frequency = torch.arange(1, 16).log()
    logs = power[0, 1:16].log()
    slope = ((frequency - frequency.mean()) * logs).sum() / (
        frequency - frequency.mean()
    ).square().sum()
    assert slope.item() == pytest.approx(-2 * decay, abs=0.1)


def test_image_is_valid_and_has_a_gradient():
    generator = fourier_generator(size=16)
    codes = generator.start(5, seeded()).requires_grad_()
    images = generator(codes)
    assert images.shape == (5, 3, 16, 16)
    assert images.dtype == torch.float32
    assert images.min() > 0
    assert images.max() < 1
    assert (images - 0.5).abs().max() < 0.05  # begins near grey
    (gradient,) = torch.autograd.grad(images[:, 0, 3, 4].sum(), codes)
    assert gradient.isfinite().all()
    assert (gradient != 0).float().mean() > 0.2


def test_gradient_is_that_of_finite_differences():
    fourier = Fourier(4).double()
    codes = torch.randn(
        2, fourier.code_dim, generator=seeded(), dtype=torch.float64
    ).requires_grad_()
    assert torch.autograd.gradcheck(fourier, codes)


def test_brightness_is_the_first_colour():
    fourier = Fourier(8)
    code = torch.zeros(1, 3, 8, 5, 2)
    code[0, 0, 0, 0, 0] = 5.0
    pixels = fourier(code.flatten(1))[0, :, 2, 2]
    assert (pixels > 0.6).all()
    assert pixels.max() - pixels.min() < 0.02

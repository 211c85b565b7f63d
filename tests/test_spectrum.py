"""Pictures by their spectrum: amplitudes of photographs, bands, and generators without training."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cases import normal, seeded
from torch import Tensor

from invset.core.ball import Ball
from invset.core.bands import Bands
from invset.core.torus import Torus
from invset.errors import InvsetError
from invset.nets.amplitudes import Amplitudes, faded
from invset.nets.generator import Generator
from invset.nets.spectrum import Spectrum, phase_generator, spectrum_generator


def noise(decay: float, count: int = 200, size: int = 32) -> Tensor:
    """Grey pictures, uint8, whose amplitudes fall as 1/frequency^decay, and that meet at their
    edges.
    """
    vertical = torch.fft.fftfreq(size) * size
    horizontal = torch.fft.rfftfreq(size) * size
    radius = torch.hypot(vertical[:, None], horizontal[None, :])
    amplitude = radius.clamp_min(1) ** -decay
    amplitude[0, 0] = 0
    white = torch.fft.rfft2(torch.randn(count, 1, size, size, generator=seeded()))
    y = torch.fft.irfft2(white * amplitude, s=(size, size))
    y = 0.5 + 0.1 * y / y.std()
    return (y.expand(-1, 3, -1, -1) * 255).round().clamp(0, 255).byte()


@pytest.mark.parametrize("decay", [0.5, 1.0, 1.5])
def test_the_decay_of_noise_is_found(decay: float) -> None:
    assert Amplitudes.fit(noise(decay)).decay == pytest.approx(decay, abs=0.08)


def test_colours_of_grey_pictures_are_one_direction() -> None:
    found = Amplitudes.fit(noise(1.0))
    torch.testing.assert_close(found.directions[:, 0], torch.full((3,), 3**-0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(found.directions.T @ found.directions, torch.eye(3))
    assert found.table[1:].max() < 1e-3 * found.table[0, 1:, 1:].max()
    assert found.mean == pytest.approx([0.5] * 3, abs=0.01)


def test_power_is_kept_under_the_window() -> None:
    y = torch.randn(400, 24, 24, generator=seeded())
    assert faded(y).square().mean().item() == pytest.approx(1, rel=0.02)


def test_a_ramp_puts_strength_on_no_axis() -> None:
    """Without the window, a ramp, whose edges don't meet, falls as 1/frequency along its axis."""
    ramp = torch.linspace(-1, 1, 64).expand(1, 64, 64).contiguous()  # for older FFTs
    plain = torch.fft.rfft2(ramp).abs()[0, 0]
    under = torch.fft.rfft2(faded(ramp)).abs()[0, 0]
    assert under[10] < plain[10] / 20


def test_amplitudes_come_back_from_a_file(tmp_path: Path) -> None:
    found = Amplitudes.fit(noise(1.0))
    found.save(tmp_path / "s.safetensors")
    again = Amplitudes.load(tmp_path / "s.safetensors")
    torch.testing.assert_close(again.at(16, 20), found.at(16, 20), rtol=1e-2, atol=0)
    assert again.decay == pytest.approx(found.decay, abs=1e-3)


@pytest.mark.parametrize("pictures", [noise(1.0)[:1], noise(1.0, 4)[..., :20]])
def test_pictures_that_say_nothing_are_refused(pictures: Tensor) -> None:
    with pytest.raises(InvsetError, match="at least 2 square pictures"):
        Amplitudes.fit(pictures)


def test_the_same_size_gives_the_table_again() -> None:
    found = Amplitudes.fit(noise(1.0))
    low = found.at(32, 32)[:, :6, :6]
    torch.testing.assert_close(low[:, 1:], found.table[:, 1:6, :6])
    assert found.at(32, 32)[0, 0, 0] == found.level[0]


@pytest.mark.parametrize("size", [(32, 32), (24, 24), (48, 48), (33, 31), (32, 64)])
def test_drawn_codes_have_the_power_of_photographs(size: tuple[int, int]) -> None:
    """Variance of the pixels of codes N(0, I): the sum of the squares of all coefficients."""
    amplitudes = Amplitudes.fit(noise(1.0))
    module = Spectrum(amplitudes, *size)
    images = module(normal(400, module.code_dim).float())
    y = (images - amplitudes.mean.view(3, 1, 1)).flatten(2).mean(1) * 3**0.5
    table = amplitudes.at(*size)[0].square()
    weight = torch.full((size[1] // 2 + 1,), 2.0)
    weight[0] = 1
    if size[1] % 2 == 0:
        weight[-1] = 1
    assert y.square().mean().item() == pytest.approx((table * weight).sum().item(), rel=0.1)


def test_codes_of_images_give_them_back() -> None:
    module = spectrum_generator(size=(20, 26)).module
    assert isinstance(module, Spectrum)
    x = torch.rand(2, 3, 20, 26, generator=seeded())
    torch.testing.assert_close(module(module.codes(x)), x, atol=1e-5, rtol=0)


def test_a_phase_moves_a_wave_and_leaves_its_amplitude() -> None:
    module = phase_generator(size=16).module
    phases = torch.zeros(2, *module.shape)
    phases[1, 0, 2, 3] = 1.0
    pictures = module(phases.flatten(1))
    y = torch.einsum("dc,ndhw->nchw", module.directions, pictures - module.mean)
    seen = torch.fft.rfft2(y, norm="forward").abs()
    torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=1e-4)
    assert (pictures[0] - pictures[1]).abs().max() > 1e-4


@pytest.mark.parametrize("size", [32, (20, 33)])
def test_bands_are_thirds_of_octaves(size: int | tuple[int, int]) -> None:
    module = spectrum_generator(size=size).module
    assert isinstance(module, Spectrum)
    band = module.bands().view(*module.shape, 2)
    assert band[0, 0, 0, 0] == 0
    assert (band == band[0, :, :, :1]).all()
    across = band[0, 0, :, 0].tolist()
    assert across == sorted(across)
    assert across[8] - across[4] >= 2  # an octave
    assert band.flatten().bincount().min() > 0


def bands(**options: float) -> Bands:
    values = {"radius": 1.0, "start": 0.2, "evening": 0.5, "scale": 0.05, "fading": 0.1}
    values |= {"slowing": 0.5, **options}
    return Bands(torch.tensor([0, 1, 1, 1, 1]), torch.tensor([1.0, 4.0]), **values)


def test_each_band_is_in_a_ball_of_its_own() -> None:
    u = torch.tensor([[0.5, 3.0, 3.0, 3.0, 3.0], [4.0, 0.1, 0.1, 0.1, 0.1]])
    expected = torch.tensor([[0.5, 1.0, 1.0, 1.0, 1.0], [1.0, 0.1, 0.1, 0.1, 0.1]])
    torch.testing.assert_close(bands().project(u), expected)


def test_slopes_keep_their_direction_inside_a_band() -> None:
    rows = torch.tensor([[[8.0, 1.0, -1.0, 1.0, -1.0]]])
    ways = bands().ways(rows)
    torch.testing.assert_close(ways[0, 0, 1:] / ways[0, 0, 1], rows[0, 0, 1:])
    # rms 8 and 1, as powers of 1 - evening
    assert (ways[0, 0, 0] / ways[0, 0, 1]).item() == pytest.approx(8**0.5, rel=1e-5)
    assert torch.equal(bands(evening=0.0).ways(rows), rows)


def test_a_full_band_gives_no_radial_part() -> None:
    region = bands()
    u = torch.tensor([[1.0, 0.1, 0.1, 0.1, 0.1]])
    rows = torch.ones(1, 1, 5)
    torch.testing.assert_close(region.tangent(rows, u), torch.tensor([[[0.0, 1.0, 1.0, 1.0, 1.0]]]))


def test_codes_begin_quiet_and_fade() -> None:
    region = bands()
    u = region.sample(2000, seeded())
    assert region.rms(u).square().mean(0).sqrt() == pytest.approx([0.2, 0.2], rel=0.05)
    assert torch.equal(region.calm(u), 0.9 * u)
    assert region.pace(torch.arange(4.0)).tolist() == [1, 0.5, 0.25, 0.25]


def test_a_ball_of_a_million_numbers_stores_none() -> None:
    region = Ball.holding(10**6)
    assert region.radius.item() == pytest.approx(math.sqrt(10**6), rel=1e-2)
    assert region.sample(1, seeded()).shape == (1, 10**6)


@pytest.mark.parametrize("options", [{"start": 0.0}, {"start": 2.0}, {"evening": 1.5}])
def test_bad_numbers_are_one_sentence(options: dict[str, float]) -> None:
    with pytest.raises(InvsetError, match="a spectrum needs"):
        spectrum_generator(size=8, **options)


def test_phases_go_round() -> None:
    region = Torus(3, 0.2)
    u = torch.tensor([[3.0, -3.0, 0.5]])
    moved = region.project(u + torch.tensor([[0.5, -0.5, 0.0]]))
    torch.testing.assert_close(moved, torch.tensor([[3.5 - 2 * math.pi, 2 * math.pi - 3.5, 0.5]]))
    torch.testing.assert_close(
        torch.polar(torch.ones(1, 3), region.project(u + 7 * math.pi)),
        torch.polar(torch.ones(1, 3), u + math.pi),
    )
    # between 3 and -3 the shorter way leads over pi
    half = region.mixed(u, -u, 0.5)
    assert half[0, 0].abs().item() == pytest.approx(math.pi, abs=1e-5)
    drawn = region.sample(4000, seeded())
    assert drawn.abs().max() <= math.pi
    assert drawn.std().item() == pytest.approx(math.pi / 3**0.5, rel=0.02)


@pytest.mark.parametrize("make", [spectrum_generator, phase_generator])
def test_plain_codes_begin_where_the_region_does(make: Callable[..., Generator]) -> None:
    made = make(size=16)
    assert made.start is not None
    assert made.prior is not None
    assert torch.equal(made.start(3, seeded(5)), made.prior.sample(3, seeded(5)))

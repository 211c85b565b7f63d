"""``generator=spectrum`` and ``generator=phase``: pictures with the spectrum of photographs, of any
size, without training.

    spectrum   code w -> c = w * amplitude -> inverse FFT -> colours -> image
    phase      code φ -> c = amplitude * exp(iφ) -> inverse FFT -> colours -> image

In `spectrum` the code is the real and imaginary parts of the Fourier coefficients of three
decorrelated colours, in units of their standard deviation over photographs (`Amplitudes`): w ~
N(0, I) gives noise with the power spectrum and the colours of photographs. The natural region is a
ball for each band of frequencies (`Bands`). `phase` is MACO's form (Fel et al. 2023, *Unlocking
feature visualization for deeper networks with magnitude constrained optimization*): amplitudes are
those of photographs, phases alone are free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

import torch
from torch import Tensor, nn

from invset.core.bands import Bands
from invset.core.space import Region
from invset.core.torus import Torus
from invset.errors import InvsetError
from invset.nets.amplitudes import Amplitudes
from invset.nets.fourier import from_halves, half_weights
from invset.nets.generator import Generator
from invset.nets.sides import sides

#: Bands of frequencies in an octave.
BANDS = 3


class Spectral(nn.Module):
    """Fourier coefficients of decorrelated colours to float RGB images, mostly in [0, 1].

    Args:
        amplitudes: of photographs.
        height, width: of the images in pixels.

    Attributes:
        amplitude: root mean square of each coefficient, with shape (3, height, width // 2 + 1).
    """

    amplitude: Tensor
    mean: Tensor
    directions: Tensor

    def __init__(self, amplitudes: Amplitudes, height: int, width: int) -> None:
        super().__init__()
        self.size = (height, width)
        # the transform halves the power of the columns that stand for themselves
        self_standing = half_weights(width) == 1
        found = amplitudes.at(height, width)
        self.register_buffer("amplitude", torch.where(self_standing, found * math.sqrt(2), found))
        self.amplitude[:, 0, 0] = amplitudes.level * math.sqrt(2)  # of it the real part is used
        self.register_buffer("mean", amplitudes.mean.view(3, 1, 1))
        self.register_buffer("directions", amplitudes.directions)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the coefficients of one image."""
        height, width = self.size
        return 3, height, width // 2 + 1

    def images(self, coefficients: Tensor) -> Tensor:
        """Complex coefficients, with shape (N, 3, height, width // 2 + 1), to images."""
        y = from_halves(coefficients, self.size[1], "forward")
        return self.mean + torch.einsum("dc,nchw->ndhw", self.directions, y)


class Spectrum(Spectral):
    """Codes w, with shape (N, code_dim): real and imaginary parts of coefficients in units of their
    deviation, with shape (3, height, width // 2 + 1, 2), flattened.
    """

    @property
    def code_dim(self) -> int:
        return 2 * math.prod(self.shape)

    def forward(self, codes: Tensor) -> Tensor:
        parts = codes.unflatten(1, (*self.shape, 2)).contiguous()
        return self.images(torch.view_as_complex(parts) * (self.amplitude / math.sqrt(2)))

    def codes(self, images: Tensor) -> Tensor:
        """The inverse: codes of images, with shape (N, code_dim)."""
        y = torch.einsum("dc,ndhw->nchw", self.directions, images - self.mean)
        c = torch.fft.rfft2(y, norm="forward") / (self.amplitude / math.sqrt(2))
        return torch.view_as_real(c).flatten(1)

    def bands(self) -> Tensor:
        """Number of each coordinate's band, with shape (code_dim,): frequency 0, then thirds of an
        octave, all colours together.
        """
        height, width = self.size
        short = min(height, width)
        vertical = torch.fft.fftfreq(height) * short
        horizontal = torch.fft.rfftfreq(width) * short
        radius = torch.hypot(vertical[:, None], horizontal[None, :])
        octave = torch.log2(radius.clamp_min(1)) * BANDS
        band = torch.where(radius > 0, octave.floor().long() + 1, 0)
        number = band.unique(return_inverse=True)[1]  # without gaps
        return number.expand(self.shape).unsqueeze(-1).expand(*self.shape, 2).flatten()


class Phase(Spectral):
    """Codes φ, with shape (N, code_dim): phases in radians, with shape (3, height, width // 2 +
    1), flattened.
    """

    @property
    def code_dim(self) -> int:
        return math.prod(self.shape)

    def forward(self, codes: Tensor) -> Tensor:
        phases = codes.unflatten(1, self.shape)
        return self.images(torch.polar(self.amplitude.expand_as(phases), phases))


def spectrum_generator(
    size: int | Sequence[int] = 224,
    amplitudes: str | Path | None = None,
    radius: float = 0.5,
    start: float = 0.2,
    evening: float = 0.4,
    step: float = 0.143,
    fading: float = 0.02,
    slowing: float = 0.06,
    device: str | torch.device = "cpu",
) -> Generator:
    """Images by their Fourier coefficients, as strong as photographs have them at most.

    Args:
        size: side of the images in pixels, or (height, width).
        amplitudes: file of ``invset fit spectrum``; None: those of photographs.
        radius: largest root mean square of a band of frequencies; 1 is that of photographs.
        start: root mean square that codes begin at, in (0, radius].
        evening: how far slopes are evened out over the bands, in [0, 1]; see `Bands`.
        step: the unit of step lengths, root mean square.
        fading: share of itself that a code loses in every step, in [0, 1).
        slowing: share of its length that the longest step loses from step to step, in [0, 1).
        device: where the images are.

    Raises:
        InvsetError: bad numbers, or no such file.
    """
    shares = 0 <= evening <= 1 and 0 <= fading < 1 and 0 <= slowing < 1
    if not 0 < start <= radius or not step > 0 or not shares:
        raise InvsetError(
            "a spectrum needs 0 < start <= radius, step > 0, 0 <= evening <= 1, 0 <= fading < 1 and"
            f" 0 <= slowing < 1, not start={start} radius={radius} step={step} evening={evening}"
            f" fading={fading} slowing={slowing}"
        )
    module = Spectrum(_amplitudes(amplitudes), *sides(size, 2))
    band = module.bands()
    region = Bands(band, band.bincount().float(), radius, start, evening, step, fading, slowing)
    return _generator("spectrum", module, region, device)


def phase_generator(
    size: int | Sequence[int] = 224,
    amplitudes: str | Path | None = None,
    step: float = 0.15,
    device: str | torch.device = "cpu",
) -> Generator:
    """Images by the phases of their Fourier coefficients; amplitudes are those of photographs.

    Args:
        size: side of the images in pixels, or (height, width).
        amplitudes: file of ``invset fit spectrum``; None: those of photographs.
        step: the unit of step lengths, radians.
        device: where the images are.

    Raises:
        InvsetError: bad numbers, or no such file.
    """
    if not step > 0:
        raise InvsetError(f"generator.step must be a number above 0, not {step}")
    module = Phase(_amplitudes(amplitudes), *sides(size, 2))
    region = Torus(module.code_dim, step)
    return _generator("phase", module, region, device)


def _generator(
    name: str, module: Spectrum | Phase, region: Region, device: str | torch.device
) -> Generator:
    """A generator without training, whose codes begin where its region says."""
    return Generator(
        module,
        module.code_dim,
        name=name,
        prior=region,
        start=lambda count, rng: region.sample(count, rng).to(device),
        learnt=False,
        device=device,
    )


def _amplitudes(path: str | Path | None) -> Amplitudes:
    if path is not None:
        return Amplitudes.load(path)
    with as_file(files("invset") / "assets" / "photographs-spectrum.safetensors") as shipped:
        return Amplitudes.load(shipped)

"""``generator=fourier``: the code is the image's Fourier spectrum in decorrelated colours; no
network, no training.

    code -> complex spectrum -> times gain / max(frequency, 1/size)^decay -> inverse FFT -> colours
    -> sigmoid -> image

Photographs have an amplitude that falls as 1/frequency, and channels that rise and fall together.
In these coordinates a gradient step of one length changes low and high frequencies, brightness and
hue as much as photographs vary in them, which gives far less noise than steps on pixels do.

Reference: Olah, Mordvintsev & Schubert 2017, Feature Visualization,
https://distill.pub/2017/feature-visualization; the parametrisation is that of Lucid
(https://github.com/tensorflow/lucid, param/spatial.py and param/color.py), which is where the
colour matrix is from. Other than there, the gain is set so that codes drawn from N(0, I) give
logits of standard deviation 1, hence pixels that spread about as much as a photograph's (0.2),
whatever the size and the decay.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invset.errors import InvsetError
from invset.nets.generator import Generator

#: Square root of the covariance of ImageNet's RGB pixels, columns in order of variance: brightness,
#: blue-yellow, green-magenta.
COLOR_SQRT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class Fourier(nn.Module):
    """Codes, with shape (N, code_dim), to float RGB images in [0, 1], with shape (N, 3, size,
    size).

    A code is the real and imaginary parts of the half of the spectrum that a real image has, with
    shape (3, size, size // 2 + 1, 2), flattened: vertical frequencies in the order of the FFT, then
    horizontal ones from 0 up.

    Args:
        size: side of the image in pixels.
        decay: exponent of 1/frequency by which amplitudes fall; 0 is white noise, 1 is photographs.
    """

    scale: Tensor
    color: Tensor

    def __init__(self, size: int = 32, decay: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.code_dim = 6 * size * (size // 2 + 1)
        vertical = torch.fft.fftfreq(size)
        horizontal = torch.fft.rfftfreq(size)
        frequency = torch.hypot(vertical[:, None], horizontal[None, :])
        scale = frequency.clamp_min(1 / size) ** -decay
        variance = (half_weights(size) * scale**2).sum() / size**2
        self.register_buffer("scale", scale / variance.sqrt())
        color = torch.tensor(COLOR_SQRT)
        self.register_buffer("color", color / color.square().sum(1).mean().sqrt())

    def spatial(self, codes: Tensor) -> Tensor:
        """The inverse FFT, before colour and sigmoid: shape (N, 3, size, size), standard deviation
        1 for codes from N(0, I).
        """
        parts = codes.unflatten(1, (3, self.size, self.size // 2 + 1, 2))
        spectrum = torch.view_as_complex(parts.contiguous()) * self.scale
        return from_halves(spectrum, self.size, "ortho")

    def forward(self, codes: Tensor) -> Tensor:
        return torch.sigmoid(torch.einsum("dc,nchw->ndhw", self.color, self.spatial(codes)))


def half_weights(width: int) -> Tensor:
    """Pixel variance that one complex coefficient of unit deviations gives, by its column, with
    shape (width // 2 + 1,): a column that stands for itself and its mirror image counts twice in
    amplitude, hence 4; columns 0 and width / 2 are their own mirror image.
    """
    weight = torch.full((width // 2 + 1,), 4.0)
    weight[0] = 1
    if width % 2 == 0:
        weight[-1] = 1
    return weight


def from_halves(spectrum: Tensor, width: int, norm: str) -> Tensor:
    """The inverse FFT of half spectra, with shape (…, height, width // 2 + 1), to real images."""
    # two one-dimensional transforms: the two-dimensional one leaves open what a spectrum without
    # the symmetry of a real image gives, and devices differ there
    rows = torch.fft.ifft(spectrum, dim=-2, norm=norm)
    return torch.fft.irfft(rows, n=width, dim=-1, norm=norm)


def fourier_generator(
    size: int = 32, decay: float = 1.0, sd: float = 0.01, device: str | torch.device = "cpu"
) -> Generator:
    """Images by their spectrum; a code begins near grey.

    Args:
        size: side of the image in pixels.
        decay: exponent of 1/frequency by which amplitudes fall.
        sd: standard deviation of the codes to begin at; Lucid's is 0.01, 1 has the contrast of
            photographs.
        device: where the images are.

    Raises:
        InvsetError: `size` is below 2.
    """
    if size < 2:
        raise InvsetError(f"generator.size must be at least 2 pixels, not {size}")
    module = Fourier(size, decay)

    def start(count: int, rng: torch.Generator) -> Tensor:
        return sd * torch.randn(count, module.code_dim, generator=rng, device=rng.device).to(device)

    return Generator(
        module, module.code_dim, name="fourier", start=start, learnt=False, device=device
    )

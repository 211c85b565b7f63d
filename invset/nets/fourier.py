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

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from invset.nets.generator import Generator, normal_start
from invset.nets.sides import sides

#: Square root of the covariance of ImageNet's RGB pixels, columns in order of variance: brightness,
#: blue-yellow, green-magenta.
COLOR_SQRT = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))


class Fourier(nn.Module):
    """Codes, with shape (N, code_dim), to float RGB images in [0, 1], with shape (N, 3, height,
    width).

    A code is the real and imaginary parts of the half of the spectrum that a real image has, with
    shape (3, height, width // 2 + 1, 2), flattened: vertical frequencies in the order of the FFT,
    then horizontal ones from 0 up.

    Args:
        size: side of the image in pixels, or (height, width).
        decay: exponent of 1/frequency by which amplitudes fall; 0 is white noise, 1 is photographs.
    """

    scale: Tensor
    color: Tensor

    def __init__(self, size: int | Sequence[int] = 32, decay: float = 1.0) -> None:
        super().__init__()
        self.size = height, width = sides(size, 2)
        self.code_dim = 6 * height * (width // 2 + 1)
        vertical = torch.fft.fftfreq(height)
        horizontal = torch.fft.rfftfreq(width)
        frequency = torch.hypot(vertical[:, None], horizontal[None, :])
        scale = frequency.clamp_min(1 / max(height, width)) ** -decay
        variance = (half_weights(width) * scale**2).sum() / (height * width)
        self.register_buffer("scale", scale / variance.sqrt())
        color = torch.tensor(COLOR_SQRT)
        self.register_buffer("color", color / color.square().sum(1).mean().sqrt())

    def spatial(self, codes: Tensor) -> Tensor:
        """The inverse FFT, before colour and sigmoid: shape (N, 3, height, width), standard
        deviation 1 for codes from N(0, I).
        """
        height, width = self.size
        parts = codes.unflatten(1, (3, height, width // 2 + 1, 2))
        spectrum = torch.view_as_complex(parts.contiguous()) * self.scale
        return from_halves(spectrum, width, "ortho")

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
    size: int | Sequence[int] = 32,
    decay: float = 1.0,
    sd: float = 0.01,
    device: str | torch.device = "cpu",
) -> Generator:
    """Images by their spectrum; a code begins near grey.

    Args:
        size: side of the image in pixels, or (height, width).
        decay: exponent of 1/frequency by which amplitudes fall.
        sd: standard deviation of the codes to begin at; Lucid's is 0.01, 1 has the contrast of
            photographs.
        device: where the images are.

    Raises:
        InvsetError: a side is below 2.
    """
    module = Fourier(size, decay)

    return Generator(
        module,
        module.code_dim,
        name="fourier",
        start=normal_start(module.code_dim, device, sd),
        learnt=False,
        device=device,
    )

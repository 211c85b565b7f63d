"""The critic of generator training: is this a photograph, and is it the photograph of this code?

A projection discriminator (Miyato & Koyama 2018, arXiv:1802.05637) with spectral normalisation
(Miyato et al. 2018), in the place of DeePSiM's, whose code branch it simplifies: D(x, c) = w · φ(x)
+ (V c) · φ(x).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from invset.core.checks import check_widths


class Discriminator(nn.Module):
    """Images in [0, 1], with shape (N, channels, size, size), to two scores, each with shape (N,).

    Args:
        code_dim: units of the encoder layer.
        widths: channels before each halving of the side, from `size` down to 4 pixels.
        channels: of the images: 3 is RGB, 1 grey.
    """

    def __init__(
        self, code_dim: int, widths: Sequence[int] = (48, 96, 192), channels: int = 3
    ) -> None:
        super().__init__()
        check_widths("discriminator", widths)
        layers: list[nn.Module] = []
        for width in widths:
            layers += [spectral_norm(nn.Conv2d(channels, width, 3, padding=1)), nn.LeakyReLU(0.1)]
            layers += [
                spectral_norm(nn.Conv2d(width, width, 4, stride=2, padding=1)),
                nn.LeakyReLU(0.1),
            ]
            channels = width
        layers += [spectral_norm(nn.Conv2d(channels, channels, 3, padding=1)), nn.LeakyReLU(0.1)]
        self.features = nn.Sequential(*layers)
        self.score = spectral_norm(nn.Linear(channels, 1))
        self.embed = spectral_norm(nn.Linear(code_dim, channels, bias=False))

    def forward(self, images: Tensor, codes: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return (score without the code, score with it); the second is None without `codes` (of
        unit scale).
        """
        phi = self.features(images * 2 - 1).sum((2, 3))
        alone = self.score(phi).squeeze(1)
        if codes is None:
            return alone, None
        return alone, alone + (self.embed(codes) * phi).sum(1)


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator's hinge loss (Lim & Ye 2017): zero when real > 1 and fake < -1."""
    return torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()

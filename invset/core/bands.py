"""The natural region of spectra: each band of frequencies has at most the power of photographs.

Coordinates are Fourier coefficients in units of their standard deviation over photographs, so
photographs have a root mean square of about 1 in every band. One ball for all of them would let a
step spend the power of all bands in the lowest; a ball for each band keeps the spectrum natural.

A picture begins quiet, at a small part of the natural power, and fades a little in every step, so
that what the neuron does not need goes away. Steps go along the slopes evened out over the bands:
as they are they move low frequencies alone, and a picture has form and colour but no detail; with
equal strength in every band it has fine lines but no form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from invset.core.ball import send
from invset.core.coordinates import Coordinates
from invset.core.values import ByValue

#: Steps don't get shorter than this share of the longest.
SLOWEST = 0.25


@dataclass(frozen=True, eq=False)
class Bands(ByValue, Coordinates):
    """Coordinates in bands, each of which has a root mean square of at most `radius`.

    Attributes:
        band: number of each coordinate's band, with shape (dim,), from 0.
        counts: coordinates in each band, with shape (bands,).
        radius: largest root mean square of a band; 1 is the power of photographs.
        start: root mean square that codes begin at.
        evening: exponent in [0, 1] by which the strength of slopes is evened out over bands: 0
            leaves them as they are, 1 gives every band the same strength.
        scale: the unit of step lengths.
        fading: share of itself that a code loses in every step.
        slowing: share of its length that the longest step loses from step to step: first form, then
            detail.
    """

    band: Tensor
    counts: Tensor
    radius: float
    start: float
    evening: float
    scale: float
    fading: float
    slowing: float
    name: ClassVar[str] = "natural"
    plain: ClassVar[bool] = False
    #: A picture that goes on from another one keeps what that one needed.
    walk: ClassVar[float] = 1.0

    @property
    def dim(self) -> int:
        return len(self.band)

    def to(self, device: str | torch.device) -> Bands:
        """The same on another device."""
        return replace(self, band=self.band.to(device), counts=self.counts.to(device))

    def rms(self, u: Tensor) -> Tensor:
        """Root mean square of each band: (…, dim) to (…, bands)."""
        power = u.new_zeros(*u.shape[:-1], len(self.counts))
        power = power.index_add(-1, self.band, u.square())
        return (power / self.counts).sqrt()

    def project(self, u: Tensor) -> Tensor:
        factor = (self.radius / self.rms(u).clamp_min(1e-12)).clamp_max(1)
        return u * factor[..., self.band]

    def tangent(self, rows: Tensor, u: Tensor) -> Tensor:
        """Without their radial part in the bands that are full."""
        full = self.rms(u) > 0.999 * self.radius
        normal = u * full[..., self.band]
        length = normal.new_zeros(len(u), len(self.counts)).index_add(1, self.band, normal**2)
        along = rows.new_zeros(*rows.shape[:2], len(self.counts))
        along = along.index_add(2, self.band, rows * normal.unsqueeze(1))
        share = along / length.clamp_min(1e-30).unsqueeze(1)
        return rows - share[..., self.band] * normal.unsqueeze(1)

    def ways(self, rows: Tensor) -> Tensor:
        """Slopes with the strength of each band to the power of 1 - `evening`."""
        rms = self.rms(rows)
        largest = rms.amax(-1, keepdim=True).clamp_min(1e-30)
        # a band without any slope stays without: it is not lifted out of rounding errors
        strength = (rms / largest).clamp_min(1e-3) ** -self.evening
        return rows * strength[..., self.band]

    def calm(self, u: Tensor) -> Tensor:
        return (1 - self.fading) * u

    def pace(self, age: Tensor) -> Tensor:
        return ((1 - self.slowing) ** age).clamp_min(SLOWEST)

    def sample(self, count: int, rng: torch.Generator) -> Tensor:
        u = self.start * torch.randn(count, self.dim, generator=rng, device=rng.device)
        return self.project(send(u, self.band.device))

    def mixed(self, u: Tensor, fresh: Tensor, share: float) -> Tensor:
        return (1 - share**2) ** 0.5 * u + share * fresh

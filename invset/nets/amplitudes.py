"""Amplitudes of photographs: how strong each frequency is in natural pictures, in decorrelated
colours.

A photograph x in [0, 1] has colours mean + directions · y, with y uncorrelated over all pixels, and
y has Fourier coefficients c = FFT(y) / pixels, of which the root mean square over many photographs
is kept. The edges of a photograph don't meet, which puts strength on the two axes that photographs
don't have inside, and shows as plaid in what is made with it; so photographs are faded out towards
their edges (Hann's window), less their mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from invset.errors import InvsetError
from invset.files.reading import reading
from invset.files.tensors import read_tensors, write_tensors

#: Frequencies above this share of the highest one are not trusted: resizing weakens them.
_TRUSTED = 0.8


@dataclass(frozen=True)
class Amplitudes:
    """Root mean squares of the coefficients of square photographs.

    Attributes:
        mean: colour of the mean pixel, with shape (3,).
        directions: decorrelated colours as columns, orthonormal, with shape (3, 3).
        level: deviation of the mean of each colour over photographs, with shape (3,).
        table: root mean square of the coefficients, with shape (3, size, size // 2 + 1); vertical
            frequencies in the order of the FFT, then horizontal ones from 0 up. The entry of
            frequency 0 is unused.
        decay: exponent of 1/frequency by which amplitudes fall at high frequencies.
    """

    mean: Tensor
    directions: Tensor
    level: Tensor
    table: Tensor
    decay: float

    @classmethod
    def fit(cls, pictures: Tensor) -> Amplitudes:
        """Measure photographs.

        Args:
            pictures: uint8 RGB, with shape (N, 3, size, size).

        Raises:
            InvsetError: fewer than two pictures, equal ones, or a size below 8.
        """
        count, _, size, width = pictures.shape
        if count < 2 or size < 8 or size != width:
            raise InvsetError(
                "amplitudes need at least 2 square pictures of at least 8 pixels a side, not"
                f" {count} of {size}x{width}; type size=224"
            )
        mean, directions = _colours(pictures)
        power = torch.zeros(3, size, size // 2 + 1, dtype=torch.float64)
        levels = []
        for part in pictures.split(64):
            y = torch.einsum("dc,ndhw->nchw", directions, part / 255.0 - mean.view(3, 1, 1))
            levels.append(y.mean((2, 3)))
            c = torch.fft.rfft2(faded(y), norm="forward")
            power += c.abs().double().square().sum(0)
        table = (power / count).sqrt()
        if not (table > 0).any():
            raise InvsetError("amplitudes need pictures that are not all of one colour")
        table = table.clamp_min(table.max() * 1e-7)
        level = torch.cat(levels).square().mean(0).sqrt()
        return cls(mean, directions, level, table.float(), _decay(table[0]))

    @classmethod
    def load(cls, path: str | Path) -> Amplitudes:
        """Read a file written by `save`.

        Raises:
            InvsetError: no such file, or another one.
        """
        stored, about = read_tensors(path, "spectrum", "generator.amplitudes=null")
        if "decay" not in about or set(stored) != {"mean", "directions", "level", "log_table"}:
            raise InvsetError(
                f"{path} holds no spectrum, but {sorted(stored)[:5]}; make one with: invset fit"
                " spectrum"
            )
        with reading(path, "a spectrum", "make it anew with: invset fit spectrum"):
            parts = {name: stored[name].float() for name in ("mean", "directions", "level")}
            table = stored["log_table"].float().exp()
            side = table.shape[1]
            shapes = [(3,), (3, 3), (3,), (3, side, side // 2 + 1)]
            if [tuple(part.shape) for part in (*parts.values(), table)] != shapes or side < 8:
                raise ValueError("its parts do not belong together")
            return cls(**parts, table=table, decay=float(about["decay"]))

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: logarithms in float16, an error below 0.4 %."""
        tensors = {"mean": self.mean, "directions": self.directions, "level": self.level}
        tensors["log_table"] = self.table.log().half()
        write_tensors(path, tensors, {"decay": f"{self.decay:.4f}"})

    def at(self, height: int, width: int) -> Tensor:
        """Amplitudes of pictures of any size and aspect, with shape (3, height, width // 2 + 1).

        A picture is thought of as a photograph whose shorter side is that of the square ones; along
        the longer side it shows more. Beyond the highest frequency that is known, amplitudes go on
        to fall as 1/frequency^decay.
        """
        short = min(height, width)
        vertical = torch.fft.fftfreq(height) * short
        horizontal = torch.fft.rfftfreq(width) * short
        radius = torch.hypot(vertical[:, None], horizontal[None, :])
        # frequencies below 1 exist on the longer side alone: there amplitudes are those of 1
        trusted = _TRUSTED * self.table.shape[1] / 2
        pull = radius.clamp(1, trusted) / radius.clamp_min(1e-6)
        found = self._between(vertical[:, None] * pull, horizontal[None, :] * pull)
        found = found * (radius / trusted).clamp_min(1) ** -self.decay
        found = found * math.sqrt(short * short / (height * width))
        found[:, 0, 0] = self.level
        return found

    def _between(self, vertical: Tensor, horizontal: Tensor) -> Tensor:
        """The table at frequencies between its own, bilinear in logarithms."""
        size = self.table.shape[1]
        log = self.table.log()
        low_v = vertical.floor()
        low_h = horizontal.floor()
        total = torch.zeros(3, *torch.broadcast_shapes(vertical.shape, horizontal.shape))
        weights = torch.zeros_like(total[0])
        for dv in (0, 1):
            for dh in (0, 1):
                v = (low_v + dv).long()
                h = (low_h + dh).long().clamp_max(log.shape[2] - 1)
                weight = (1 - (vertical - low_v - dv).abs()) * (1 - (horizontal - low_h - dh).abs())
                weight = weight * ((v != 0) | (h != 0))  # frequency 0 is unused
                total += weight * log[:, v % size, h]
                weights += weight
        return (total / weights.clamp_min(1e-6)).exp()


def faded(y: Tensor) -> Tensor:
    """Pictures, with shape (…, H, W), less their mean, under a window that keeps their power."""
    height, width = y.shape[-2:]
    window = torch.outer(torch.hann_window(height), torch.hann_window(width))
    mean = (y * window).sum((-2, -1), keepdim=True) / window.sum()
    return (y - mean) * window / window.square().mean().sqrt()


def _colours(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean pixel, and the eigenvectors of the pixels' covariance as columns, the strongest first,
    each with a positive sum.
    """
    total = torch.zeros(3, dtype=torch.float64)
    square = torch.zeros(3, 3, dtype=torch.float64)
    for part in pictures.split(64):
        pixels = part.movedim(1, -1).flatten(0, 2).double() / 255
        total += pixels.sum(0)
        square += pixels.T @ pixels
    count = pictures.numel() / 3
    mean = total / count
    vectors = torch.linalg.eigh(square / count - mean[:, None] * mean)[1].flip(1)
    # the sign of an eigenvector is free; the largest number of each is made positive
    sign = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return mean.float(), (vectors * sign).float()


def _decay(table: Tensor) -> float:
    """Exponent of 1/frequency of the strongest colour, with shape (size, size // 2 + 1), between a
    fifth and the trusted part of the highest frequency.
    """
    size = len(table)
    vertical = torch.fft.fftfreq(size) * size
    radius = torch.hypot(vertical[:, None], torch.arange(table.shape[1])[None, :])
    known = (radius >= size / 10) & (radius <= _TRUSTED * size / 2)
    x = radius[known].double().log()
    y = table.log()[known]
    x = x - x.mean()
    return float(-(x * (y - y.mean())).sum() / x.square().sum())

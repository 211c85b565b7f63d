"""A medium of one's own: sounds, saved as WAV files of 16 bits; which contain a tone of 440 Hz?

invset run --config-dir . network=ear generator=voice neuron=22 z1=0.1 z2=0.2 n=20
"""

from __future__ import annotations

import math
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from invset import InverseSetSampler, InvsetError, Neuron, Problem
from invset.files.medium import File, Medium
from invset.nets.custom import module_generator, module_network
from invset.progress import Progress, quiet

#: Samples of a sound.
LENGTH = 400
#: Samples a second: bands are RATE / LENGTH = 20 Hz apart.
RATE = 8000
#: Bands that the ear hears: 20 to 800 Hz.
BANDS = 40
#: The largest number of 16 bits.
TOP = 32767


class Round16Bit(torch.autograd.Function):
    """The numbers that a WAV file holds, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return (x * TOP).round() / TOP

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


@dataclass(frozen=True)
class Sound(Medium):
    """Sounds: floats in [-1, 1], with shape (N, length), stored as int16.

    Attributes:
        length: samples of a sound.
        rate: samples a second.
    """

    length: int = LENGTH
    rate: int = RATE
    noun: ClassVar[str] = "sound"
    saved: ClassVar[str] = "WAV file"
    rounding: ClassVar[str] = "16 bits"
    legend: ClassVar[str] = "the wave, from left to right"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    def blank(self) -> Tensor:
        return torch.zeros(1, self.length)

    def random(self, count: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
        return 2 * torch.rand(count, *shape, generator=rng, device=rng.device) - 1

    def misfit(self, x: Tensor) -> str | None:
        if x.shape[1:] == self.shape:
            return None
        return f"gives values of shape {tuple(x.shape)}, but a sound is (N, {self.length})"

    def clamp(self, x: Tensor) -> Tensor:
        return x.clamp(-1, 1)

    def round(self, x: Tensor) -> Tensor:
        return Round16Bit.apply(x)

    def store(self, x: Tensor) -> Tensor:
        return (x.detach() * TOP).round().to(torch.int16)

    def restore(self, stored: Tensor) -> Tensor:
        return stored.float() / TOP

    def files(self, stored: Tensor) -> Iterator[File]:
        for number, (sound, picture) in enumerate(
            zip(stored.cpu(), self.pictures(stored), strict=True), start=1
        ):
            yield f"samples/{number:05d}.wav", partial(self._write, sound)
            image = Image.fromarray(picture.permute(1, 2, 0).numpy())
            yield f"samples/{number:05d}.png", image.save

    def _write(self, sound: Tensor, path: Path) -> None:
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, self.rate, 0, "NONE", ""))
            file.writeframes(sound.numpy().astype("<i2").tobytes())

    def read(self, folder: Path) -> Tensor:
        return self.load(folder / "samples")

    def load(
        self, path: str | Path, limit: int | None = None, progress: Progress = quiet
    ) -> Tensor:
        files = sorted(Path(path).glob("*.wav"))
        if not files:
            raise InvsetError(f"no WAV files in {path}; give a folder of them")
        chosen = files if limit is None else files[:: -(-len(files) // limit)]
        return torch.stack([self._read(file) for file in chosen])

    def _read(self, path: Path) -> Tensor:
        with wave.open(str(path), "rb") as file:
            data = np.frombuffer(file.readframes(self.length), "<i2")
        if len(data) < self.length:
            raise InvsetError(f"{path} holds {len(data)} samples; {self.length} are needed")
        return torch.from_numpy(data.copy())

    def pictures(self, stored: Tensor) -> Tensor:
        """A dark column for each few samples, from the lowest to the highest of them."""
        x = self.restore(stored.cpu()).unflatten(1, (-1, 4))
        row = torch.linspace(1, -1, 64)[:, None]
        ink = (row >= x.amin(2)[:, None] - 0.03) & (row <= x.amax(2)[:, None] + 0.03)
        return torch.where(ink, 40, 255).to(torch.uint8)[:, None].repeat(1, 3, 1, 1)


def waves() -> Tensor:
    """Cosines, then sines, of 20, 40, …, 800 Hz, with shape (2 BANDS, LENGTH)."""
    time = torch.arange(LENGTH, dtype=torch.float64) / RATE
    angle = 2 * math.pi * (RATE / LENGTH) * torch.arange(1, BANDS + 1)[:, None] * time
    return torch.cat([angle.cos(), angle.sin()]).float()


class Ear(nn.Module):
    """Sounds, with shape (N, LENGTH), to the amplitude of each band, with shape (N, BANDS)."""

    def __init__(self) -> None:
        super().__init__()
        self.waves = nn.Linear(LENGTH, 2 * BANDS, bias=False)
        self.waves.weight.data = waves() * 2 / LENGTH
        self.amplitude = Amplitude()

    def forward(self, x: Tensor) -> Tensor:
        return self.amplitude(self.waves(x))


class Amplitude(nn.Module):
    """Length of each pair of cosine and sine."""

    def forward(self, x: Tensor) -> Tensor:
        return (x.unflatten(1, (2, BANDS)).square().sum(1) + 1e-12).sqrt()


class Voice(nn.Module):
    """Codes, which are N(0, I), to sounds: a sum of tones, high ones softer, through a tanh."""

    def __init__(self) -> None:
        super().__init__()
        softer = 0.3 / torch.arange(1, BANDS + 1).sqrt().repeat(2)
        self.register_buffer("tones", waves() * softer[:, None])

    def forward(self, codes: Tensor) -> Tensor:
        return (codes @ self.tones).tanh()


if __name__ == "__main__":
    sound = Sound()
    network = module_network(Ear(), medium=sound, encoder="amplitude", name="ear")
    generator = module_generator(Voice(), 2 * BANDS, gaussian=True, medium=sound, name="voice")
    neuron = Neuron("amplitude", 22, range=(0.1, 0.2))
    problem = Problem(network, generator, neurons=[neuron])
    result = InverseSetSampler(k=5, n=20).run(problem, seed=0)
    print(f"{len(result)} samples, {int(result.in_range.sum())} in range: {result.status.sentence}")

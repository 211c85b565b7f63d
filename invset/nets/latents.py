"""Autoencoders of diffusers: a code is a latent as diffusion models have it, about 1 in size.

    latent of the decoder = code * spread + middle

AutoencoderKL says spread and middle in its configuration (1 / scaling_factor and shift_factor, or
latents_std / scaling_factor and latents_mean). AutoencoderTiny takes latents as a diffusion model
has them. AutoencoderRAE brings tokens of DINOv2, SigLIP 2 or MAE to their stored mean and spread by
itself.

Reference: Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models,
https://arxiv.org/abs/2112.10752; Zheng et al. 2025, Diffusion Transformers with Representation
Autoencoders, https://arxiv.org/abs/2510.11690; TAESD, https://github.com/madebyollin/taesd.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from invset.core.context import own_context
from invset.files.image8bit import Image8Bit, of_size
from invset.nets.diffusers_files import had, library, loaded, place
from invset.nets.generator import Generator
from invset.nets.natural import load_prior
from invset.nets.network import Network
from invset.nets.sides import sides

#: Autoencoders with a convolution's latents, and those with the tokens of a vision transformer.
CONVOLUTIONAL = ("AutoencoderTiny", "AutoencoderKL")
REPRESENTATION = ("AutoencoderRAE",)

#: Pictures that are encoded at a time where codes begin.
_FEW = 8


class Latents(nn.Module):
    """Both halves of an autoencoder between pictures in [0, 1] and codes.

    Args:
        part: the autoencoder, of one of the classes above.
    """

    part: Any
    spread: Tensor
    middle: Tensor

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part
        self.kind = type(part).__name__
        spread, middle = _scaling(part.config, self.kind)
        self.register_buffer("spread", spread, persistent=False)
        self.register_buffer("middle", middle, persistent=False)

    def decoded(self, codes: Tensor) -> Tensor:
        """Codes, with shape (N, channels, h, w), to pictures, which may leave [0, 1]."""
        x = self.part.decode(codes * self.spread + self.middle, return_dict=False)[0]
        return x if self.kind in REPRESENTATION else (x + 1) / 2

    def encoded(self, x: Tensor) -> Tensor:
        """Pictures in [0, 1], with shape (N, 3, H, W), to codes; the mean of what is random."""
        if self.kind in REPRESENTATION:
            latents = self.part.encode(x).latent
        elif self.kind == "AutoencoderKL":
            latents = self.part.encode(2 * x - 1).latent_dist.mode()
        else:
            latents = self.part.encode(2 * x - 1).latents
        return (latents - self.middle) / self.spread

    @cached_property
    def step(self) -> int:
        """Pixels of a picture that a code has a place for, along each side."""
        with torch.no_grad():
            return self.decoded(self.spread.new_zeros(1, self.channels, 8, 8)).shape[-1] // 8

    @property
    def channels(self) -> int:
        return int(self.part.config.latent_channels)

    def without_encoder(self) -> Latents:
        """The same without what decoding does not need, for its memory."""
        for name in ("encoder", "quant_conv"):
            if getattr(self.part, name, None) is not None:
                setattr(self.part, name, nn.Identity())
        return self


def _scaling(config: Any, kind: str) -> tuple[Tensor, Tensor]:
    """Spread and middle, with shape () or (channels, 1, 1)."""
    scaling = getattr(config, "scaling_factor", None) or 1.0
    shift = getattr(config, "shift_factor", None) or 0.0
    mean = getattr(config, "latents_mean", None)
    std = getattr(config, "latents_std", None)
    if kind in REPRESENTATION:  # does it itself
        return torch.tensor(1.0), torch.tensor(0.0)
    if mean is None or std is None:
        return torch.tensor(1 / scaling), torch.tensor(float(shift))
    return torch.tensor(std).view(-1, 1, 1) / scaling, torch.tensor(mean).view(-1, 1, 1)


class Decoder(nn.Module):
    """Codes, with shape (N, numbers), to pictures.

    Args:
        latents: the autoencoder.
        shape: of one code as the decoder takes it.
    """

    def __init__(self, latents: Latents, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.latents = latents
        self.shape = shape

    def forward(self, codes: Tensor) -> Tensor:
        return self.latents.decoded(codes.unflatten(1, self.shape))


class Encoder(nn.Module):
    """Pictures in [0, 1] to codes, which its layer ``code`` gives."""

    def __init__(self, latents: Latents) -> None:
        super().__init__()
        self.latents = latents
        self.code = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.code(self.latents.encoded(x))


def autoencoder(weights: str, subfolder: str | None, classes: tuple[str, ...]) -> Latents:
    """An autoencoder by what its configuration says it is.

    Args:
        weights: folder or repository.
        subfolder: of it.
        classes: that are allowed.

    Raises:
        InvsetError: it can't be had, or is of another class.
    """
    weights = place(weights)
    with had(weights, subfolder, classes):
        config = library().AutoencoderKL.load_config(weights, subfolder=subfolder)
    return Latents(loaded(config.get("_class_name"), weights, subfolder, classes))


def latent_shape(latents: Latents, size: Any) -> tuple[int, int, int]:
    """Channels, height and width of the codes of pictures of a size.

    Raises:
        InvsetError: a size that no latents have.
    """
    step = latents.step
    height, width = sides(size, step, step)
    return latents.channels, height // step, width // step


@own_context()
def diffusers_generator(
    weights: str,
    subfolder: str | None = None,
    size: Any = 256,
    prior: str | None = None,
    device: str | torch.device = "cpu",
) -> Generator:
    """The decoder of an AutoencoderTiny or an AutoencoderKL. Without a prior, codes begin as its
    own encodings of random images.

    Args:
        weights: a folder as diffusers saves it, or a repository of huggingface.co.
        subfolder: of it, "vae" in a pipeline's.
        size: side of its pictures in pixels, or (height, width).
        prior: a file of ``invset fit prior network=diffusers_encoder``; None: no natural region.
        device: where the weights go.

    Raises:
        InvsetError: weights that can't be had, or a size or prior that does not fit.
    """
    latents = autoencoder(weights, subfolder, CONVOLUTIONAL)
    return _generator("diffusers", latents, latent_shape(latents, size), sides(size), prior, device)


@own_context()
def rae_generator(
    weights: str,
    subfolder: str | None = None,
    prior: str | None = None,
    device: str | torch.device = "cpu",
) -> Generator:
    """The decoder of an AutoencoderRAE: codes are the patch tokens of a vision transformer, brought
    to mean 0 and spread 1.

    Args:
        weights, subfolder, device: as in `diffusers_generator`.
        prior: a file of ``invset fit prior network=rae_encoder``; None: no natural region.

    Raises:
        InvsetError: weights that can't be had, or a prior that does not fit.
    """
    latents = autoencoder(weights, subfolder, REPRESENTATION)
    side = _picture_side(latents)
    with torch.no_grad():
        shape = tuple(latents.encoded(torch.zeros(1, 3, side, side)).shape[1:])
    return _generator("rae", latents, shape, (side, side), prior, device)


def _picture_side(latents: Latents) -> int:
    return int(latents.part.decoder_image_size)


def _generator(
    name: str,
    latents: Latents,
    shape: tuple[int, ...],
    size: tuple[int, int],
    prior: str | None,
    device: str | torch.device,
) -> Generator:
    code_dim = torch.Size(shape).numel()
    region = load_prior(prior, code_dim)
    start = _encodings(latents.to(device), size) if region is None else None
    decoder = Decoder(latents if start else latents.without_encoder(), shape)
    return Generator(
        decoder, code_dim, name=name, prior=region, start=start, device=device, in_place=True
    )


def _encodings(latents: Latents, size: tuple[int, int]) -> Callable[[int, torch.Generator], Tensor]:
    """Codes of uniformly random images (paper, section 3.4)."""

    @torch.no_grad()
    def start(count: int, rng: torch.Generator) -> Tensor:
        parts = []
        for begin in range(0, count, _FEW):
            few = min(_FEW, count - begin)
            x = torch.rand(few, 3, *size, generator=rng, device=rng.device)
            parts.append(latents.encoded(x.to(latents.spread)).flatten(1))
        return torch.cat(parts)

    return start


@own_context()
def diffusers_encoder(
    weights: str,
    subfolder: str | None = None,
    image_size: Any = None,
    device: str | torch.device = "cpu",
) -> Network:
    """The encoder of an autoencoder, whose layer ``code`` gives the codes of `diffusers_generator`.

    Args:
        weights, subfolder, device: as in `diffusers_generator`.
        image_size: side in pixels, or (height, width), that pictures are read in; None: any.

    Raises:
        InvsetError: weights that can't be had.
    """
    latents = autoencoder(weights, subfolder, CONVOLUTIONAL)
    return _encoder("diffusers_encoder", latents, image_size, device)


@own_context()
def rae_encoder(
    weights: str, subfolder: str | None = None, device: str | torch.device = "cpu"
) -> Network:
    """The same of an AutoencoderRAE, which resizes pictures itself: E of `rae_generator`'s G."""
    latents = autoencoder(weights, subfolder, REPRESENTATION)
    return _encoder("rae_encoder", latents, _picture_side(latents), device)


def _encoder(name: str, latents: Latents, size: Any, device: str | torch.device) -> Network:
    latents.part.decoder = nn.Identity()
    medium = of_size(Image8Bit(), size)
    return Network(
        Encoder(latents),
        name=name,
        medium=medium,
        output="code",
        encoder="code",
        device=device,
        in_place=True,
    )

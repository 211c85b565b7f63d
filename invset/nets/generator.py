"""A generator G: codes to inputs of a network, whatever is inside."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from invset.core.space import Region
from invset.files.image8bit import Image8Bit
from invset.files.medium import Medium


class Generator:
    """A frozen map from codes, with shape (N, code_dim), to inputs of a network, such as float RGB
    images in [0, 1] with shape (N, 3, H, W).

    Args:
        module: the map itself; what leaves it is clamped to the bounds of `medium`, as eq. (1) asks
            of a valid input.
        code_dim: numbers in one code.
        name: what reports call it.
        prior: the natural region of its codes, or None if it has none.
        clip: lowest and highest value of a code's numbers that its makers kept to, or None.
        start: ``start(count, rng) -> codes``, random codes to begin at without a prior; None if
            codes are encodings of images, which then begin as the encodings of random images
            (paper, section 3.4).
        picture: what kind of picture is written to disk, as ``summary.json`` tells; None where
            there is no choice.
        display: codes to pictures in [0, 1] that are written in place of the images, which the
            network goes on to see; None: no such thing, what is written is what the network sees.
        medium: what it makes; only its bounds are asked for.
        learnt: whether it was trained to make natural inputs. One that was not can make noise that
            excites a network and shows nothing, so neurons are robust by default there
            (`invset.problem.views`).
        device: where the weights go.
    """

    def __init__(
        self,
        module: Callable[[Tensor], Tensor],
        code_dim: int,
        *,
        name: str = "generator",
        prior: Region | None = None,
        clip: tuple[float, float] | None = None,
        start: Callable[[int, torch.Generator], Tensor] | None = None,
        picture: str | None = None,
        display: Callable[[Tensor], Tensor] | None = None,
        medium: Medium | None = None,
        learnt: bool = True,
        device: str | torch.device = "cpu",
    ) -> None:
        if isinstance(module, nn.Module):
            module.to(device).eval().requires_grad_(False)
        self.module = module
        self.code_dim = code_dim
        self.name = name
        self.prior = prior.to(device) if prior is not None else None
        self.clip = clip
        self.start = start
        self.picture = picture
        self.display = display
        self.medium: Medium = medium or Image8Bit()
        self.learnt = learnt
        self.device = torch.device(device)

    def __call__(self, codes: Tensor) -> Tensor:
        return self.medium.clamp(self.module(codes))

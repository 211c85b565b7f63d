"""Networks and generators of a user's own, as ``network=custom`` and ``generator=custom`` build
them.

Weights that do not fit, a file that is not there or a name that nobody knows are an `InvsetError`
that says what to type instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.core.space import CodePrior
from invset.errors import InvsetError
from invset.nets.embedded import load_prior
from invset.nets.generator import Generator
from invset.nets.labels import read_labels
from invset.nets.mini import Normalize
from invset.nets.network import Network
from invset.nets.weights import load_state, read_state


class Resize(nn.Module):
    """Images of any size, with shape (N, 3, H, W), to `size` x `size` pixels, bilinear and free of
    aliasing.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-2:] == (self.size, self.size):
            return x
        return F.interpolate(x, (self.size, self.size), mode="bilinear", antialias=True)


def module_network(
    module: nn.Module | Callable[[], nn.Module],
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    labels: Sequence[str] | str | Path | None = None,
    output: str | None = None,
    encoder: str | None = None,
    image_size: int | None = None,
    device: str | torch.device = "cpu",
    **options: Any,
) -> Network:
    """A network of your own.

    Args:
        module: the module, or a function without arguments that makes it.
        weights: its state dict (.pth or .safetensors); None leaves the module as it is.
        mean, std: per RGB channel, of pixels in [0, 1], if the module wants normalised images; None
            leaves them in [0, 1].
        labels: names of the output's units in order, or a text file with one name a line.
        output: the layer whose neurons are meant when none is given; None: what the module returns.
        encoder: the layer that is E when none is given; None: the input of the last linear layer.
        image_size: side in pixels that images are resized to; None leaves them as they are.
        device: where the weights go.
        options: the other arguments of `Network`: name, aliases, prefix_tokens.
    """
    net = module if isinstance(module, nn.Module) else module()
    if not isinstance(net, nn.Module):
        raise InvsetError(
            f"network.module gives {type(net).__name__}, not a torch.nn.Module; return the module"
            " itself"
        )
    if weights is not None:
        load_state(net, read_state(weights), weights)
    if (mean is None) != (std is None):
        raise InvsetError("network.mean and network.std belong together: give both or neither")
    prepend(net, image_size, mean, std, device)
    if isinstance(labels, (str, Path)):
        labels = read_labels(labels)
    options = {
        "name": "custom",
        "labels": labels,
        "output": output,
        "encoder": encoder,
        **options,
    }
    return Network(net, image_size=image_size, device=device, **options)


def prepend(
    module: nn.Module,
    size: int | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    device: Any,
) -> None:
    """Resize and normalise what enters `module`: as a hook, because a wrapper would put a prefix
    before every layer's name.
    """
    steps: list[nn.Module] = [Resize(size)] if size is not None else []
    if mean is not None and std is not None:
        steps.append(Normalize(mean, std))
    if steps:
        before = nn.Sequential(*steps).to(device)
        module.register_forward_pre_hook(lambda _module, inputs: (before(inputs[0]), *inputs[1:]))


class FromRange(nn.Module):
    """A generator whose pixels are in [low, high], as one whose pixels are in [0, 1]."""

    def __init__(self, module: nn.Module, low: float, high: float) -> None:
        super().__init__()
        self.module, self.low, self.high = module, low, high

    def forward(self, codes: Tensor) -> Tensor:
        return (self.module(codes) - self.low) / (self.high - self.low)


def module_generator(
    module: nn.Module | Callable[[], nn.Module],
    code_dim: int,
    weights: str | Path | None = None,
    gaussian: bool = False,
    prior: str | Path | None = None,
    pixel_range: Sequence[float] = (0.0, 1.0),
    device: str | torch.device = "cpu",
    name: str = "custom",
) -> Generator:
    """A generator of your own.

    Args:
        module: codes, with shape (N, code_dim), to images, with shape (N, 3, H, W); or a function
            without arguments that makes it.
        code_dim: numbers in one code.
        weights: its state dict (.pth or .safetensors); None leaves the module as it is.
        gaussian: its codes are N(0, I) by construction, as a GAN's or a flow's: they begin there
            and the natural region is known.
        prior: a file written by ``invset fit prior``; None: by `gaussian`, or none.
        pixel_range: the values that are black and white in its images, (-1, 1) behind a tanh.
        device: where the weights go.
        name: what reports call it.
    """
    net = module if isinstance(module, nn.Module) else module()
    if not isinstance(net, nn.Module):
        raise InvsetError(
            f"generator.module gives {type(net).__name__}, not a torch.nn.Module; return the module"
            " itself"
        )
    if weights is not None:
        load_state(net, read_state(weights), weights)
    low, high = pixel_range
    if (low, high) != (0, 1):
        net = FromRange(net, low, high)
    region = load_prior(prior, code_dim)
    if region is None and gaussian:
        region = CodePrior.gaussian(code_dim)

    def start(count: int, rng: torch.Generator) -> Tensor:
        return torch.randn(count, code_dim, generator=rng, device=rng.device).to(device)

    return Generator(
        net, code_dim, name=name, prior=region, start=start if gaussian else None, device=device
    )

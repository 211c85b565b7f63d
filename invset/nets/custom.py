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
from torch import nn

from invset.core.ball import Ball
from invset.core.context import own_context
from invset.core.space import Region
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit, of_size
from invset.files.medium import Medium
from invset.files.readers import read_weights
from invset.nets.generator import Generator, normal_start
from invset.nets.labels import read_labels
from invset.nets.mini import Normalize
from invset.nets.natural import load_prior
from invset.nets.network import Network
from invset.nets.resize import Resize
from invset.nets.twin import check_plain, twin
from invset.nets.weights import load_state


@own_context()
def module_network(
    module: nn.Module | Callable[[], nn.Module],
    weights: str | Path | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    labels: Sequence[str] | str | Path | None = None,
    output: str | None = None,
    encoder: str | None = None,
    image_size: int | Sequence[int] | None = None,
    channels: int | None = None,
    medium: Medium | None = None,
    device: str | torch.device = "cpu",
    in_place: bool = False,
    **options: Any,
) -> Network:
    """A network of your own.

    Args:
        module: the module, or a function without arguments that makes it.
        weights: its state dict (.pth or .safetensors); None leaves the module as it is.
        mean, std: one a channel, of pixels in [0, 1], or one a column, if the module wants
            normalised inputs; None leaves them as they are.
        labels: names of the output's units in order, or a text file with one name a line.
        output: the layer whose neurons are meant when none is given; None: what the module returns.
        encoder: the layer that is E when none is given; None: the input of the last linear layer.
        image_size: side in pixels, or (height, width), that images are resized to; None leaves
            them as they are.
        channels: of its pictures; None: 3, or what `medium` says.
        medium: what its inputs are; None: pictures.
        device: where the weights go.
        in_place: work with the module itself, which is then frozen and changed; False: with a copy.
        options: the other arguments of `Network`: name, aliases, prefix_tokens.
    """
    net = module() if callable(module) and not isinstance(module, nn.Module) else module
    if not isinstance(net, nn.Module):
        raise InvsetError(
            f"network.module gives {type(net).__name__}, not a torch.nn.Module; return the module"
            " itself"
        )
    check_plain(net, "network.module")
    if not in_place:
        net = twin(net, f"network {options.get('name', 'custom')}", shared=weights is None)
    if weights is not None:
        load_state(net, read_weights(weights), weights)
    if (mean is None) != (std is None):
        raise InvsetError("network.mean and network.std belong together: give both or neither")
    medium = of_size(medium or Image8Bit(3 if channels is None else channels), image_size)
    prepend(net, medium, mean, std, device)
    if isinstance(labels, (str, Path)):
        labels = read_labels(labels)
    options = {
        "name": "custom",
        "labels": labels,
        "output": output,
        "encoder": encoder,
        **options,
    }
    return Network(net, medium=medium, device=device, in_place=True, **options)


def prepend(
    module: nn.Module,
    medium: Medium,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    device: Any,
    interpolation: str = "bilinear",
) -> None:
    """Resize and normalise what enters `module`: as a hook, because a wrapper would put a prefix
    before every layer's name.
    """
    steps: list[nn.Module] = []
    if isinstance(medium, Image8Bit) and medium.size is not None:
        steps.append(Resize(medium, interpolation))
    if mean is not None and std is not None:
        steps.append(_normalize(medium, mean, std))
    if steps:
        before = nn.Sequential(*steps).to(device)
        module.register_forward_pre_hook(lambda _module, inputs: (before(inputs[0]), *inputs[1:]))


def _normalize(medium: Medium, mean: Sequence[float], std: Sequence[float]) -> Normalize:
    pictures = isinstance(medium, Image8Bit)
    wanted = medium.channels if isinstance(medium, Image8Bit) else len(medium.blank()[0])
    if not len(mean) == len(std) == wanted:
        raise InvsetError(
            f"network.mean and network.std hold {len(mean)} and {len(std)} numbers; this network"
            f" needs {wanted}, one a {'channel' if pictures else 'column'}"
        )
    normalize = Normalize(mean, std)
    if not pictures:  # columns are the last axis, and there are no others
        normalize.mean = normalize.mean.flatten()
        normalize.std = normalize.std.flatten()
    return normalize


@own_context()
def module_generator(
    module: nn.Module | Callable[[], nn.Module],
    code_dim: int,
    weights: str | Path | None = None,
    gaussian: bool = False,
    prior: str | Path | None = None,
    pixel_range: Sequence[float] = (0.0, 1.0),
    medium: Medium | None = None,
    device: str | torch.device = "cpu",
    name: str = "custom",
    in_place: bool = False,
) -> Generator:
    """A generator of your own.

    Args:
        module: codes, with shape (N, code_dim), to inputs, such as images with shape (N, channels,
            H, W); or a function without arguments that makes it.
        code_dim: numbers in one code.
        weights: its state dict (.pth or .safetensors); None leaves the module as it is.
        gaussian: its codes are N(0, I) by construction, as a GAN's or a flow's: they begin there
            and the natural region is known.
        prior: a file written by ``invset fit prior``; None: by `gaussian`, or none.
        pixel_range: the values that are black and white in its images, (-1, 1) behind a tanh.
        medium: what it makes; None: pictures.
        device: where the weights go.
        name: what reports call it.
        in_place: work with the module itself, as in `module_network`.
    """
    net = module() if callable(module) and not isinstance(module, nn.Module) else module
    if not isinstance(net, nn.Module):
        raise InvsetError(
            f"generator.module gives {type(net).__name__}, not a torch.nn.Module; return the module"
            " itself"
        )
    if not in_place:
        net = twin(net, f"generator {name}", shared=weights is None)
    if weights is not None:
        load_state(net, read_weights(weights), weights)
    region: Region | None = load_prior(prior, code_dim)
    if region is None and gaussian:
        region = Ball.holding(code_dim)

    return Generator(
        net,
        code_dim,
        name=name,
        prior=region,
        start=normal_start(code_dim, device) if gaussian else None,
        medium=medium,
        pixel_range=pixel_range,
        device=device,
        in_place=True,
    )

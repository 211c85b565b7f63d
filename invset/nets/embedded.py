"""The pairs of network and generator that come with the package, and others of the same make.

Every function takes plain values, as a config file or a command line gives them, and returns a
`Network` or a `Generator`.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from invset.core.context import own_context
from invset.core.space import Region
from invset.errors import InvsetError, did_you_mean
from invset.files.image8bit import Image8Bit
from invset.nets.custom import prepend
from invset.nets.downconv import DownConv
from invset.nets.generator import Generator
from invset.nets.mini import LAYER_ALIASES, MEAN, MiniNet
from invset.nets.natural import load_prior
from invset.nets.network import Network
from invset.nets.upconv import UpConv
from invset.nets.weights import load_trained

#: The weights that come with the package.
ASSETS = Path(__file__).parents[1] / "assets"

#: The pairs of network and generator among them.
EMBEDDED = ("mini", "mini64", "mnist")

#: Pairs whose generator has codes of an autoencoder, which are no layer of the network.
OWN_CODES = ("mnist",)

#: Networks among them that have no generator.
ALONE = ("mnist_judge", "mnist_encoder")

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@own_context()
def mini_network(
    weights: str | Path | None = None, device: str | torch.device = "cpu", name: str = "mini"
) -> Network:
    """CaffeNet in small.

    Args:
        weights: a file written by ``invset train network`` (`weights.save_mini`); None is the
            embedded one.
        device: where the weights go.
        name: the embedded one: "mini" (CIFAR-10, 32 pixels), "mini64" (Tiny ImageNet, 64
            pixels), "mnist" (grey digits, 28 pixels) or "mnist_judge", which judges these.

    Raises:
        InvsetError: no pair of that name, or `weights` can't be read.
    """
    net, arguments = load_trained(MiniNet, "mini", _file(weights, name, "network"))
    labels = arguments.get("labels", CIFAR10 if weights is None else None)
    size = arguments.get("size", 32)
    return Network(
        net,
        name=name,
        medium=_pictures(len(arguments.get("mean", MEAN)), size),
        aliases=LAYER_ALIASES,
        labels=labels,
        output="fc8",
        encoder="fc6",
        device=device,
    )


def _pictures(channels: int, size: int) -> Image8Bit:
    return Image8Bit(channels, (size, size))


@own_context()
def mnist_encoder(
    weights: str | Path | None = None,
    device: str | torch.device = "cpu",
    name: str = "mnist_encoder",
) -> Network:
    """The encoder of the digits' autoencoder: its layer ``code`` gives the codes that
    ``generator=mnist`` takes.

    Args:
        weights: ``encoder.safetensors`` of ``invset train autoencoder``; None is the embedded one.
        device: where the weights go.
        name: what reports call it.
    """
    found = weights or embedded("mnist_encoder", "network")
    net, arguments = load_trained(DownConv, "downconv", found)
    medium = _pictures(arguments["channels"], arguments["size"])
    prepend(net, medium, None, None, device)
    return Network(
        net,
        name=name,
        medium=medium,
        output="code",
        encoder="code",
        device=device,
    )


@own_context()
def mini_generator(
    weights: str | Path | None = None,
    prior: str | Path | None = None,
    device: str | torch.device = "cpu",
    name: str = "mini",
) -> Generator:
    """The generator of `mini_network`'s fc6, or of "mnist" that of an autoencoder's codes, and the
    natural region of its codes. Without a prior, an autoencoder's codes begin as draws of the
    normal distribution that has the mean and the covariance of encoded pictures.

    Args:
        weights: a file written by `weights.save_upconv`; None is the embedded one.
        prior: a file written by ``invset fit prior``; None is the embedded one.
        device: where the weights go.
        name: the embedded pair, as in `mini_network`.

    Raises:
        InvsetError: no pair of that name, or a file can't be read or does not fit.
    """
    made = _upconv(
        name, _file(weights, name, "generator"), prior or embedded(name, "prior"), device
    )
    if name in OWN_CODES and made.prior is not None:
        made.start = partial(_drawn, made.prior)
    return made


def _drawn(region: Region, count: int, rng: torch.Generator) -> torch.Tensor:
    """Codes of the region's normal distribution, far ones, too."""
    drawn = torch.randn(count, region.dim, generator=rng, device=rng.device)
    return region.decode(drawn)


def _file(weights: str | Path | None, name: str, part: str) -> str | Path:
    """The file that is given, or that of the embedded pair."""
    if weights in (*EMBEDDED, *ALONE) and not Path(weights).is_file():
        raise InvsetError(
            f"{weights} comes with the package and is no file of weights; type"
            f" name={str(weights)!r}"
        )
    return weights or embedded(name, part)


def embedded(name: str, part: str) -> Path:
    """A file that comes with the package.

    Args:
        name: "mini", "mini64" or "mnist"; or of "network" alone "mnist_judge", "mnist_encoder".
        part: "network", "generator", "prior" or "reference".

    Raises:
        InvsetError: no such pair, or the installation lacks the file.
    """
    known = (*EMBEDDED, *ALONE) if part == "network" else EMBEDDED
    if name not in known:
        raise InvsetError(
            f"no pair {name!r} comes with the package.{did_you_mean(name, known)} There are"
            f" {', '.join(known)}"
        )
    path = ASSETS / f"{name}-{part}.safetensors"
    if not path.is_file():
        raise InvsetError(
            f"this installation lacks its embedded {part} {path}; install invset again"
        )
    return path


@own_context()
def upconv_generator(
    weights: str | Path, prior: str | Path | None = None, device: str | torch.device = "cpu"
) -> Generator:
    """A generator trained with ``invset train generator``.

    Args:
        weights: a file written by `weights.save_upconv`.
        prior: a file written by ``invset fit prior``; None: the generator has no natural region.
        device: where the weights go.
    """
    return _upconv("upconv", weights, prior, device)


def _upconv(
    name: str, weights: str | Path, prior: str | Path | None, device: str | torch.device
) -> Generator:
    module, _ = load_trained(UpConv, "upconv", weights)
    region = load_prior(prior, module.code_dim)
    return Generator(module, module.code_dim, name=name, prior=region, device=device)

"""``generator=biggan``: BigGAN-deep, pictures of the classes of ImageNet.

    z = truncation · √2 erf⁻¹(erf(√2) erf(c / √2)),   picture = G(z, embedding of the class)

c is N(0, I), and z then has the normal distribution that is cut off at two standard deviations,
which BigGAN draws from: the formula takes each quantile of the one to the same quantile of the
other. The embedding is that of one class; or, with longer codes, mean + L w, where w is
N(0, I) and L Lᵀ the covariance of the embeddings of all classes.

Reference: Brock, Donahue & Simonyan 2019, Large Scale GAN Training for High Fidelity Natural Image
Synthesis, https://arxiv.org/abs/1809.11096. The network is that of pytorch-pretrained-biggan.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invset.core.ball import Ball
from invset.core.components import principal_components
from invset.core.context import own_context
from invset.core.options import Bounds, check_option
from invset.errors import InvsetError, first_lines
from invset.files.readers import read_weights
from invset.files.reading import read_json
from invset.nets.generator import Generator, normal_start
from invset.nets.labels import find_neuron, labels
from invset.nets.state_names import renamed

#: Published models, which the package downloads.
PUBLISHED = ("biggan-deep-128", "biggan-deep-256", "biggan-deep-512")

#: Files of a model in a folder.
CONFIG = "config.json"
WEIGHTS = "pytorch_model.bin"


class OfClass(nn.Module):
    """Codes, with shape (N, numbers), to pictures in [-1, 1].

    Args:
        net: the package's BigGAN.
        truncation: factor of z, in (0, 1]; one of 51 sets of statistics belongs to it.
        index: of the class, from 0; None: the class is a part of the code.
    """

    middle: Tensor
    spread: Tensor

    def __init__(self, net: Any, truncation: float, index: int | None) -> None:
        super().__init__()
        self.net = net
        self.truncation = truncation
        self.noise = net.config.z_dim
        embeddings = net.embeddings.weight.detach().T  # a row a class
        if index is None:
            found = principal_components(embeddings)
            middle, spread = found.mean, (found.directions * found.variance.sqrt()).T
        else:
            middle, spread = embeddings[index], embeddings.new_zeros(0, embeddings.shape[1])
        self.register_buffer("middle", middle.float(), persistent=False)
        self.register_buffer("spread", spread.float(), persistent=False)

    @property
    def code_dim(self) -> int:
        return self.noise + len(self.spread)

    def forward(self, codes: Tensor) -> Tensor:
        z = self.truncation * cut_off(codes[:, : self.noise])
        embedding = self.middle + codes[:, self.noise :] @ self.spread
        return self.net.generator(torch.cat([z, embedding], 1), self.truncation)


def cut_off(c: Tensor) -> Tensor:
    """Numbers that are N(0, 1) to those of the normal distribution between -2 and 2."""
    # at most erf(√2) = 0.954, where erf⁻¹ is still smooth in float32
    return math.sqrt(2) * torch.erfinv(math.erf(math.sqrt(2)) * torch.erf(c / math.sqrt(2)))


@own_context()
def biggan_generator(
    weights: str,
    label: int | str | None = None,
    truncation: float = 0.4,
    share: float = 0.95,
    device: str | torch.device = "cpu",
) -> Generator:
    """BigGAN-deep.

    Args:
        weights: biggan-deep-128, -256 or -512, which are downloaded; or a folder with
            ``config.json`` and ``pytorch_model.bin``.
        label: number from 1, or name, of the class of ImageNet that all pictures are of; None: the
            class is a part of the code.
        truncation: factor of the noise, in (0, 1]; more: pictures differ more and are less natural.
        share: of all codes that the region holds.
        device: where the weights go.

    Raises:
        InvsetError: the package or weights that can't be had, or another class or truncation.
    """
    check_option("generator.truncation", truncation, "float", Bounds(above=0, at_most=1), 0.4)
    net = _net(weights)
    index = None if label is None else _index(label, net.config.num_classes)
    module = OfClass(net, float(truncation), index)
    code_dim = module.code_dim

    return Generator(
        module,
        code_dim,
        name="biggan",
        prior=Ball.holding(code_dim, share),
        start=normal_start(code_dim, device),
        pixel_range=(-1.0, 1.0),
        device=device,
        in_place=True,
    )


def _package() -> Any:
    try:
        import pytorch_pretrained_biggan
    except ImportError as error:
        raise InvsetError(
            f"generator=biggan needs pytorch-pretrained-biggan ({first_lines(error)}); type pip"
            " install 'invset[biggan]'"
        ) from error
    return pytorch_pretrained_biggan


def _net(weights: str) -> Any:
    """The network with its weights, normalised once and for all."""
    package = _package()
    config, state = _files(package, weights)
    net = package.BigGAN(package.BigGANConfig.from_dict(config))
    try:
        # the published files may hold more, which the package passes over, too
        missing = net.load_state_dict(
            renamed(state, net.state_dict(), weights), strict=False
        ).missing_keys
    except RuntimeError as error:
        raise InvsetError(f"the weights in {weights} do not fit: {first_lines(error)}") from error
    if missing:
        raise InvsetError(
            f"{weights} lacks {len(missing)} weights of a BigGAN, for example {missing[0]}; get its"
            f" {WEIGHTS} again"
        )
    for part in net.modules():
        if hasattr(part, "weight_orig"):
            nn.utils.remove_spectral_norm(part)
    return net


def _files(package: Any, weights: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and state of a model.

    Raises:
        InvsetError: no such folder, or a download that failed.
    """
    folder = Path(weights).expanduser()
    if folder.is_dir():
        config, state = folder / CONFIG, folder / WEIGHTS
    elif weights in PUBLISHED:
        addresses = package.model
        try:
            config, state = (
                Path(package.cached_path(held[weights]))
                for held in (
                    addresses.PRETRAINED_CONFIG_ARCHIVE_MAP,
                    addresses.PRETRAINED_MODEL_ARCHIVE_MAP,
                )
            )
        except (OSError, ValueError) as error:
            raise InvsetError(
                f"could not download {weights} ({first_lines(error, 200)}); get"
                f" {addresses.PRETRAINED_MODEL_ARCHIVE_MAP[weights]} and its configuration some"
                f" other way, call them {WEIGHTS} and {CONFIG}, and type"
                " generator.weights=/path/to/their/folder"
            ) from error
    else:
        raise InvsetError(
            f"generator.weights={weights} is no folder; type one with {CONFIG} and {WEIGHTS}, or"
            f" one of {', '.join(PUBLISHED)}"
        )
    return read_json(config, "a configuration", "get the file again"), read_weights(state)


def _index(label: int | str, count: int) -> int:
    """Index from 0 of a class."""
    names = labels("imagenet")
    try:
        return find_neuron(label, count, names if count == len(names) else None, "biggan")
    except InvsetError as error:
        raise InvsetError(
            f"generator.label={label} is not one class; type a number from 1 to {count}, or a name"
            " that invset list labels network=caffenet prints"
        ) from error

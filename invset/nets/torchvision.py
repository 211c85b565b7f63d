"""Any network of torchvision, by its name there."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from invset.core.context import own_context
from invset.errors import InvsetError, did_you_mean
from invset.files.image8bit import Image8Bit
from invset.files.readers import read_weights
from invset.nets.custom import prepend
from invset.nets.libraries import OFFLINE, Pictures, introduce, note_of, pair, same_weights
from invset.nets.network import Network
from invset.nets.state_names import renamed
from invset.nets.weights import load_state

#: Per RGB channel, pixels in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@own_context()
def torchvision_network(
    name: str,
    weights: str | None = "DEFAULT",
    device: str | torch.device = "cpu",
    image_size: int | None = None,
) -> Network:
    """Any network of torchvision, with torchvision's own layer names (``layer4.1.conv2``).

    Its encoder is the input of its last linear layer, ``fc.input`` in a ResNet.

    Args:
        name: as in ``torchvision.models.list_models()``.
        weights: "DEFAULT" or another name of its published weights (downloaded once), a local file
            (.pth, .safetensors), or None: random, the same each time.
        device: where the weights go.
        image_size: side in pixels that images are resized to; None is the side that the published
            weights were made for.
    """
    known = torchvision.models.list_models()
    if name not in known:
        raise InvsetError(
            f"torchvision has no network {name!r}.{did_you_mean(name, known)} All:"
            " torchvision.models.list_models()"
        )
    published = torchvision.models.get_model_weights(name)
    same_weights()
    module = _torchvision_module(name, weights, published)
    preset = published.DEFAULT.transforms()
    size = (
        image_size
        or getattr(module, "image_size", None)
        or (*getattr(preset, "crop_size", []), 224)[0]
    )
    mean = getattr(preset, "mean", IMAGENET_MEAN)
    std = getattr(preset, "std", IMAGENET_STD)
    pictures = Pictures(pair(size), mean, std, "bilinear")
    introduce(f"torchvision {name}", pictures, None, _told(weights, published))
    prepend(module, Image8Bit().sized(size), mean, std, device)
    # others, such as detectors, have labels too, but their outputs are not units
    classifies = name in torchvision.models.list_models(module=torchvision.models)
    labels = published.DEFAULT.meta.get("categories") if classifies else None
    if labels is not None and len(labels) != list(module.parameters())[-1].shape[0]:
        labels = None
    return Network(
        module,
        name=name,
        image_size=size,
        labels=labels,
        device=device,
        note=note_of(name, weights),
    )


def _told(weights: str | None, published: Any) -> str:
    """Where mean, standard deviation and weights come from, in words."""
    if weights is None:
        return "mean and std of the published weights; random weights"
    if weights in published.__members__:
        return f"weights {published[weights]} of pytorch.org"
    return (
        f"weights {weights}, taken to want the mean and std of the published ones; for others type"
        " network=custom, network.mean= and network.std="
    )


def _torchvision_module(name: str, weights: str | None, published: Any) -> nn.Module:
    if weights in published.__members__:
        chosen = published[weights]
        try:
            return torchvision.models.get_model(name, weights=chosen)
        except (OSError, RuntimeError) as error:
            place = Path(torch.hub.get_dir()) / "checkpoints" / chosen.url.rsplit("/", 1)[-1]
            raise InvsetError(
                f"could not download {chosen.url} ({error}). Get that file some other way and put"
                f" it at {place}, or type network.weights=/path/to.pth for a file of your own,"
                f" network.weights=null for random weights; {OFFLINE}"
            ) from error
    options: dict[str, Any] = {}
    if (
        "weights_backbone"
        in inspect.signature(torchvision.models.get_model_builder(name)).parameters
    ):
        options["weights_backbone"] = None  # its default is a download
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # its default takes a minute and warns about that
    module = torchvision.models.get_model(name, weights=None, **options)
    if weights is None:
        return module
    if not Path(weights).expanduser().is_file():
        raise InvsetError(
            f"network.weights={weights} is no file; {name} also takes null (random),"
            f" {', '.join(published.__members__)}"
        )
    state = renamed(read_weights(weights), module.state_dict(), weights)
    # fine-tuned weights often have other classes: what the file's last tensor says, the network has
    # to follow
    last, tensor = list(module.named_parameters())[-1]
    if last in state and state[last].shape[:1] != tensor.shape[:1]:
        module = torchvision.models.get_model(
            name, weights=None, num_classes=len(state[last]), **options
        )
    return load_state(module, state, weights)

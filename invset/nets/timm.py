"""Any network of timm, by its name there: vision transformers, ConvNeXts, DINOv2 and DINOv3, …"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from invset.core.context import own_context
from invset.errors import InvsetError, did_you_mean
from invset.files.image8bit import Image8Bit
from invset.files.readers import read_weights
from invset.nets.custom import prepend
from invset.nets.labels import labels as names_of
from invset.nets.libraries import (
    OFFLINE,
    Pictures,
    building,
    ends_in_linear,
    interpolation_of,
    introduce,
    library,
    note_of,
    pair,
    same_weights,
)
from invset.nets.network import Network
from invset.nets.tokens import Tokens

#: What names of networks on a hub or in a folder begin with.
_ELSEWHERE = ("hf-hub:", "hf_hub:", "local-dir:")

_REMEDY = (
    "get the weights some other way and type network.weights=/path/to.safetensors, or"
    f" network.weights=null for random weights; {OFFLINE}"
)


@own_context()
def timm_network(
    name: str,
    weights: str | None = "DEFAULT",
    device: str | torch.device = "cpu",
    image_size: int | Sequence[int] | None = None,
) -> Network:
    """Any network of timm, with timm's own layer names (``blocks.5.mlp.act``).

    Its encoder is the input of its classifier, or its pooled features where it has none.

    Args:
        name: as in ``timm.list_models()``, with a tag or without; ``hf-hub:owner/name`` or
            ``local-dir:folder``.
        weights: "DEFAULT": its published weights, downloaded once; a tag of these; a local file
            (.safetensors, .pth); ``hf-hub:owner/name``; None: random.
        device: where the weights go.
        image_size: side in pixels, or (height, width), that pictures are resized to; None: what the
            published weights were made for. Position embeddings are resized, too.

    Raises:
        InvsetError: timm is not installed, it has no such network, or the weights can't be had.
    """
    timm: Any = library("timm", "network=timm", "timm")
    name = _name(timm, name, weights)
    module: Any = _module(timm, name, weights, image_size)
    config: dict[str, Any] = module.pretrained_cfg
    pictures = Pictures(
        pair(image_size or config["input_size"][1:]),
        config["mean"],
        config["std"],
        interpolation_of(config["interpolation"]),
    )
    tokens = _tokens(module)
    introduce(f"timm {name}", pictures, tokens, _told(config, weights))
    medium = Image8Bit(config["input_size"][0]).sized(pictures.size)
    prepend(module, medium, pictures.mean, pictures.std, device, pictures.interpolation)
    return Network(
        module,
        name=name,
        medium=medium,
        labels=_labels(timm, module),
        encoder=None if ends_in_linear(module.get_classifier()) else "output",
        prefix_tokens=tokens,
        device=device,
        in_place=True,
        note=note_of(name, weights),
    )


def _name(timm: Any, name: str, weights: str | None) -> str:
    """The name with the tag of the weights."""
    if name.startswith(_ELSEWHERE):
        return name
    plain, _, tag = name.partition(".")
    if not timm.is_model(plain):
        known = timm.list_models()
        raise InvsetError(
            f"timm has no network {name!r}.{did_you_mean(name, known)} All: timm.list_models()"
        )
    tags = timm.list_pretrained(f"{plain}.*")
    if tag:
        if name not in tags:
            raise InvsetError(f"timm has no weights {name!r}.{did_you_mean(name, tags)}")
        return name
    if weights is not None and f"{plain}.{weights}" in tags:
        return f"{plain}.{weights}"
    return plain


def _module(
    timm: Any, name: str, weights: str | None, image_size: int | Sequence[int] | None
) -> nn.Module:
    options: dict[str, Any] = {"pretrained": weights is not None}
    remedy = _REMEDY
    own = weights not in (None, "DEFAULT") and not name.endswith(f".{weights}")
    if own:
        options.update(_own_weights(timm, name, str(weights)))
        remedy = f"{weights} may be of another network, not whole, or not to be had"
    if image_size is not None and _takes_size(timm, name):
        options["img_size"] = pair(image_size)
    same_weights()
    with building(f"timm's {name}", remedy):
        return timm.create_model(name, **options)


def _takes_size(timm: Any, name: str) -> bool:
    """Whether a network is made for one size of pictures: others take any."""
    if name.startswith(_ELSEWHERE):
        return True
    return bool(timm.get_pretrained_cfg(name).fixed_input_size)


def _own_weights(timm: Any, name: str, weights: str) -> dict[str, Any]:
    """Options of a network with the weights of a file, or of the hub."""
    if weights.startswith("hf-hub:"):
        where = {"source": "hf-hub", "hf_hub_id": weights.removeprefix("hf-hub:")}
        return {"pretrained_cfg_overlay": {**where, "custom_load": False}}
    if not Path(weights).expanduser().is_file():
        tags = [one.partition(".")[2] for one in timm.list_pretrained(f"{name.split('.')[0]}.*")]
        listed = ", ".join(tags) or "it has no published weights"
        raise InvsetError(
            f"network.weights={weights} is no file; {name} also takes null (random), DEFAULT, or"
            f" one of its tags: {listed}"
        )
    state = read_weights(weights)
    # timm fits names and sizes of what it published itself, also of a network's own format
    options: dict[str, Any] = {"pretrained_cfg_overlay": {"state_dict": dict(state)}}
    if not name.startswith(_ELSEWHERE):
        classifier = timm.get_pretrained_cfg_value(name, "classifier")
        head = state.get(f"{classifier}.weight") if isinstance(classifier, str) else None
        if head is not None:  # fine-tuned weights often have other classes
            options["num_classes"] = len(head)
            options["pretrained_cfg_overlay"]["num_classes"] = len(head)
    return options


def _tokens(module: Any) -> Tokens | None:
    """What the network says of its tokens; None: it has none, or does not say."""
    before = getattr(module, "num_prefix_tokens", None)
    if before is None:
        return None
    registers = int(getattr(module, "num_reg_tokens", 0) or 0)
    has_class = getattr(module, "cls_token", None) is not None
    first = ["cls"] if has_class else []
    others = [""] * (before - len(first) - registers)
    names = [*first, *others, *(f"register{i}" for i in range(1, registers + 1))]
    grid = getattr(getattr(module, "patch_embed", None), "grid_size", None)
    return Tokens.named(names, None if grid is None else pair(grid))


def _told(config: dict[str, Any], weights: str | None) -> str:
    """Where the weights come from, in words."""
    if weights is None:
        return "random weights"
    licence = config.get("license") or "not stated"
    if weights == "DEFAULT" or weights == config.get("tag"):
        source = config.get("hf_hub_id") or config.get("url") or "timm"
        return f"weights {source}, licence {licence}"
    return f"weights {weights}"  # of a person's own, whose licence is theirs to know


def _labels(timm: Any, module: Any) -> list[str] | None:
    """Names of the classes of ImageNet; None for other classes, or none."""
    if module.num_classes == 1000:
        return names_of("imagenet")
    if not module.num_classes:
        return None
    subset = timm.data.infer_imagenet_subset(module)
    if subset is None:
        return None
    info = timm.data.ImageNetInfo(subset)
    if info.num_classes() != module.num_classes:
        return None
    return [info.index_to_description(i) for i in range(module.num_classes)]

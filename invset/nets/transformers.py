"""The vision tower of any network of transformers: ViT, DINOv2, DINOv3, CLIP, SigLIP, …

Networks of pictures and words give the embedding that both share, and read words, too.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.core.context import own_context
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.files.readers import read_weights
from invset.nets.custom import prepend
from invset.nets.labels import labels as names_of
from invset.nets.libraries import (
    Pictures,
    building,
    interpolation_of,
    introduce,
    library,
    note_of,
    pair,
    same_weights,
)
from invset.nets.network import Network
from invset.nets.tokens import Tokens
from invset.nets.transformers_files import processor, text_of, told
from invset.nets.weights import load_state

_REMEDY = (
    "type the name of a network on the hub, such as facebook/dinov2-small, a folder of"
    " save_pretrained, or a kind, such as dinov2, with network.weights=null for random weights"
)

#: Options of a configuration.
Options = Mapping[str, Any]

#: What embeds the places of patches in networks of tokens.
_POSITIONS = ("position_embeddings", "position_embedding", "rope_embeddings")


class VisionTower(nn.Module):
    """The part of a network of pictures and words that sees pictures: these to embeddings, with
    shape (N, units).

    Args:
        whole: a CLIPModel, a SiglipModel, or another with a `vision_model`.
    """

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.vision_model = whole.vision_model
        if hasattr(whole, "visual_projection"):
            self.visual_projection = whole.visual_projection

    def forward(self, pixel_values: Tensor, **options: Any) -> Tensor:
        found = self.vision_model(pixel_values=pixel_values, **options).pooler_output
        return self.visual_projection(found) if hasattr(self, "visual_projection") else found


@own_context()
def transformers_network(
    name: str,
    weights: str | None = "DEFAULT",
    device: str | torch.device = "cpu",
    image_size: int | Sequence[int] | None = None,
    config: Options | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    normalized: bool = False,
) -> Network:
    """Any vision network of transformers, with its own layer names
    (``encoder.layer.5.mlp``).

    What it gives are logits where its weights have classes, the projected embedding where it has
    words, else its pooled features.

    Args:
        name: on the Hugging Face hub, or a folder of ``save_pretrained``; or a kind, such as
            ``dinov2``, for random weights.
        weights: "DEFAULT": those of `name`, downloaded once; a local file (.safetensors, .bin) for
            the same layers; another name on the hub, or folder, with such weights; None: random.
        device: where the weights go.
        image_size: side in pixels, or (height, width), that pictures are resized to; None: what it
            was made for. Position embeddings are resized where the network can.
        config: options of its configuration, such as ``{"num_hidden_layers": 2}``.
        mean, std: one a channel, of pixels in [0, 1]; None: what its image processor says.
        normalized: whether embeddings have length 1, so that the inner product with that of words
            is the cosine.

    Raises:
        InvsetError: transformers is not installed, there is no such network, or the weights can't
            be had.
    """
    library("transformers", "network=transformers", "transformers")
    same_weights()
    with building(f"transformers' {name}", _REMEDY):
        whole, held = _whole(name, weights, dict(config or {}))
    dual = hasattr(held, "vision_config")
    own = held.vision_config if dual else held
    pictures = _pictures(name, own, held.model_type, image_size, mean, std, weights)
    module = VisionTower(whole) if dual else whole
    tokens = _tokens(module, own, pictures.size)
    introduce(f"transformers {name}", pictures, tokens, told(name, weights))
    medium = Image8Bit(getattr(own, "num_channels", 3)).sized(pictures.size)
    prepend(module, medium, pictures.mean, pictures.std, device, pictures.interpolation)
    _let_sizes(module, own, pictures.size)
    module.register_forward_hook(lambda _module, _inputs, found: _tensor(found, normalized))
    labels = _labels(held) if _has_classes(whole) else None
    projected = dual and hasattr(whole, "visual_projection") and not normalized
    return Network(
        module,
        name=name.rstrip("/").split("/")[-1],
        medium=medium,
        labels=labels,
        encoder=None if labels or projected else "output",
        prefix_tokens=tokens,
        device=device,
        in_place=True,
        text=text_of(name, whole, held, device) if dual else None,
        note=note_of(name, weights),
    )


def _whole(name: str, weights: str | None, config: dict[str, Any]) -> tuple[Any, Any]:
    """The network as the library has it, and its configuration."""
    import transformers as library_

    folder = Path(name).expanduser()
    if name in library_.CONFIG_MAPPING and not folder.is_dir():
        if weights == "DEFAULT":
            raise InvsetError(
                f"{name} is a kind of network, which has no weights of its own; {_REMEDY}"
            )
        held = library_.AutoConfig.for_model(name, **config)
    else:
        source = str(folder) if folder.is_dir() else name
        held = library_.AutoConfig.from_pretrained(source, **config)
    classes = any("ForImageClassification" in one for one in (held.architectures or ()))
    kind = library_.AutoModelForImageClassification if classes else library_.AutoModel
    if weights == "DEFAULT":
        return kind.from_pretrained(source, config=held, dtype=torch.float32), held
    if weights is not None and not Path(weights).expanduser().is_file():
        return kind.from_pretrained(weights, config=held, dtype=torch.float32), held
    whole = kind.from_config(held)
    if weights is not None:
        load_state(whole, read_weights(weights), weights)
    return whole, held


def _pictures(
    name: str,
    own: Any,
    kind: str,
    image_size: int | Sequence[int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    weights: str | None,
) -> Pictures:
    """What the image processor says, and what was typed in its place."""
    if (mean is None) != (std is None):
        raise InvsetError("network.mean and network.std belong together: give both or neither")
    said = processor(name, kind, weights)
    if mean is None and "image_mean" not in said:
        raise InvsetError(
            f"{name} has no preprocessor_config.json, which says how its pictures are normalised;"
            " type for example 'network.mean=[0.5,0.5,0.5]' 'network.std=[0.5,0.5,0.5]'"
        )
    made_for = said.get("crop_size") or said.get("size")
    made_for = made_for if isinstance(made_for, Mapping) else {}
    said_size = (made_for["height"], made_for["width"]) if "height" in made_for else None
    size = image_size or said_size or getattr(own, "image_size", None) or 224
    return Pictures(
        pair(size),
        mean or said["image_mean"],
        std or said["image_std"],
        interpolation_of(said.get("resample", 3)),
    )


def _tokens(module: nn.Module, own: Any, size: tuple[int, int]) -> Tokens | None:
    """What the network says of its tokens; None: it has none, or does not say."""
    patch = getattr(own, "patch_size", None)
    if not isinstance(patch, (int, tuple, list)):
        return None
    height, width = pair(patch)
    names: list[str] = []
    if not any(hasattr(part, one) for part in module.modules() for one in _POSITIONS):
        return None
    for part in module.modules():
        held = part._parameters
        if held.get("cls_token") is not None or held.get("class_embedding") is not None:
            names.append("cls")
        if held.get("distillation_token") is not None:
            names.append("")
        if (registers := held.get("register_tokens")) is not None:
            names += [f"register{i}" for i in range(1, registers.shape[1] + 1)]
        if names:
            break
    return Tokens.named(names, (size[0] // height, size[1] // width))


def _let_sizes(module: nn.Module, own: Any, size: tuple[int, int]) -> None:
    """Let a network see pictures of another size than it was made for."""
    if pair(getattr(own, "image_size", None) or size) == size:
        return
    part = module.vision_model if isinstance(module, VisionTower) else module
    if "interpolate_pos_encoding" in inspect.signature(part.forward).parameters:  # type: ignore[union-attr]
        module.register_forward_pre_hook(
            lambda _module, given, named: (given, {**named, "interpolate_pos_encoding": True}),
            with_kwargs=True,
        )


def _tensor(found: Any, normalized: bool) -> Tensor:
    """The tensor that a network is asked for, out of what it returns."""
    if not isinstance(found, Tensor):
        for key in ("logits", "image_embeds", "pooler_output", "last_hidden_state"):
            held = getattr(found, key, None)
            if held is not None:
                found = held
                break
    found = found.flatten(2).mean(2) if found.ndim == 4 else found
    return F.normalize(found, dim=-1) if normalized else found


def _has_classes(whole: Any) -> bool:
    return type(whole).__name__.endswith("ForImageClassification")


def _labels(held: Any) -> list[str] | None:
    """Names of the classes; those of ImageNet as everywhere."""
    names = [str(held.id2label[i]) for i in sorted(held.id2label)]
    known = names_of("imagenet")
    alike = len(names) == len(known) and names[0].split(",")[0] == known[0].split(",")[0]
    return known if alike else names

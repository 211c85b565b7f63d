"""Any network of open_clip: pictures to the embedding that they share with words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset.core.context import own_context
from invset.errors import InvsetError, did_you_mean
from invset.files.image8bit import Image8Bit
from invset.nets.custom import prepend
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

#: What names of networks on a hub or in a folder begin with; their weights are there, too.
_ELSEWHERE = ("hf-hub:", "local-dir:")


@own_context()
def open_clip_network(
    name: str,
    weights: str | None = "DEFAULT",
    device: str | torch.device = "cpu",
    image_size: int | Sequence[int] | None = None,
    normalized: bool = False,
) -> Network:
    """Any network of open_clip: its tower of pictures, with open_clip's own layer names
    (``transformer.resblocks.5.mlp.gelu``), and its words as directions of the output.

    Args:
        name: as in ``open_clip.list_models()``; ``hf-hub:owner/name`` or ``local-dir:folder``; or a
            configuration of its form (.json).
        weights: "DEFAULT": the first of its published weights, downloaded once; the tag of others;
            a local file; None: random.
        device: where the weights go.
        image_size: side in pixels, or (height, width), that pictures are resized to; None: what the
            weights were made for. Position embeddings are resized, too.
        normalized: whether embeddings have length 1, so that the inner product with that of words
            is the cosine.

    Raises:
        InvsetError: open_clip is not installed, it has no such network, or the weights can't be
            had.
    """
    open_clip = library("open_clip", "network=open_clip", "open_clip")
    name = _name(open_clip, name)
    tag = _tag(open_clip, name, weights)
    options: dict[str, Any] = {}
    if image_size is not None:
        options["force_image_size"] = pair(image_size)
    remedy = (
        "get the weights some other way and type network.weights=/path/to/them, or"
        " network.weights=null for random weights"
    )
    same_weights()
    with building(f"open_clip's {name}", remedy):
        whole = open_clip.create_model(
            name,
            pretrained=None if name.startswith(_ELSEWHERE) else tag,
            load_weights=weights is not None,
            **options,
        ).eval()
    said = open_clip.get_model_preprocess_cfg(whole)
    pictures = Pictures(
        pair(said["size"]), said["mean"], said["std"], interpolation_of(said["interpolation"])
    )
    module = whole.visual
    tokens = _tokens(module)
    introduce(f"open_clip {name}", pictures, tokens, _told(name, tag, weights))
    medium = Image8Bit().sized(pictures.size)
    prepend(module, medium, pictures.mean, pictures.std, device, pictures.interpolation)
    module.register_forward_hook(lambda _module, _inputs, found: _tensor(found, normalized))
    return Network(
        module,
        name=name.split("/")[-1],
        medium=medium,
        encoder="output",
        prefix_tokens=tokens,
        device=device,
        in_place=True,
        text=_text(open_clip, name, whole, device),
        note=note_of(name, weights),
    )


def _name(open_clip: Any, name: str) -> str:
    """The name of a network that the library knows, or gets to know by a file."""
    if name.startswith(_ELSEWHERE):
        return name
    path = Path(name).expanduser()
    if path.suffix == ".json":
        if not path.is_file():
            raise InvsetError(f"there is no configuration {path}; type the name of a network")
        open_clip.add_model_config(path)
        return path.stem
    known = open_clip.list_models()
    if name not in known:
        raise InvsetError(
            f"open_clip has no network {name!r}.{did_you_mean(name, known)} All:"
            " open_clip.list_models()"
        )
    return name


def _tag(open_clip: Any, name: str, weights: str | None) -> str | None:
    """The weights as the library names them: a tag or a file."""
    if weights is None:
        return None
    if name.startswith(_ELSEWHERE):
        if weights != "DEFAULT":
            raise InvsetError(
                f"{name} brings its weights along; leave network.weights={weights} out, or type"
                " network.weights=null for random weights"
            )
        return "DEFAULT"
    tags = open_clip.list_pretrained_tags_by_model(name)
    if weights == "DEFAULT":
        if not tags:
            raise InvsetError(
                f"open_clip has no published weights of {name}; type network.weights=/path/to/them"
                " or network.weights=null for random weights"
            )
        return tags[0]
    if weights in tags:
        return weights
    path = Path(weights).expanduser()
    if not path.is_file():
        raise InvsetError(
            f"network.weights={weights} is no file and no tag; {name} has DEFAULT,"
            f" {', '.join(tags) or 'no tags'}, or null (random)"
        )
    return str(path)


def _tokens(module: Any) -> Tokens | None:
    """What the tower says of its tokens; None: it has none, or does not say."""
    trunk = getattr(module, "trunk", None)  # of timm
    if trunk is not None:
        before = getattr(trunk, "num_prefix_tokens", None)
        grid = getattr(getattr(trunk, "patch_embed", None), "grid_size", None)
        if before is None or grid is None:
            return None
        has_class = getattr(trunk, "cls_token", None) is not None
        registers = [f"register{i}" for i in range(1, before - has_class + 1)]
        return Tokens.named([*["cls"][:has_class], *registers], pair(grid))
    grid = getattr(module, "grid_size", None)
    if grid is None or not hasattr(module, "class_embedding"):
        return None
    return Tokens.named(["cls"], pair(grid))


def _tensor(found: Any, normalized: bool) -> Tensor:
    """The embedding: some towers give their tokens beside it."""
    found = found if isinstance(found, Tensor) else found[0]
    return F.normalize(found, dim=-1) if normalized else found


def _told(name: str, tag: str | None, weights: str | None) -> str:
    """Where the weights come from, in words: open_clip states no licence."""
    if weights is None:
        return "random weights"
    where = name if name.startswith(_ELSEWHERE) else tag
    return f"weights {where}, licence: see the card of its weights (open_clip does not state it)"


def _text(open_clip: Any, name: str, whole: nn.Module, device: Any) -> Callable[[str], Tensor]:
    """Words to the direction of their embedding, of length 1."""

    def direction(words: str) -> Tensor:
        with building(f"the tokens of {name}", "its tokenizer has to be here"):
            ids = open_clip.get_tokenizer(name)([words])
        encode: Any = whole.encode_text
        part: Any = next((p for n, p in whole.named_parameters() if not n.startswith("visual.")))
        with torch.no_grad():
            found = encode(ids.to(part.device), normalize=False)[0]
        return F.normalize(found.float(), dim=0).to(device)

    return direction

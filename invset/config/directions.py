"""Neurons that are no units: directions of a file or of words, and features of a sparse
autoencoder.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from invset.core.sparse_feature import SparseFeature
from invset.errors import InvsetError, did_you_mean
from invset.files.sae import read_sae, sae_file
from invset.files.tensors import read_safetensors
from invset.nets.network import Network

log = logging.getLogger(__name__)

#: What a direction of words begins with.
TEXT = "text:"

#: A tensor's name with a row behind it, W_enc[7], or a column, W_enc[:,7].
_PART = re.compile(r"(?P<name>.+?)\[\s*(?P<column>:\s*,)?\s*(?P<index>\d+)\s*\]")

#: How a direction's file is typed.
_HINT = "give a safetensors file with one vector, file.safetensors:name or file.safetensors:name[7]"


def given_parts(
    one: Any, network: Network, layer: str
) -> tuple[Tensor | None, float, SparseFeature | None, str | None]:
    """Direction, bias, feature and name of a neuron that was typed; None where it has none.

    Args:
        one: ``configs/run.yaml``, or one of its ``neurons``.
        network: where the neuron lives.
        layer: its layer.

    Raises:
        InvsetError: options that do not go together, no such file, tensor or feature, or a network
            that reads no words.
    """
    if one.get("sae") is not None:
        feature, name = _feature(one)
        return None, 0.0, feature, name
    for key in ("feature", "top_k"):
        if one.get(key) is not None:
            raise InvsetError(f"{key}={one[key]} needs the file: sae=FILE feature=7")
    given = one.get("direction")
    if given is None:
        if one.get("bias") is not None:
            raise InvsetError("bias= belongs to a direction: type direction=, or leave bias= out")
        return None, 0.0, None, None
    given = str(given)
    if given.startswith(TEXT):
        words = given.removeprefix(TEXT).strip()
        return _of_words(words, network, layer), load_bias(one.get("bias")), None, f'"{words}"'
    file, _, name = given.partition(".safetensors:")
    called = Path(given).stem if not name else f"{Path(file).name}:{name}"
    # a blank picture, which tells the units, is taken where they are needed
    units = network.units(layer) if given.endswith("]") else None
    direction = load_direction(given, units)
    return direction, load_bias(one.get("bias")), None, called


def _feature(one: Any) -> tuple[SparseFeature, str]:
    """A feature of a sparse autoencoder, and what reports call it."""
    path = str(one["sae"])
    for key in ("neuron", "direction", "bias"):
        if one.get(key) is not None:
            raise InvsetError(
                f"sae= and {key}= are two neurons; leave one of them out (a feature of the"
                " autoencoder is feature=7)"
            )
    number = one.get("feature")
    if number is None:
        raise InvsetError(
            f"which feature of {path}? type feature=7, counted from 0; invset probe with the same"
            " words and no feature= tells which of them are on"
        )
    if one.get("layer") is None:
        raise InvsetError(
            f"sae={path} needs the layer that it was trained on: type layer=NAME; invset list"
            " layers shows the names"
        )
    file = sae_file(path)
    encoder = read_sae(file, one.get("top_k"))
    log.info(
        "%s: %s; %d features, from 0, of %d units. f is the feature's activation where it is on;"
        " below 0, f is what enters its nonlinearity, and the feature is off.",
        file,
        encoder.about,
        encoder.features,
        encoder.units,
    )
    # with the folder: the files of many autoencoders are called alike
    return encoder.feature(number), f"feature {number} of {'/'.join(file.parts[-2:])}"


def _of_words(words: str, network: Network, layer: str) -> Tensor:
    if network.text is None:
        raise InvsetError(
            f"network {network.name} reads no words; direction=text:… is for networks of pictures"
            " and words, such as CLIP (network=open_clip, network=transformers)"
        )
    if layer != network.output:
        raise InvsetError(
            f"words are directions of {network.output}, the embedding that pictures and words"
            f" share, not of layer {layer}: leave layer= out"
        )
    if not words:
        raise InvsetError('which words? type "direction=text:a photo of a dog"')
    return network.text(words).detach()


def load_direction(path: str, units: int | None = None) -> Tensor:
    """A vector over a layer's units from a safetensors file: ``file.safetensors`` (one tensor in
    it), ``file.safetensors:name``, or a row or column of a matrix, ``file.safetensors:name[7]``,
    from 0.

    Args:
        path: as above.
        units: of the layer, which tell a row from a column; ``name[:,7]`` is a column in any case.

    Raises:
        InvsetError: no such file, tensor, row or column.
    """
    tensor, name, part = _tensor(path, "direction")
    if part is None:
        return tensor
    index, column = part
    if tensor.ndim != 2:
        raise InvsetError(f"{name} in {path} has shape {tuple(tensor.shape)}, no rows and columns")
    rows, columns = tensor.shape
    # a row, but where only columns are as long as the layer is wide: W_enc of sae_lens
    column = column or (units is not None and columns != units and rows == units)
    if index >= (columns if column else rows):
        what = "columns" if column else "rows"
        raise InvsetError(f"{name} in {path} has {columns if column else rows} {what}, from 0")
    return tensor[:, index] if column else tensor[index]


def load_bias(given: Any) -> float:
    """A number, or one in a safetensors file: ``file.safetensors:b_enc[7]``.

    Raises:
        InvsetError: no number, no such file, or not one number in it.
    """
    if given is None:
        return 0.0
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        return float(given)
    try:
        return float(given)
    except ValueError:
        pass
    tensor, name, part = _tensor(str(given), "bias")
    if part is not None and tensor.ndim == 1 and part[0] < len(tensor):
        return tensor[part[0]].item()
    if part is None and tensor.numel() == 1:
        return tensor.item()
    raise InvsetError(
        f"bias={given}: {name} has shape {tuple(tensor.shape)}; type a number, or"
        " bias=file.safetensors:b_enc[7]"
    )


def _tensor(path: str, what: str) -> tuple[Tensor, str, tuple[int, bool] | None]:
    """A tensor of a file, its name, and the index behind it and whether it is a column's."""
    file, _, name = path.partition(".safetensors:")
    file = f"{file}.safetensors" if name else file
    tensors, _ = read_safetensors(file, what, _HINT)
    part = None
    if name not in tensors and (found := _PART.fullmatch(name)):
        name = found["name"]
        part = int(found["index"]), found["column"] is not None
    if not name and len(tensors) == 1:
        name = next(iter(tensors))
    if not tensors:
        raise InvsetError(f"{file} holds no tensor; {_HINT}")
    if name not in tensors:
        hint = did_you_mean(name, tensors) if name else ""
        raise InvsetError(
            f"{file} holds {', '.join(sorted(tensors))}.{hint} Choose one:"
            f" {what}={file}:{sorted(tensors)[0]}"
        )
    return tensors[name].float(), name, part

"""Weights of modules: files of invset's own trained ones, and state dicts put into any.

A file of invset's own holds, next to the weights, the arguments that rebuild the module: ``{"mini":
"{...}"}`` in its metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from invset.errors import InvsetError, first_lines
from invset.files.tensors import read_safetensors, write_tensors
from invset.nets.fast import accelerate, channels_last
from invset.nets.mini import MiniNet
from invset.nets.upconv import UpConv

Trained = TypeVar("Trained", MiniNet, UpConv)


def save_mini(path: str | Path, net: MiniNet, arguments: Mapping[str, Any]) -> None:
    """Write a network that `mini_network` reads.

    Args:
        path: of a safetensors file.
        net: without batch norm (`fold_batch_norm`), unless `arguments` say otherwise.
        arguments: of MiniNet's constructor; ``labels``, the names of the classes in order, may be
            among them.
    """
    _save_trained(path, net, "mini", arguments)


def save_upconv(path: str | Path, generator: UpConv, arguments: Mapping[str, Any]) -> None:
    """Write a generator that `upconv_generator` reads.

    Args:
        path: of a safetensors file.
        generator: any `UpConv`.
        arguments: of UpConv's constructor.
    """
    _save_trained(path, generator, "upconv", arguments)


def _save_trained(
    path: str | Path, module: nn.Module, key: str, arguments: Mapping[str, Any]
) -> None:
    with torch.device("meta"):
        rebuilt = type(module)(**{k: v for k, v in arguments.items() if k != "labels"}).state_dict()
    state = module.state_dict()
    if {k: v.shape for k, v in rebuilt.items()} != {k: v.shape for k, v in state.items()}:
        raise ValueError(
            f"{type(module).__name__}({dict(arguments)}) does not make the module that is to be"
            " saved"
        )
    # weights in float16 for half the size; the few numbers in buffers (code_scale, mean, std) keep
    # their precision
    small = dict(module.named_buffers())
    tensors = {k: v if k in small else v.half() for k, v in state.items()}
    temporary = Path(f"{path}.part")
    write_tensors(temporary, tensors, {key: json.dumps(dict(arguments))})
    os.replace(temporary, path)


def load_trained(
    kind: type[Trained], key: str, weights: str | Path
) -> tuple[Trained, dict[str, Any]]:
    """Return the module that a file of `save_mini` or `save_upconv` holds, in float32 and
    channels-last, and its arguments.

    Args:
        kind: the module's class.
        key: of its arguments in the file's metadata.
        weights: the file.

    Raises:
        InvsetError: no such file, or not one of these.
    """
    command = "invset train network" if kind is MiniNet else "invset train generator"
    hint = f"make some with: {command}, and give the file as weights="
    tensors, metadata = read_safetensors(weights, "weights", hint)
    try:
        arguments = json.loads(metadata.get(key, "{}"))
        module = kind(**{k: v for k, v in arguments.items() if k != "labels"})
        module.load_state_dict(tensors)
    except (RuntimeError, TypeError, ValueError) as error:
        told = f"{weights} was not written by {command}: {first_lines(error)}"
        raise InvsetError(told) from error
    return channels_last(accelerate(module)), arguments


def load_state(module: nn.Module, state: dict[str, Tensor], path: str | Path) -> nn.Module:
    """Put `state`, which was read from `path`, into `module` and return it.

    Raises:
        InvsetError: it does not fit.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise InvsetError(f"the weights in {path} do not fit: {first_lines(error)}") from error
    return module


def checksum(module: object) -> str | None:
    """sha256 of a module's weights, in order of their names; None if it has none."""
    if not isinstance(module, nn.Module):
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()

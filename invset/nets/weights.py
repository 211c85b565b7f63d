"""Weights of modules: files of invset's own trained ones, and state dicts put into any.

A file of invset's own holds, next to the weights, the arguments that rebuild the module: ``{"mini":
"{...}"}`` in its metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from invset.errors import InvsetError, first_lines
from invset.files.reading import reading
from invset.files.tensors import read_safetensors, write_tensors
from invset.nets.downconv import DownConv
from invset.nets.fast import accelerate, channels_last
from invset.nets.mini import MiniNet
from invset.nets.state_names import renamed
from invset.nets.upconv import UpConv
from invset.whole import write_whole

Trained = TypeVar("Trained", MiniNet, UpConv, DownConv)


_TRAINED_BY = {MiniNet: "network", UpConv: "generator", DownConv: "autoencoder"}


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


def save_downconv(path: str | Path, encoder: DownConv, arguments: Mapping[str, Any]) -> None:
    """Write an encoder that `mnist_encoder` reads.

    Args:
        path: of a safetensors file.
        encoder: any `DownConv`.
        arguments: of DownConv's constructor.
    """
    _save_trained(path, encoder, "downconv", arguments)


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
    tensors = {k: v if k in small or not _fits_half(v) else v.half() for k, v in state.items()}
    told = {key: json.dumps(dict(arguments))}
    write_whole(Path(path), lambda file: write_tensors(file, tensors, told))


def _fits_half(weights: Tensor) -> bool:
    """Whether float16 reaches as far: what lies beyond would become infinite."""
    return bool(weights.half().isfinite().all())


def load_trained(
    kind: type[Trained], key: str, weights: str | Path
) -> tuple[Trained, dict[str, Any]]:
    """Return the module that a file of `save_mini`, `save_upconv` or `save_downconv` holds, in
    float32 and channels-last, and its arguments.

    Args:
        kind: the module's class.
        key: of its arguments in the file's metadata.
        weights: the file.

    Raises:
        InvsetError: no such file, or not one of these.
    """
    command = f"invset train {_TRAINED_BY[kind]}"
    hint = f"make some with: {command}, and give the file as weights="
    tensors, metadata = read_safetensors(weights, "weights", hint)
    with reading(weights, f"what {command} writes", hint):
        arguments = json.loads(metadata.get(key, "{}"))
        rest = {k: v for k, v in arguments.items() if k != "labels"}
        with torch.device("meta"):  # the file may claim more than there is memory for
            claimed = kind(**rest).state_dict()
        for name, tensor in claimed.items():
            if name not in tensors or tensors[name].shape != tensor.shape:
                raise ValueError(f"its {name} should have shape {tuple(tensor.shape)}")
        module = kind(**rest)
        module.load_state_dict(tensors)
    return channels_last(accelerate(module)), arguments


def load_state(module: nn.Module, state: dict[str, Tensor], path: str | Path) -> nn.Module:
    """Put `state`, which was read from `path`, into `module` and return it; names may be `renamed`.

    Raises:
        InvsetError: it does not fit.
    """
    try:
        module.load_state_dict(renamed(state, module.state_dict(), path))
    except RuntimeError as error:
        raise InvsetError(f"the weights in {path} do not fit: {first_lines(error)}") from error
    return module


def checksum(module: object) -> str | None:
    """sha256 of a module's state, in order of its names; None if it has none.

    Numbers count as their bytes. Of tensors without bytes of their own, their parts count: of
    sparse ones indices and values, of quantised ones whole numbers and scales; of those on the
    device "meta" the shape. Of what is no tensor, plain values count, and the type of all others.
    """
    return checksum_of(module.state_dict()) if isinstance(module, nn.Module) else None


def checksum_of(state: Mapping[str, Any]) -> str:
    """The same of values by name, such as a state dict."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        for part in _parts(value):
            digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    """The bytes that a value of a state dict stands for."""
    if isinstance(value, Tensor):
        yield from _tensor_parts(value.detach())
    elif isinstance(value, Mapping):
        for key, held in sorted(value.items(), key=lambda item: repr(item[0])):
            yield repr(key).encode()
            yield from _parts(held)
    elif isinstance(value, (list, tuple)):
        for held in value:
            yield from _parts(held)
    elif isinstance(value, (type(None), bool, int, float, complex, str, bytes)):
        yield repr(value).encode()
    else:
        yield type(value).__qualname__.encode()


def _tensor_parts(tensor: Tensor) -> Iterator[bytes]:
    if hasattr(tensor, "__tensor_flatten__"):  # of a class that is made of others
        for name in tensor.__tensor_flatten__()[0]:
            yield from _tensor_parts(getattr(tensor, name))
    elif tensor.is_meta:
        yield f"{tensor.dtype} {tuple(tensor.shape)}".encode()
    elif tensor.layout is torch.sparse_coo:
        whole = tensor.coalesce()
        yield from map(_bytes, (whole.indices(), whole.values()))
    elif tensor.layout is not torch.strided:
        yield from _tensor_parts(tensor.to_dense())
    elif tensor.is_quantized:
        yield from map(_bytes, (tensor.int_repr(), *_scales(tensor)))
    else:
        yield _bytes(tensor)


def _scales(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Scale and zero of a quantised tensor, one each or one a channel."""
    if tensor.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return torch.tensor(tensor.q_scale()), torch.tensor(tensor.q_zero_point())
    return tensor.q_per_channel_scales(), tensor.q_per_channel_zero_points()


def _bytes(tensor: Tensor) -> bytes:
    # as bytes of any type: NumPy has no bfloat16, nor 8-bit floats
    plain = tensor.resolve_conj().resolve_neg().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes()

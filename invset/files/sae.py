"""Sparse autoencoders as their packages save them, read as files: none of these packages is
imported, and nothing in a file is executed.

    sae_lens               sae_weights.safetensors, and cfg.json beside it
    saev                   one file: a line of JSON, then a state dict
    dictionary_learning    ae.pt, and config.json beside it
    overcomplete           the state dict of an SAE (.pt or .safetensors)

Each is one encoder, `SparseEncoder`, with the normalisation and biases that its package computes
with in evaluation mode.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invset.core.sparse_feature import SparseEncoder
from invset.errors import InvsetError
from invset.files.overcomplete import is_overcomplete, read_overcomplete
from invset.files.readers import read_weights
from invset.files.reading import read_json, reading, regular_file

_HINT = (
    "give a file of sae_lens (sae_weights.safetensors with cfg.json), saev (sae.pt),"
    " dictionary_learning (ae.pt with config.json) or overcomplete (a state dict)"
)

#: Files that stand for a folder.
_IN_FOLDERS = ("sae_weights.safetensors", "ae.pt", "sae.pt")

#: Bytes of the longest first line of saev's files.
_LONGEST_LINE = 1 << 20

State = Mapping[str, Tensor]


def read_sae(path: str | Path, top_k: int | None = None) -> SparseEncoder:
    """The encoder in a file, or in a folder that holds one.

    Args:
        path: of the file or folder.
        top_k: how many features are on at once, for files of overcomplete, which do not say it.

    Raises:
        InvsetError: no such file, one of another format, or a kind of autoencoder that is not read.
    """
    path = sae_file(path)
    with reading(path, "a sparse autoencoder", _HINT):
        with path.open("rb") as file:
            first = file.read(1)
        if first == b"{":
            found = _saev(path)
        elif path.with_name("cfg.json").is_file() and path.suffix == ".safetensors":
            config = read_json(path.with_name("cfg.json"), "options of sae_lens", _HINT)
            found = _sae_lens(_floats(read_weights(path)), config)
        elif path.with_name("config.json").is_file():
            config = read_json(
                path.with_name("config.json"), "options of dictionary_learning", _HINT
            )
            found = _dictionary_learning(_floats(read_weights(path)), config)
        else:
            state = _floats(read_weights(path))
            if not is_overcomplete(state):
                beside = "cfg.json" if path.suffix == ".safetensors" else "config.json"
                raise ValueError(f"there is no {beside} beside it, which says what it computes")
            return read_overcomplete(state, top_k)
    if top_k is not None:
        raise InvsetError(
            f"top_k={top_k} is for files of overcomplete; {path} says itself what it computes"
            f" ({found.about}): leave top_k= out"
        )
    return found


def sae_file(path: str | Path) -> Path:
    """The file itself, or that of a folder.

    Raises:
        InvsetError: no such file, or none or several in the folder.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        known = [folder / name for name in _IN_FOLDERS if (folder / name).is_file()]
        if len(known) != 1:
            raise InvsetError(
                f"the folder {folder} holds {len(known) or 'none'} of {', '.join(_IN_FOLDERS)};"
                " name the file"
            )
        return known[0]
    return regular_file(path, "sparse autoencoder", _HINT)


def _floats(state: State) -> dict[str, Tensor]:
    return {name: value.detach().float() for name, value in state.items()}


# sae_lens


def _sae_lens(state: State, config: Mapping[str, Any]) -> SparseEncoder:
    kind = str(config.get("architecture") or "standard")
    activation = config.get("activation_fn", config.get("activation_fn_str", "relu"))
    k = config.get("k") or (config.get("activation_fn_kwargs") or {}).get("k")
    kind = "topk" if activation == "topk" else kind  # before version 6
    if kind not in ("standard", "jumprelu", "topk", "gated") or activation not in ("relu", "topk"):
        raise ValueError(
            f"its architecture is {kind} with {activation}; standard, jumprelu, topk and gated with"
            " relu are read"
        )
    norm = config.get("normalize_activations", "none")
    if isinstance(norm, bool):  # before version 6
        norm = "expected_average_only_in" if norm else "none"
    norm = norm or "none"
    about = f"sae_lens, {kind}"
    if norm == "expected_average_only_in":  # which is in the weights, or was not saved
        about += ", the scale of its inputs taken as 1"
        norm = "none"
    center = state["b_dec"] if config.get("apply_b_dec_to_input", True) else None
    weight = state["W_enc"]
    if kind == "gated":
        scale = state["r_mag"].exp()
        gated: dict[str, Any] = {"scale": scale, "gate": state["b_gate"]}
        return SparseEncoder(weight, state["b_mag"], center, norm, about=about, **gated)
    bias = state["b_enc"]
    if kind == "topk":
        if not isinstance(k, int):
            raise ValueError("its cfg.json has no k")
        about += f" with k={k}"
        lengths = state["W_dec"].norm(dim=-1)
        if config.get("rescale_acts_by_decoder_norm", False):
            weight = weight * lengths
            bias = bias * lengths
        return SparseEncoder(weight, bias, center, norm, k=k, about=about)
    threshold = state["threshold"] if kind == "jumprelu" else None
    return SparseEncoder(weight, bias, center, norm, threshold, about=about)


# saev


def _saev(path: Path) -> SparseEncoder:
    with path.open("rb") as file:
        header = json.loads(file.readline(_LONGEST_LINE))
        name, options = _saev_activation(header)
        with tempfile.NamedTemporaryFile(suffix=".pt") as rest:
            while part := file.read(1 << 24):
                rest.write(part)
            rest.flush()
            state = {name: one.clone() for name, one in _floats(read_weights(rest.name)).items()}
    schema = header.get("schema", 0)
    # until 2025 the bias of the decoder was subtracted first
    center = None if schema else state["b_dec"]
    about = f"saev, schema {schema}, {name}"
    threshold = state.get("activation.threshold")
    if name == "Relu":
        return SparseEncoder(state["W_enc"], state["b_enc"], center, about=about)
    if threshold is not None:
        each = threshold.expand(state["W_enc"].shape[1])
        about += f" with its threshold {threshold.item():.4g}"
        return SparseEncoder(state["W_enc"], state["b_enc"], center, threshold=each, about=about)
    k = min(int(options.get("top_k", 32)), state["W_enc"].shape[1])
    about += f" with k={k}"
    return SparseEncoder(state["W_enc"], state["b_enc"], center, k=k, signed=True, about=about)


def _saev_activation(header: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Class and options of the nonlinearity, which each schema keeps at another place."""
    if not header.get("schema"):
        return "Relu", {}
    if header["schema"] not in range(1, 6):
        raise ValueError(f"its schema is {header['schema']!r}; 1 to 5 are read")
    held = header["cfg"].get("activation")
    if header.get("cls") in ("Relu", "TopK", "BatchTopK"):
        name, options = header["cls"], header["cfg"]
    elif held is None:
        name, options = "Relu", {}
    else:
        name, options = held["cls"], held["params"]
    if name not in ("Relu", "TopK", "BatchTopK"):
        raise ValueError(f"its activation is {name}; Relu, TopK and BatchTopK are read")
    return name, options


# dictionary_learning


def _dictionary_learning(state: State, config: Mapping[str, Any]) -> SparseEncoder:
    kind = str((config.get("trainer") or {}).get("dict_class"))
    if kind not in _DICTIONARIES:
        raise ValueError(
            f"its dict_class is {kind}; {', '.join(_DICTIONARIES)} are read (config.json, trainer)"
        )
    k = (config.get("trainer") or {}).get("k")
    return _DICTIONARIES[kind](state, f"dictionary_learning, {kind}", k)


def _plain(state: State, about: str, _k: Any) -> SparseEncoder:
    weight, bias = state["encoder.weight"].T, state["encoder.bias"]
    lengths = state["decoder.weight"].norm(dim=0)
    if not torch.allclose(lengths, torch.ones_like(lengths)):  # as the package does when it loads
        weight = weight * lengths
        bias = bias * lengths
        told = f"{lengths.min():.3g} to {lengths.max():.3g}"
        about += f", activations times the lengths of the decoder's columns ({told})"
    return SparseEncoder(weight, bias, state["bias"], about=about)


def _new(state: State, about: str, _k: Any) -> SparseEncoder:
    return SparseEncoder(state["encoder.weight"].T, state["encoder.bias"], about=about)


def _gated(state: State, about: str, _k: Any) -> SparseEncoder:
    return SparseEncoder(
        state["encoder.weight"].T,
        state["mag_bias"],
        state["decoder_bias"],
        scale=state["r_mag"].exp(),
        gate=state["gate_bias"],
        about=about,
    )


def _jump(state: State, about: str, _k: Any) -> SparseEncoder:
    return SparseEncoder(
        state["W_enc"], state["b_enc"], None, "none", state["threshold"], about=about
    )


def _topk(state: State, about: str, k: Any) -> SparseEncoder:
    count = int(state["k"]) if "k" in state else int(k)
    about += f" with k={count}"
    weight = state["encoder.weight"].T
    return SparseEncoder(weight, state["encoder.bias"], state["b_dec"], k=count, about=about)


def _batch_topk(state: State, about: str, _k: Any) -> SparseEncoder:
    matryoshka = "W_enc" in state
    weight = state["W_enc"] if matryoshka else state["encoder.weight"].T
    bias = state["b_enc"] if matryoshka else state["encoder.bias"]
    each = state["threshold"].expand(len(bias))
    about += f" with its threshold {state['threshold'].item():.4g}"
    return SparseEncoder(weight, bias, state["b_dec"], threshold=each, about=about)


_DICTIONARIES: dict[str, Callable[[State, str, Any], SparseEncoder]] = {
    "AutoEncoder": _plain,
    "AutoEncoderNew": _new,
    "GatedAutoEncoder": _gated,
    "JumpReluAutoEncoder": _jump,
    "AutoEncoderTopK": _topk,
    "BatchTopKSAE": _batch_topk,
    "MatryoshkaBatchTopKSAE": _batch_topk,
}

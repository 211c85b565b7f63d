"""State dicts of overcomplete's sparse autoencoders. They do not say which nonlinearity follows the
encoder: ReLU is assumed, the k largest of them where a person gives k, and JumpReLU where
thresholds are there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from invset.core.sparse_feature import SparseEncoder

#: Of a batch norm, as the package makes it.
_EPSILON = 1e-5

_LAST = "encoder.final_block."


def is_overcomplete(state: Mapping[str, Tensor]) -> bool:
    """Whether names in a state dict are those of this package."""
    return "dictionary._weights" in state


def read_overcomplete(state: Mapping[str, Tensor], top_k: int | None) -> SparseEncoder:
    """The encoder in a state dict, in evaluation mode.

    Args:
        state: names and float32 tensors.
        top_k: k of a TopKSAE; None: all features above 0, or above their thresholds, are on.

    Raises:
        ValueError: a kind of encoder that is not read.
    """
    weight, bias, kind = _linear(state)
    threshold = state["thresholds"].exp() if "thresholds" in state else None
    ends = "ReLU" if threshold is None else "JumpReLU"
    if top_k is not None:
        if threshold is not None:
            raise ValueError("it has thresholds, and no k: leave top_k= out")
        ends = f"TopK with k={top_k}"
    about = f"overcomplete, {kind}, {ends}"
    return SparseEncoder(weight, bias, threshold=threshold, k=top_k, about=about)


def _linear(state: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, str]:
    """Weight, with shape (d, n), and bias of the features, and what they are called."""
    names = [name for name in state if name.startswith("encoder.")]
    known = (_LAST, "encoder.weight", "encoder.bias")
    if not names or not all(name.startswith(known) for name in names):
        what = "other layers" if names else "no weights, so that it may be tied or the identity"
        raise ValueError(
            f"its encoder has {what}; one linear layer, with a batch norm or not, is read"
        )
    if "encoder.weight" in state:
        weight = state["encoder.weight"].T
        return weight, state.get("encoder.bias", torch.zeros(weight.shape[1])), "linear"
    if f"{_LAST}0.weight" not in state:
        raise ValueError("its encoder is none of one linear layer, which is read")
    weight = state[f"{_LAST}0.weight"].T
    bias = state[f"{_LAST}0.bias"]
    if f"{_LAST}1.weight" not in state:
        return weight, bias, "linear"
    if f"{_LAST}1.running_var" not in state:
        raise ValueError("its encoder has a layer norm over all features, which is not read")
    scale = state[f"{_LAST}1.weight"] / (state[f"{_LAST}1.running_var"] + _EPSILON).sqrt()
    shift = state[f"{_LAST}1.bias"] - state[f"{_LAST}1.running_mean"] * scale
    return weight * scale, bias * scale + shift, "linear and batch norm"

"""Probabilities of the units of a layer, as PPGN's authors compute them (Nguyen et al. 2017)."""

from __future__ import annotations

from torch import Tensor


def softmax(activations: Tensor) -> Tensor:
    """Softmax over the second axis of activations with shape (B, units), with the authors' 1e-10 in
    the denominator.
    """
    powers = (activations - activations.amax(1, keepdim=True)).exp()
    return powers / (1e-10 + powers.sum(1, keepdim=True))

"""The gradient of what was looked at in the coordinates of the codes."""

from __future__ import annotations

import torch
from torch import Tensor

from invset.errors import InvsetError

_NONE = (
    "the network or the generator has no gradient: it computes under torch.no_grad or"
    " torch.inference_mode, detaches its input, or is in a checkpoint with use_reentrant=True; take"
    " that out of its forward(), or take a sampler that needs no gradient"
)


def gradient(scalar: Tensor, u: Tensor, keep: bool = False) -> Tensor:
    """d scalar / du, with the shape of u.

    Args:
        scalar: computed from u.
        u: coordinates that require a gradient.
        keep: whether another gradient of the same pass will be asked for.

    Raises:
        InvsetError: there is none.
    """
    if not scalar.requires_grad:
        raise InvsetError(_NONE)
    try:
        (found,) = torch.autograd.grad(scalar, u, retain_graph=keep)
    except RuntimeError as error:
        if any(word in str(error) for word in ("not have been used", "Checkpointing is not")):
            raise InvsetError(_NONE) from error
        raise
    return found

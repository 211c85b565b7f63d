"""The gradient of what was looked at in the coordinates of the codes."""

from __future__ import annotations

from collections.abc import Sequence

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
    (found,) = gradients(scalar, [u], keep)
    assert found is not None  # one of one
    return found


def gradients(scalar: Tensor, of: Sequence[Tensor], keep: bool = False) -> list[Tensor | None]:
    """The same in several tensors; None for one that the scalar does not depend on.

    Raises:
        InvsetError: it depends on none of them.
    """
    if not scalar.requires_grad:
        raise InvsetError(_NONE)
    try:
        found = torch.autograd.grad(scalar, of, retain_graph=keep, allow_unused=True)
    except RuntimeError as error:
        if "Checkpointing is not" in str(error):
            raise InvsetError(_NONE) from error
        raise
    if all(one is None for one in found):
        raise InvsetError(_NONE)
    return list(found)

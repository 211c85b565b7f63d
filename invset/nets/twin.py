"""A module of our own with the weights of a person's, whose module stays as it is: its mode, its
hooks, what it does in place, its gradients, its device.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from invset.errors import InvsetError, first_lines, is_out_of_memory


def twin(module: nn.Module, what: str, shared: bool = True) -> nn.Module:
    """Copy a module: frozen, in evaluation mode, with the hooks that it has now.

    Args:
        module: of any kind.
        what: messages call it.
        shared: let both have the same weights in memory, as long as neither is moved to another
            device, type or layout; what an optimiser does to the ones is seen in the others. False:
            copy these, too.

    Raises:
        InvsetError: it holds what can't be copied.
    """
    memo: dict[int, object] = {id(hook): hook for hook in _hooks(module)}
    # the copies of tensors must not be their keepers: ids of what is freed are given anew
    kept = [(one, _own(one, shared)) for one in _tensors(module)]
    memo.update({id(one): own for one, own in kept})
    try:
        found = copy.deepcopy(module, memo)
    except Exception as error:  # whatever a person's module holds
        if is_out_of_memory(error):
            raise
        told = first_lines(error, 100) or type(error).__name__
        raise InvsetError(
            f"{what} can't be copied ({told}); type in_place=True to change the module itself,"
            " which puts it into evaluation mode and freezes it"
        ) from error
    return frozen(found)


def frozen(module: nn.Module) -> nn.Module:
    """The same module in evaluation mode, without gradients for its weights, and with no layer that
    works in place: it would overwrite the one that is read before it.
    """
    for child in module.modules():
        if getattr(child, "inplace", False):
            child.inplace = False  # type: ignore[assignment]
    module.eval()  # what a person's own train() returns may be nothing
    for weight in module.parameters():
        weight.requires_grad_(False)
    return module


def check_plain(module: nn.Module, what: str) -> None:
    """Raise `InvsetError` for a module whose inside can't be read, or that has no weights yet."""
    if isinstance(module, torch.jit.ScriptModule):
        raise InvsetError(
            f"{what} gives a module of torch.jit, whose layers can't be read; give the"
            " torch.nn.Module that it was made from"
        )
    jit = [path for path, one in module.named_modules() if isinstance(one, torch.jit.ScriptModule)]
    if jit:
        raise InvsetError(
            f"{what} has a part of torch.jit, {jit[0]}, whose layers can't be read; put the"
            " torch.nn.Module that it was made from in its place"
        )
    if any(is_lazy(one) for one in module.parameters()):
        raise InvsetError(
            f"{what} gives layers that have no weights yet (torch.nn.Lazy…); call the module"
            " once on an input of its size before it is returned"
        )


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Weights, buffers, and what is kept beside them: old normalised weights, features."""
    seen: set[int] = set()
    for part in module.modules():
        for held in (vars(part), part._parameters, part._buffers):
            yield from _within(held, seen)


def _within(held: object, seen: set[int]) -> Iterator[Tensor]:
    """Tensors in lists and dicts, which may hold themselves."""
    if type(held) in (nn.Parameter, Tensor):
        yield held  # type: ignore[misc]
    elif isinstance(held, (Mapping, list, tuple)) and id(held) not in seen:
        seen.add(id(held))
        for one in held.values() if isinstance(held, Mapping) else held:
            yield from _within(one, seen)


def _own(tensor: Tensor, shared: bool) -> Tensor:
    with torch.no_grad():
        # those of inference mode take part in no gradient
        value = tensor.detach() if shared and not tensor.is_inference() else tensor.detach().clone()
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=False)
    return value


def _hooks(module: nn.Module) -> Iterator[object]:
    """Functions of others; those of the module itself become the copy's."""
    parts = set(module.modules())
    for part in parts:
        for name, held in vars(part).items():
            if name.endswith("_hooks") and isinstance(held, dict):
                yield from (one for one in held.values() if _owner(one) not in parts)


def _owner(hook: object) -> object:
    return getattr(hook, "__self__", None)

"""Whether a network's activations have slopes in its inputs, without which no neuron is climbed."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invset.errors import is_out_of_memory
from invset.nets.network import Network
from invset.nets.trace import told

_REMEDY = (
    "take no_grad, inference_mode, detach, numpy and checkpoint(use_reentrant=True) out of its"
    " forward(), or take a sampler that needs no gradient"
)


def slopes_fault(network: Network, x: Tensor, layers: Iterable[str]) -> str | None:
    """Why the activations of some layers have no slopes in the inputs, in a sentence; None: they
    have.

    Args:
        network: that looks.
        x: inputs that it can take.
        layers: of the neurons that a sampler may climb.
    """
    noun = network.medium.noun
    # a mode of the caller's must not look like a fault of the network
    with torch.inference_mode(False), torch.enable_grad():
        x = x.clone().requires_grad_()
        try:
            taps = network.taps(x, layers)
            flat = [layer for layer, value in taps.items() if not value.requires_grad]
            if flat:
                return (
                    f"network {network.name} has no gradient: layer {flat[0]} has no slopes in the"
                    f" {noun}, {_loser(network.module, x)}; {_REMEDY}"
                )
            torch.autograd.grad(torch.stack([one.sum() for one in taps.values()]).sum(), x)
        except Exception as error:  # whatever a user's module, its backward or a checkpoint raises
            if is_out_of_memory(error):
                raise
            return f"network {network.name} has no gradient in the {noun}: {told(error)}; {_REMEDY}"
    return None


def _loser(module: nn.Module, x: Tensor) -> str:
    """The innermost module that loses the slopes of what enters it, in words."""
    running: list[tuple[str, nn.Module]] = []
    lost: list[tuple[str, nn.Module]] = []
    handles = []

    def begin(path: str) -> Any:
        def hook(part: nn.Module, _inputs: object) -> None:
            if running and not torch.is_grad_enabled():
                lost.append(running[-1])
            running.append((path, part))

        return hook

    def end(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        one = running.pop()
        real = isinstance(output, Tensor) and output.is_floating_point()
        if real and _slope(inputs) and not output.requires_grad:
            lost.append(one)

    try:
        for path, part in module.named_modules():
            handles.append(part.register_forward_pre_hook(begin(path)))
            handles.append(part.register_forward_hook(end))
        module(x)
    finally:
        for handle in handles:
            handle.remove()
    return _named(*lost[0]) if lost else "and which of its modules loses them could not be found"


def _slope(inputs: tuple[Any, ...]) -> bool:
    return any(isinstance(value, Tensor) and value.requires_grad for value in inputs)


def _named(path: str, part: nn.Module) -> str:
    """For example ``which module block loses (Mine, my_network.py, line 12)``."""
    kind = type(part)
    where = kind.__name__
    if not kind.__module__.startswith("torch."):
        try:
            forward = inspect.unwrap(kind.forward)  # torch.no_grad() above it wraps it
            line = inspect.getsourcelines(forward)[1]
            where += f", {Path(inspect.getfile(forward)).name}, line {line}"
        except (OSError, TypeError):  # a class that was typed at a prompt has no file
            pass
    return f"which module {path} loses ({where})" if path else f"which it loses itself ({where})"

"""Codes through the networks as `Runtime` says: with less precision, compiled, recorded, or a few
at a time.

The rule that keeps samples honest: only a pass that will be differentiated is taken with the
options of a step. A pass without a gradient is a measurement, always in float32 and always by the
plain modules, and it alone decides what is a sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from invset.core.products import products
from invset.core.target import Evaluate, Whole
from invset.errors import InvsetError
from invset.problem.free_memory import free_memory
from invset.problem.graphs import Recorded
from invset.problem.portions import Portions
from invset.problem.runtime import Runtime
from invset.problem.whole_step import WholeStep

#: Side in pixels from which channels-last paid on a CPU: a forward and backward pass of 10 codes
#: took 0.91 of the time at 227 pixels (CaffeNet and its generator), 0.82 at 224 (ResNet-18), 1.00
#: at 32 (the embedded pair). docs/speed.md has the table.
WIDE = 128


class Passes:
    """An `Evaluate` with the options of a `Runtime`.

    Args:
        evaluate: codes to activations and encodings.
        runtime: options.
        device: where the networks are.
        portions: how many codes go at a time; None: as `runtime` says.
        flat: why no pass can be differentiated, in a sentence; None: passes can.

    Raises:
        InvsetError: an option that this device does not have; when it is called, `flat`.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        runtime: Runtime,
        device: torch.device,
        portions: Portions | None = None,
        flat: str | None = None,
    ) -> None:
        runtime.check_device(device)
        self.runtime = runtime
        self.device = device
        self.portions = portions or portions_of(runtime, device)
        self._flat = flat
        self._plain = evaluate
        self._step: Evaluate = _compiled(evaluate) if runtime.compile else evaluate
        if runtime.cuda_graphs:
            self._replay = Recorded(self._with_precision)

    def __call__(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        differentiable = torch.is_grad_enabled() and codes.requires_grad
        if differentiable and self._flat is not None:
            raise InvsetError(self._flat)
        if differentiable and self.runtime.cuda_graphs:
            with products(self.runtime.products):  # the backward pass is recorded here, too
                return self._replay(codes)
        if differentiable and self.portions.untried(len(codes)):
            found = self.portions.attempt(self._with_precision, codes)
            if found is not None:
                return found
        part = self.portions.at_a_time(len(codes))
        if len(codes) <= part:
            return self._with_precision(codes) if differentiable else self._measured(codes)
        if differentiable:
            parts = [_forgotten(self._with_precision, some) for some in codes.split(part)]
        else:
            parts = [self._measured(some) for some in codes.split(part)]
        f, e = zip(*parts, strict=True)
        return torch.cat(f), torch.cat(e)

    def whole(self) -> Whole | None:
        """What records whole steps, whose passes are not recorded one by one, if `runtime` says
        so.
        """
        if not self.runtime.cuda_graphs:
            return None
        inner = replace(self.runtime, cuda_graphs=False, micro_batch=None)
        return Whole(Passes(self._plain, inner, self.device, flat=self._flat), WholeStep())

    def _with_precision(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """A pass with a step's precision; activations and encodings have the codes' type whatever
        happened inside.
        """
        low = self.runtime.autocast == "bf16"
        with (
            products(self.runtime.products),
            torch.autocast(self.device.type, torch.bfloat16, enabled=low),
        ):
            f, e = self._step(codes)
        return f.to(codes), e.to(codes)

    def _measured(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        with products("float32"):
            return self._plain(codes)


def portions_of(runtime: Runtime, device: torch.device) -> Portions:
    """How many codes go at a time; a graph that is recorded takes all of them."""
    micro_batch = None if runtime.cuda_graphs else runtime.micro_batch
    return Portions(micro_batch, lambda: free_memory(device))


def _forgotten(evaluate: Evaluate, codes: Tensor) -> tuple[Tensor, Tensor]:
    """A pass of which nothing is kept but its result; each backward pass takes it again."""
    # networks in evaluation mode draw no random numbers, so the generators' state need not be kept
    # for that
    return checkpoint(evaluate, codes, use_reentrant=False, preserve_rng_state=False)


def _compiled(evaluate: Evaluate) -> Evaluate:
    """`evaluate`, compiled when it is first called."""
    from torch._functorch import config

    compiled: Evaluate = torch.compile(evaluate)

    def step(codes: Tensor) -> tuple[Tensor, Tensor]:
        # a sampler differentiates one pass several times, so a backward pass may not reuse what the
        # forward pass saved
        with config.patch(donated_buffer=False):
            return compiled(codes)

    return step


def layout_of(runtime: Runtime, device: torch.device, side: int) -> torch.memory_format | None:
    """How weights of convolutions, and with them maps, are to be laid out in memory, for images
    with `side` pixels a side; None: as they are.

    "auto" knows CPUs. Elsewhere it takes PyTorch's own layout, also for weights that come with the
    package, which are laid out for CPUs.
    """
    if runtime.channels_last != "auto":
        return torch.channels_last if runtime.channels_last else torch.contiguous_format
    if device.type != "cpu":
        return torch.contiguous_format
    return torch.channels_last if side >= WIDE else None


def lay_out(modules: Iterable[nn.Module], layout: torch.memory_format | None) -> None:
    """Lay out the weights of convolutions; maps follow. Values stay the same; None leaves all as
    they are.
    """
    if layout is None:
        return
    for module in modules:
        module.to(memory_format=layout)  # type: ignore[call-overload]

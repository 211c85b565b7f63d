"""Whether a module gives the same for the same input: once more, and alone as within a batch.

All that a sampler does rests on it: a sample that was in the range is in it when it is measured
again, with other samples beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

#: How far values may differ a second time, as a share of the largest: kernels may be chosen anew.
AGAIN = 1e-4

#: And alone: rounding, which other sizes of a batch do otherwise.
ALONE = 1e-3

#: Passes that a module gets to differ if it draws random numbers: it may drop few of its units.
DRAWS = 16

#: What a pass gives by name.
Values = dict[str, Tensor]


@dataclass(frozen=True)
class Fault:
    """What a pass gives that depends on more than its input.

    Attributes:
        name: of the value.
        alone: whether an input gives something else alone than within a batch, not a second time.
    """

    name: str
    alone: bool

    @property
    def words(self) -> str:
        return "alone than within a batch" if self.alone else "a second time"


def fault_of(look: Callable[[Tensor], Values], x: Tensor, first: Values) -> Fault | None:
    """The first value that is not a function of the input; None if all are.

    Args:
        look: takes a batch through a module.
        x: a batch of two or more.
        first: what it gave for it.
    """
    before = _random_state(x.device)
    second = look(x)
    draws = not torch.equal(before, _random_state(x.device))
    for number in range(DRAWS if draws else 1):
        values = look(x) if number else second
        for name, value in values.items():
            if not _alike(first[name], value, AGAIN):
                return Fault(name, alone=False)
    for name, value in look(x[:1]).items():
        if not _alike(first[name], value, ALONE):
            return Fault(name, alone=True)
    return None


def blamed(module: nn.Module, x: Tensor, alone: bool) -> str:
    """The innermost module that gives something else for the same input, in words.

    Args:
        module: the whole.
        x: a batch.
        alone: whether its first input is looked at alone, or the batch a second time.
    """
    share = ALONE if alone else AGAIN
    before = _events(module, x)
    for _ in range(1 if alone else DRAWS):
        after = _events(module, x[:1] if alone else x)
        for (path, part, given, made), (other, _, given_again, made_again) in zip(
            before, after, strict=False
        ):
            if path != other:
                break
            if _all_alike(given, given_again, share) and not _all_alike(made, made_again, share):
                return _described(path, part, alone)
    return "which of its modules does it could not be found"


def _alike(a: Tensor, b: Tensor, share: float) -> bool:
    """Whether the rows that both have differ by no more than a share of the largest number."""
    count = min(len(a), len(b))
    x = a[:count].double()
    y = b[:count].double()
    if x.shape != y.shape:
        return False
    return bool((x - y).abs().max() <= share * x.abs().max()) if x.numel() else True


def _all_alike(some: list[Tensor], others: list[Tensor], share: float) -> bool:
    return len(some) == len(others) and all(
        _alike(a, b, share) for a, b in zip(some, others, strict=True)
    )


def _random_state(device: torch.device) -> Tensor:
    """Of PyTorch's own generators: another one after a draw."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return torch.cat(states)


def _events(module: nn.Module, x: Tensor) -> list[tuple[str, nn.Module, Any, Any]]:
    """Path, module, inputs and outputs of each part of a pass, in the order in which they end."""
    events: list[tuple[str, nn.Module, Any, Any]] = []
    entered: dict[str, list[Any]] = {}

    def hooks(path: str) -> tuple[Any, Any]:
        def enter(_module: nn.Module, inputs: Any) -> None:
            entered.setdefault(path, []).append(_tensors(inputs))

        def end(part: nn.Module, _inputs: Any, output: Any) -> None:
            events.append((path, part, entered[path].pop(), _tensors((output,))))

        return enter, end

    handles = []
    try:
        for path, part in module.named_modules():
            enter, end = hooks(path)
            handles.append(part.register_forward_pre_hook(enter))
            handles.append(part.register_forward_hook(end))
        module(x)
    except Exception:  # alone it may not come to its end: as far as it comes is enough
        pass
    finally:
        for handle in handles:
            handle.remove()
    return events


def _tensors(values: Any) -> list[Tensor]:
    """Copies of the tensors among values: work in place may follow."""
    return [x.detach().clone() for x in values if isinstance(x, Tensor) and x.ndim]


def _described(path: str, part: nn.Module, alone: bool) -> str:
    """A module and what it does, in words."""
    name = f"{type(part).__name__} {path!r}" if path else f"forward() of {type(part).__name__}"
    if isinstance(part, nn.modules.dropout._DropoutNd):
        return f"{name} is in training mode"
    if isinstance(part, nn.modules.batchnorm._NormBase):
        return f"{name} takes its statistics from the batch"
    if alone:
        return f"{name} mixes the inputs of a batch"
    return f"{name} draws random numbers, or remembers earlier inputs"

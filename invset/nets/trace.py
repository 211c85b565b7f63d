"""What one pass through a module tells of it: in which order its parts run, and which of them makes
what it returns.
"""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from invset.nets.axes import Call, find_axes
from invset.nets.taps import each_call, in_this_thread

#: Folders of what is installed, and of Python's own modules, which may hold these.
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("purelib", "platlib")})
_PYTHON = sysconfig.get_path("stdlib")

#: Folders whose frames are not a user's own.
_NOT_OWN = (
    *(str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<"),
    *(str(Path(folder, name)) for folder in _INSTALLED for name in ("hydra", "omegaconf")),
)


@dataclass(frozen=True)
class Trace:
    """One pass.

    Attributes:
        maker: the innermost module whose tensor the module returns, unchanged but for axes of
            length 1; None: no module made it. As all that follow: a path, with ``#2`` behind it
            where it is the second of several calls.
        linear: path of the linear layer whose input is the last encoding: `maker` if it is linear,
            else the linear layer that ran last; None: none ran.
        before: the part that ended last before `maker` began to count; None: there is none.
        axes: path of each layer of maps or tokens -> where its channels lie, or None where that
            can't be told (`invset.nets.axes`).
        calls: path of each module that gave a tensor -> how often it was called.
        spread: paths of the modules that gave maps or tokens, a tensor of three axes or more, in
            the order in which they first ended.
    """

    maker: str | None
    linear: str | None
    before: str | None
    spread: tuple[str, ...]
    axes: Mapping[str, str | None]
    calls: Mapping[str, int]

    def evenly(self, count: int) -> list[str]:
        """Modules of `spread`, evenly spread over the order of execution, the last among them.

        They are taken from the outermost parts that are `count` or more, so that a network of
        blocks gives the ends of blocks.

        Args:
            count: how many at most.
        """
        deepest = max((path.count(".") for path in self.spread), default=0)
        found: list[str] = []
        for depth in range(deepest + 1):
            found = [path for path in self.spread if self._lies_at(path, depth)]
            if len(found) >= count:
                break
        wanted = min(count, len(found))
        return [found[(i + 1) * len(found) // wanted - 1] for i in range(wanted)]

    def _lies_at(self, path: str, depth: int) -> bool:
        """Whether a module lies that deep, or less deep with no other of `spread` inside."""
        own = path.count(".")
        inside = any(other.startswith(f"{path}.") for other in self.spread)
        return own == depth or (own < depth and not inside)


@torch.no_grad()
def trace(modules: Mapping[str, nn.Module], blank: Tensor) -> Trace:
    """Take one pass and follow it.

    Args:
        modules: path -> module, the whole under the empty path, as `named_modules` gives them.
        blank: an input.

    Raises:
        Exception: whatever the module raises.
    """
    # tensors are kept, as the number of one that is freed may be another's
    calls: list[Call] = []
    counts: dict[str, int] = {}
    handles = []

    def note(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if isinstance(output, Tensor):
                counts[path] = counts.get(path, 0) + 1
                first = inputs[0] if inputs and isinstance(inputs[0], Tensor) else None
                calls.append(Call(path, counts[path], module, first, output, _version(output)))

        return hook

    try:
        for path, module in modules.items():
            handles.append(module.register_forward_hook(in_this_thread(note(path))))
        returned = modules[""](blank)
    finally:
        for handle in handles:
            handle.remove()
    # the whole may end within itself; what it returns is looked for among its parts
    counts.pop("", None)
    parts = [call for call in calls if call.path]
    made = next((i for i, call in enumerate(parts) if _same(returned, call)), None)
    maker = None if made is None else parts[made]
    lines = [call for call in parts if isinstance(call.module, nn.Linear)]
    earlier = [call for call in parts[:made] if not any(call.module.children())]

    def name(call: Call | None) -> str | None:
        return call if call is None else each_call(call.path, counts[call.path])[call.number - 1]

    return Trace(
        name(maker),
        name(maker if maker in lines else lines[-1] if lines else None),
        name(earlier[-1] if earlier else None),
        tuple(dict.fromkeys(call.path for call in parts if call.made.ndim > 2)),
        find_axes(calls, blank),
        counts,
    )


def _same(returned: object, call: Call) -> bool:
    """Whether a module's output, as it was then, is what was returned."""
    return (
        isinstance(returned, Tensor)
        and returned.untyped_storage().data_ptr() == call.made.untyped_storage().data_ptr()
        and _version(call.made) == call.version
        and _layout(returned) == _layout(call.made)
    )


def _version(x: Tensor) -> int:
    """How often a tensor was worked on in place; not known of what an inference mode made."""
    return 0 if x.is_inference() else x._version


def _layout(x: Tensor) -> tuple[object, ...]:
    """Where the numbers lie in memory, whatever axes of length 1 there are beside the first."""
    axes = [axis for axis in zip(x.shape, x.stride(), strict=True) if axis[0] != 1]
    return (x.storage_offset(), *axes)


def told(error: BaseException) -> str:
    """An error of somebody's module in words, with the file and line of their own that it came
    from: ``ValueError: too dark (my_network.py, line 12, in forward)``.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, SyntaxError):  # which says itself where
        frames = traceback.StackSummary()
    others = [frame for frame in frames if not frame.filename.startswith(_NOT_OWN)]
    own = [one for one in others if not one.filename.startswith((*_INSTALLED, _PYTHON))]
    # what is installed is told of where nothing else is a user's
    own = own or [one for one in others if one.filename.startswith(_INSTALLED)]
    first = str(error).strip().split("\n")[0].rstrip(".")
    words = f"{type(error).__name__}: {first}" if first else type(error).__name__
    if not own:
        return words
    return f"{words} ({Path(own[-1].filename).name}, line {own[-1].lineno}, in {own[-1].name})"

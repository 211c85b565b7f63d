"""Looks inside of a module: several layers in one pass, which stops at the deepest."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

T = TypeVar("T")

#: A layer's name followed by this is what enters it.
INPUT = ".input"

#: A call of a module, and what enters it.
_CALL = re.compile(r"(?P<module>.+?)(#(?P<number>[1-9]\d*))?(?P<input>\.input)?", re.DOTALL)


#: Held while hooks are in place. One for all passes: modules may share parts.
_LOCK = threading.RLock()


class _Reached(Exception):
    """Raised by the hook on the deepest layer: nothing beyond it is needed."""


def each_call(path: str, count: int) -> list[str]:
    """The layers of a module that is called so often: ``relu``, or ``relu#1``, ``relu#2``, …"""
    return [path] if count == 1 else [f"{path}#{number}" for number in range(1, count + 1)]


class Taps:
    """Passes through a module.

    Args:
        module: the whole.
        modules: path -> module, the whole under the empty path.

    Attributes:
        lock: held while hooks are in place.
    """

    def __init__(self, module: nn.Module, modules: Mapping[str, nn.Module]) -> None:
        self.module = module
        self.modules = modules
        self.lock = _LOCK

    def has(self, path: str) -> bool:
        """Whether a path is that of a module, of a call of it, or of what enters it."""
        found = self._parts(path)
        return bool(found[0]) and found[0] in self.modules

    def _parts(self, path: str) -> tuple[str, int, bool]:
        """Module, number of the call from 1, and whether what enters is meant."""
        if path in self.modules:
            return path, 1, False
        found = _CALL.fullmatch(path)
        assert found is not None
        return found["module"], int(found["number"] or 1), found["input"] is not None

    def look(self, x: Tensor, paths: set[str]) -> dict[str, Any]:
        """What layers give, by their paths; those that the pass did not come to are left out."""
        if self._is_chain(paths):
            return self._walk(x, paths)
        with self.lock:
            return self._hooked(x, paths)

    def _is_chain(self, paths: set[str]) -> bool:
        """Whether the module does nothing but call its children in turn, and the layers are among
        them.
        """
        module = self.module
        plain = type(module).forward is nn.Sequential.forward and not (
            module._forward_pre_hooks or module._forward_hooks
        )
        return plain and paths <= module._modules.keys()

    def _walk(self, x: Tensor, paths: set[str]) -> dict[str, Any]:
        """The layers of a chain, child by child: no hooks, which `torch.compile` cannot see
        through.
        """
        found: dict[str, Any] = {}
        # a child may be there twice: named_children would leave it out
        for path, child in self.module._modules.items():
            assert child is not None
            x = child(x)
            if path in paths:
                last = len(found) == len(paths) - 1
                found[path] = _kept(x, last)
                if last:
                    break
        return found

    def _hooked(self, x: Tensor, paths: set[str]) -> dict[str, Any]:
        """The layers of any module, by a hook on each."""
        found: dict[str, Any] = {}
        calls: dict[str, int] = {}
        handles = []

        def keep(path: str, number: int, value: Any) -> None:
            calls[path] = calls.get(path, 0) + 1
            if calls[path] != number:
                return
            last = len(found) == len(paths) - 1
            found[path] = _kept(value, last)
            if last:
                raise _Reached

        try:
            for path in paths:
                name, number, enters = self._parts(path)
                handles.append(_hook(self.modules[name], enters, partial(keep, path, number)))
            self.module(x)
        except _Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return found


def in_this_thread(hook: Callable[..., T]) -> Callable[..., T | None]:
    """A hook that does not see passes that others take through the same module meanwhile."""
    if torch.compiler.is_compiling():  # which can't ask for threads
        return hook
    mine = threading.get_ident()
    return lambda *given: hook(*given) if threading.get_ident() == mine else None


def _hook(module: nn.Module, enters: bool, keep: Callable[[Any], None]) -> RemovableHandle:
    """Let `keep` have what a module gives, or what enters it."""
    if enters:
        entered = in_this_thread(
            lambda _m, inputs, named: keep(next(iter((*inputs, *named.values())), None))
        )
        return module.register_forward_pre_hook(entered, with_kwargs=True)
    return module.register_forward_hook(in_this_thread(lambda _m, _i, output: keep(output)))


def _kept(output: Any, last: bool) -> Any:
    """A layer's output as it is now: what follows may work on it in place (residual sums do),
    unless the pass ends here.
    """
    return output.clone() if isinstance(output, Tensor) and not last else output

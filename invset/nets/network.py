"""A network whose inside can be read: any torch module, its layers by name, all in one pass.

The encoder E and every neuron f of one network share one forward pass (one trunk), which stops at
the deepest layer asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from invset.errors import InvsetError, did_you_mean


class _Reached(Exception):
    """Raised by the hook on the deepest layer: nothing beyond it is needed."""


class Network:
    """A frozen module in evaluation mode and the names of its layers.

    Args:
        module: maps float RGB images in [0, 1], with shape (N, 3, H, W), to anything.
        name: what reports call it.
        image_size: side in pixels that the module wants; None takes any.
        aliases: public layer name -> module path, where they differ (``{"fc6": "relu6"}``).
        labels: name of each unit of `output`, in order; None if there are none.
        output: the layer whose neurons a person means when no layer is given; None is the last one.
        encoder: the layer that is E when none is given; None is the last but one.
        device: where the weights go.

    A layer is the path of a module (``layer4.1.conv2``) or an alias. A module that is called
    several times in one pass is read at its first call.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str = "network",
        image_size: int | None = None,
        aliases: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
        output: str | None = None,
        encoder: str | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        for child in module.modules():
            if getattr(child, "inplace", False):
                child.inplace = False  # type: ignore[assignment]  # an in-place ReLU would overwrite the layer read before it
        self.module = module.to(device).eval().requires_grad_(False)
        self.name = name
        self.image_size = image_size
        self.aliases = dict(aliases or {})
        self.labels = list(labels) if labels is not None else None
        self.device = torch.device(device)
        self._modules = dict(module.named_modules())
        self._order = [path for path in self._modules if path]
        if not self._order:
            raise InvsetError(
                f"{name} has no layers with a name: put it into"
                f" torch.nn.Sequential({type(module).__name__}(...))"
            )
        self.output = output or self._order[-1]
        self.encoder = encoder or self._order[-2:][0]
        self._shapes: dict[str, tuple[int, ...]] = {}

    @property
    def layers(self) -> list[str]:
        """Every name that a layer can be called by: aliases first, then module paths."""
        return list(dict.fromkeys([*self.aliases, *self._order]))

    def resolve(self, layer: str) -> str:
        """Return the module path of `layer`.

        Raises:
            InvsetError: no such layer.
        """
        path = self.aliases.get(layer, layer)
        if path not in self._modules or not path:
            known = self.layers
            listed = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
            raise InvsetError(
                f"{self.name} has no layer {layer!r}.{did_you_mean(layer, known)} Its layers:"
                f" {listed}; invset list layers, with the same network=, tells more"
            )
        return path

    def shape(self, layer: str) -> tuple[int, ...]:
        """Shape of one image's activations in `layer`: (units,) or (channels, height, width)."""
        if layer not in self._shapes:
            size = self.image_size or 64
            blank = torch.zeros(1, 3, size, size, device=self.device)
            with torch.no_grad():
                self._shapes[layer] = tuple(self.taps(blank, [layer])[layer].shape[1:])
        return self._shapes[layer]

    def taps(self, x: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations of several layers in one pass that stops at the deepest.

        Args:
            x: float RGB images in [0, 1], with shape (N, 3, H, W).
            layers: names; each is resolved as in `resolve`.

        Returns:
            layer -> activations, with shape (N, units) or (N, channels, height, width).
        """
        wanted = {layer: self.resolve(layer) for layer in layers}
        paths = set(wanted.values())
        found = self._walk(x, paths) if self._is_chain(paths) else self._hooked(x, paths)
        missing = paths - set(found)
        if missing:
            raise InvsetError(
                f"layer {', '.join(sorted(missing))} of {self.name} is not part of its forward"
                " pass; choose another layer"
            )
        return {layer: found[path] for layer, path in wanted.items()}

    def _is_chain(self, paths: set[str]) -> bool:
        """Whether the module does nothing but call its children in turn, and the layers are among
        them.
        """
        module = self.module
        plain = type(module).forward is nn.Sequential.forward and not (
            module._forward_pre_hooks or module._forward_hooks
        )
        return plain and paths <= module._modules.keys()

    def _walk(self, x: Tensor, paths: set[str]) -> dict[str, Tensor]:
        """The layers of a chain, child by child: no hooks, which `torch.compile` cannot see
        through.
        """
        found: dict[str, Tensor] = {}
        for (
            path,
            child,
        ) in (
            self.module._modules.items()
        ):  # a child may be there twice: named_children would leave it out
            assert child is not None
            x = child(x)
            if path in paths:
                last = len(found) == len(paths) - 1
                found[path] = self._kept(path, x, last)
                if last:
                    break
        return found

    def _hooked(self, x: Tensor, paths: set[str]) -> dict[str, Tensor]:
        """The layers of any module, by a hook on each."""
        found: dict[str, Tensor] = {}
        handles = []

        def hook(path: str) -> Any:
            def keep(_module: nn.Module, _inputs: Any, output: Any) -> Any:
                if path in found:
                    return None
                last = len(found) == len(paths) - 1
                found[path] = self._kept(path, output, last)
                if last:
                    raise _Reached
                return None

            return keep

        try:
            for path in paths:
                handles.append(self._modules[path].register_forward_hook(hook(path)))
            self.module(x)
        except _Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _kept(self, path: str, output: Any, last: bool) -> Tensor:
        """A layer's output as it is now: what follows may work on it in place (residual sums do),
        unless the pass ends here.
        """
        if not isinstance(output, Tensor):
            raise InvsetError(
                f"layer {path!r} of {self.name} gives {type(output).__name__}, not one tensor;"
                " choose another layer"
            )
        return output if last else output.clone()

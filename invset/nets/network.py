"""A network whose inside can be read: any torch module, its layers by name, all in one pass.

The encoder E and every neuron f of one network share one forward pass (one trunk), which stops at
the deepest layer asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from invset.core.context import own_context
from invset.errors import InvsetError, did_you_mean, is_out_of_memory
from invset.files.image8bit import Image8Bit, of_size
from invset.files.medium import Medium
from invset.nets.precision import in_float32
from invset.nets.trace import Trace, told, trace
from invset.nets.twin import frozen, twin

T = TypeVar("T")


class _Reached(Exception):
    """Raised by the hook on the deepest layer: nothing beyond it is needed."""


#: A layer's name followed by this is what enters it.
INPUT = ".input"


class Network:
    """A frozen module in evaluation mode and the names of its layers.

    Args:
        module: maps inputs of `medium`, such as float RGB images in [0, 1] with shape (N, 3, H, W),
            to anything.
        name: what reports call it.
        image_size: side in pixels that the module wants, or (height, width); None takes any, or
            what `medium` says.
        aliases: public layer name -> module path, where they differ (``{"fc6": "relu6"}``).
        labels: name of each unit of `output`, in order; None if there are none.
        output: the layer whose neurons a person means when no layer is given; None: what the module
            returns, by the name of the layer that makes it, or "output" if no layer does.
        encoder: the layer that is E when none is given; None: the input of the linear layer that
            runs last, or the part that ends before `output`.
        prefix_tokens: tokens that come before the patches of a layer of tokens (class token,
            registers); None: those that a square of patches leaves over.
        medium: what its inputs are; None: RGB pictures.
        view_size: side in pixels of smaller pictures that it sees well enough for the steps of
            robust neurons (`invset.problem.robust`); None: its own size.
        device: where the weights go.
        in_place: work with the module itself, which stays frozen and in evaluation mode; False:
            with a copy that has the same weights in memory, and the hooks that the module has now.

    Threads may share a network: its passes wait for each other.

    A layer is the path of a module (``layer4.1.conv2``), an alias, or one of these with ``.input``
    behind it: what enters it. A module that is called several times in one pass is read at its
    first call.

    Raises:
        InvsetError: no layer has a name, or `output` has another number of units than there are
            labels; or the module can't be copied.
    """

    @own_context()
    def __init__(
        self,
        module: nn.Module,
        *,
        name: str = "network",
        image_size: int | tuple[int, int] | None = None,
        aliases: Mapping[str, str] | None = None,
        labels: Sequence[str] | None = None,
        output: str | None = None,
        encoder: str | None = None,
        prefix_tokens: int | None = None,
        medium: Medium | None = None,
        view_size: int | None = None,
        device: str | torch.device = "cpu",
        in_place: bool = False,
    ) -> None:
        self.medium = of_size(medium or Image8Bit(), image_size)
        if not in_place:
            module = twin(module, f"network {name}")
        module = in_float32(module, f"network {name}", self.medium.blank())
        self.module = frozen(module.to(device))
        self.name = name
        self.aliases = dict(aliases or {})
        self.labels = list(labels) if labels is not None else None
        self.prefix_tokens = prefix_tokens
        self.view_size = view_size
        self.device = torch.device(device)
        self._modules = dict(module.named_modules())
        self._order = [path for path in self._modules if path]
        if not self._order:
            raise InvsetError(
                f"{name} has no layers with a name: put it into"
                f" torch.nn.Sequential({type(module).__name__}(...))"
            )
        self._lock = threading.RLock()  # hooks of one pass would see those of another
        self._given = (output, encoder)
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._check_labels()

    def _check_labels(self) -> None:
        if self.labels is None:
            return
        units = self.units(self.output)
        if len(self.labels) != units:
            raise InvsetError(
                f"{self.name} has {len(self.labels)} labels, but its output {self.output} has"
                f" {units} units; give as many names as units, or network.labels=null"
            )

    @property
    def image_size(self) -> int | tuple[int, int] | None:
        """Side in pixels that the module wants, or (height, width); None if it takes any."""
        sides = (self.medium.shape or ())[1:]
        if len(sides) != 2:
            return None
        return sides[0] if sides[0] == sides[1] else (sides[0], sides[1])

    @cached_property
    def traced(self) -> Trace:
        """What one pass of a blank input tells."""
        with self._lock:
            return self._on_blank(lambda blank: trace(self._modules, blank))

    @cached_property
    def output(self) -> str:
        """The layer whose neurons are meant when none is given."""
        return self._given[0] or self.traced.maker or self._returned

    @cached_property
    def encoder(self) -> str:
        """The layer that is E when none is given."""
        if self._given[1] is not None:
            return self._given[1]
        linear = self.traced.linear
        return f"{linear}{INPUT}" if linear else self.traced.before or self.output

    @property
    def _returned(self) -> str:
        """What the network returns, as a layer, where no module makes it."""
        return "returned" if "output" in self._modules else "output"

    @property
    def layers(self) -> list[str]:
        """Every name that a layer can be called by: aliases first, then module paths, then the
        defaults that are no modules.
        """
        return list(dict.fromkeys([*self.aliases, *self._order, self.encoder, self.output]))

    def resolve(self, layer: str) -> str:
        """Return the path of `layer`: of a module, of a module's input, or empty for what the
        network returns.

        Raises:
            InvsetError: no such layer.
        """
        path = self.aliases.get(layer, layer)
        if path in self._modules and path:
            return path
        if layer == self._returned:
            return ""
        of = path.removesuffix(INPUT)
        of = self.aliases.get(of, of)
        if path.endswith(INPUT) and of in self._modules and of:
            return f"{of}{INPUT}"
        known = self.layers
        listed = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
        raise InvsetError(
            f"{self.name} has no layer {layer!r}.{did_you_mean(layer, known)} Its layers:"
            f" {listed}; invset list layers, with the same network=, tells more"
        )

    def shape(self, layer: str) -> tuple[int, ...]:
        """Shape of one input's activations in `layer`: (units,), (tokens, channels) or (channels,
        height, width).

        Raises:
            InvsetError: no such layer, or the module can't take an image.
        """
        if layer not in self._shapes:
            value = self._on_blank(lambda blank: self.taps(blank, [layer])[layer])
            self._shapes[layer] = tuple(value.shape[1:])
        return self._shapes[layer]

    def units(self, layer: str) -> int:
        """How many neurons a layer has: units, or channels of maps or tokens."""
        shape = self.shape(layer)
        return shape[-1] if len(shape) == 2 else shape[0]

    def _on_blank(self, how: Callable[[Tensor], T]) -> T:
        """What `how` makes of a blank input, which somebody's module may not like."""
        blank = self.medium.blank().to(self.device)
        try:
            with torch.no_grad():
                return how(blank)
        except InvsetError:
            raise
        except Exception as error:  # whatever a user's module raises
            if is_out_of_memory(error):
                raise
            shape = "x".join(map(str, blank.shape[1:]))
            raise InvsetError(
                f"network {self.name} can't take a float32 {self.medium.noun} of {shape}:"
                f" {told(error)}; {self.medium.hint}"
            ) from error

    def taps(self, x: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
        """Activations of several layers in one pass that stops at the deepest.

        Args:
            x: inputs, such as float RGB images in [0, 1] with shape (N, 3, H, W).
            layers: names; each is resolved as in `resolve`.

        Returns:
            layer -> activations, with shape (N, units), (N, tokens, channels) or (N, channels,
            height, width).
        """
        wanted = {layer: self.resolve(layer) for layer in layers}
        paths = set(wanted.values())
        x = x.clone()  # a module may work on it in place
        if self._is_chain(paths):
            found = self._walk(x, paths)
        else:
            with self._lock:
                found = self._hooked(x, paths)
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
        # a child may be there twice: named_children would leave it out
        for path, child in self.module._modules.items():
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

        def keep(path: str, value: Any) -> None:
            if path in found:
                return
            last = len(found) == len(paths) - 1
            found[path] = self._kept(path, value, last)
            if last:
                raise _Reached

        try:
            for path in paths:
                handles.append(self._hook(path, partial(keep, path)))
            self.module(x)
        except _Reached:
            pass
        finally:
            for handle in handles:
                handle.remove()
        return found

    def _hook(self, path: str, keep: Callable[[Any], None]) -> RemovableHandle:
        """Let `keep` have what a layer gives, or what enters it."""
        if path in self._modules:
            return self._modules[path].register_forward_hook(lambda _m, _i, output: keep(output))
        module = self._modules[path.removesuffix(INPUT)]
        return module.register_forward_pre_hook(lambda _m, inputs: keep(inputs[0]))

    def _kept(self, path: str, output: Any, last: bool) -> Tensor:
        """A layer's output as it is now: what follows may work on it in place (residual sums do),
        unless the pass ends here.
        """
        if not isinstance(output, Tensor):
            raise InvsetError(
                f"layer {path or self._returned!r} of {self.name} gives"
                f" {type(output).__name__}, not one tensor;"
                " choose another layer"
            )
        return output if last else output.clone()

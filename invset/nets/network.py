"""A network whose inside can be read: any torch module, its layers by name, all in one pass.

The encoder E and every neuron f of one network share one forward pass (one trunk), which stops at
the deepest layer asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from invset.core.context import own_context
from invset.errors import InvsetError, did_you_mean, is_out_of_memory
from invset.files.image8bit import Image8Bit, of_size
from invset.files.medium import Medium
from invset.nets.axes import arranged, check_axis
from invset.nets.precision import in_float32
from invset.nets.taps import INPUT, Taps, each_call
from invset.nets.tokens import Tokens
from invset.nets.trace import Trace, told, trace
from invset.nets.twin import check_plain, frozen, twin

T = TypeVar("T")


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
        prefix_tokens: how many tokens come before the patches of a layer of tokens (class token,
            registers), or what is known of them; None: those that a square of patches leaves over.
        axes: layer -> "first" or "last", the axis of its channels, where the modules don't say it.
        medium: what its inputs are; None: RGB pictures.
        view_size: side in pixels of smaller pictures that it sees well enough for the steps of
            robust neurons (`invset.problem.robust`); None: its own size.
        real: real inputs in stored form that come with it, beside which samples are read; None:
            there are none.
        device: where the weights go.
        in_place: work with the module itself, which stays frozen and in evaluation mode; False:
            with a copy that has the hooks that the module has now, and the same weights in memory
            where device, type and layout allow it, else their values of now.
        note: a sentence on it that a run tells, and its page; empty: there is none.
        text: words -> their direction in `output`, with shape (units,), of length 1; None: it reads
            no words.

    Threads may share a network: its passes wait for each other.

    A layer is the path of a module (``layer4.1.conv2``), an alias, or one of these with ``.input``
    behind it: what enters it. A module that is called several times in one pass is read at its
    first call, or at ``relu#2``, its second.

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
        prefix_tokens: int | Tokens | None = None,
        axes: Mapping[str, str] | None = None,
        medium: Medium | None = None,
        view_size: int | None = None,
        real: Tensor | None = None,
        device: str | torch.device = "cpu",
        in_place: bool = False,
        text: Callable[[str], Tensor] | None = None,
        note: str = "",
    ) -> None:
        self.medium = of_size(medium or Image8Bit(), image_size)
        check_plain(module, f"network {name}")
        if not in_place:
            module = twin(module, f"network {name}")
        module = in_float32(module, f"network {name}", self.medium.blank())
        if any(one.is_meta for one in module.parameters()) and str(device) != "meta":
            raise InvsetError(
                f"network {name} has weights on the device meta, which have no values; load them"
                " before"
            )
        module.to(device)
        self.module = frozen(module)
        self.name = name
        self.aliases = dict(aliases or {})
        self.labels = list(labels) if labels is not None else None
        self.tokens = Tokens.of(prefix_tokens)
        self.text = text
        self.note = note
        self.view_size = view_size
        self.real = real
        self.device = torch.device(device)
        self._modules = dict(module.named_modules())
        self._order = [path for path in self._modules if path]
        if not self._order:
            raise InvsetError(
                f"{name} has no layers with a name: put it into"
                f" torch.nn.Sequential({type(module).__name__}(...))"
            )
        self._passes = Taps(self.module, self._modules)
        self._given = (output, encoder)
        self.axes = {self.resolve(layer): check_axis(layer, a) for layer, a in (axes or {}).items()}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._check_labels()

    def __repr__(self) -> str:
        return f"Network({self.name!r}, {self.medium}, {len(self._order)} modules)"

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

    @property
    def side(self) -> int:
        """The longer side in pixels of the pictures that it wants; 0 if it takes any, or none."""
        return max((self.medium.shape or ())[1:], default=0)

    @cached_property
    def traced(self) -> Trace:
        """What one pass of a blank input tells."""
        with self._passes.lock:
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
        calls = self.traced.calls
        paths = [one for path in self._order for one in each_call(path, calls.get(path, 1))]
        return list(dict.fromkeys([*self.aliases, *paths, self.encoder, self.output]))

    def resolve(self, layer: str) -> str:
        """Return the path of `layer`: of a module, of a module's input, or empty for what the
        network returns.

        Raises:
            InvsetError: no such layer.
        """
        path = self.aliases.get(layer, layer)
        if layer == self._returned and path not in self._modules:
            return ""
        of = path.removesuffix(INPUT)
        found = self.aliases.get(of, of) + path[len(of) :]
        if path in self._modules and path:
            return path
        if self._passes.has(found):
            return found
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
        """How many neurons a layer has: units, or channels of maps or tokens.

        Raises:
            InvsetError: no such layer, or one whose channels may lie on one axis or the other.
        """
        return self.channels(layer, self.shape(layer))

    def channels(self, layer: str, shape: Sequence[int]) -> int:
        """The same of a layer of known shape, as `shape` gives it."""
        if len(shape) > 1 and self.axis(layer) is None:
            listed = "x".join(map(str, shape))
            raise InvsetError(
                f"on which axis of layer {layer} ({listed}) the channels lie can't be told; type"
                f" 'network.axes={{{layer}: last}}', or first"
            )
        return shape[-1] if len(shape) == 2 else shape[0]

    def axis(self, layer: str) -> str | None:
        """Where the channels of a layer lie in what its module gives: "first" or "last"; None where
        that can't be told, and of units.
        """
        return self._axis(self.resolve(layer))

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
        found = self._passes.look(x, paths)
        missing = paths - set(found)
        if missing:
            raise InvsetError(
                f"layer {', '.join(sorted(missing))} of {self.name} is not part of its forward"
                " pass: it is a container, or is never called; choose another layer"
            )
        large = any(isinstance(one, Tensor) and one.ndim > 2 for one in found.values())
        if large and "traced" not in vars(self):  # of inputs that it takes; a blank may not suit
            with self._passes.lock:
                self.traced = trace(self._modules, x[:1].detach().clone())
        return {layer: self._arranged(path, found[path]) for layer, path in wanted.items()}

    def _arranged(self, path: str, value: Any) -> Tensor:
        """A layer as `taps` gives it, wherever its channels lie."""
        if not isinstance(value, Tensor):
            raise InvsetError(
                f"layer {path or self._returned!r} of {self.name} gives"
                f" {type(value).__name__}, not one tensor; choose another layer"
            )
        return arranged(value, self._axis(path) if value.ndim in (3, 4) else None)

    def _axis(self, path: str) -> str | None:
        return self.axes.get(path) or self.traced.axes.get(path.removesuffix("#1"))

"""A few passes through everything before anything is sampled, so that what does not fit is told in
one sentence.

The codes are those that sampling may start at: of the generator's own start or natural region, and
zeros where it has neither, since zeros are no code of some generators (one that normalises its
code divides by zero).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from invset.errors import InvsetError, is_out_of_memory
from invset.files.image8bit import Image8Bit
from invset.files.medium import Medium
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.nets.trace import told
from invset.problem.adapt import adapted, called, form_of
from invset.problem.slopes import slopes_fault
from invset.problem.steady import Values, blamed, fault_of

#: Codes of the pass: two, so that an axis of the batch is told from one of length 1.
_CODES = 2

T = TypeVar("T")


@dataclass(frozen=True)
class First:
    """What first passes showed.

    Attributes:
        generator: adapted to what the network takes.
        input_shape: of what it makes of one code.
        shapes: of one input's activations in each layer.
        notes: sentences on them.
        flat: why no pass can be differentiated, in a sentence; None: passes can.
    """

    generator: Generator
    input_shape: tuple[int, ...]
    shapes: dict[str, tuple[int, ...]]
    notes: list[str]
    flat: str | None


def first_passes(
    network: Network,
    generator: Generator,
    encoder_network: Network,
    encoder: str,
    layers: Iterable[str],
    stochastic: bool = False,
) -> First:
    """Take the first passes through everything.

    Args:
        network: where the neurons live.
        generator: as it was given.
        encoder_network: where the encoder lives.
        encoder: its layer.
        layers: of the neurons.
        stochastic: as in `first_inputs` and `first_activations`.

    Raises:
        InvsetError: see `first_inputs` and `first_activations`.
    """
    name = generator.name
    found, x, notes = first_inputs(generator, network.medium, network.device, stochastic)
    layers = sorted(set(layers))
    own = {encoder} if encoder_network is network else set()
    taps = first_activations(network, x, sorted({*layers} | own), name, stochastic)
    flat = slopes_fault(network, x, layers)
    if not own:
        first_activations(encoder_network, x, [encoder], name, stochastic)
    shapes = {layer: tuple(value.shape[1:]) for layer, value in taps.items()}
    return First(found, tuple(x.shape[1:]), shapes, notes, flat)


@torch.no_grad()
def first_inputs(
    generator: Generator, medium: Medium, device: torch.device, stochastic: bool = False
) -> tuple[Generator, Tensor, list[str]]:
    """The generator, adapted to what the network takes, G of two codes, and what is to be said of
    it.

    Args:
        generator: as it was given.
        medium: of the network.
        device: where it is.
        stochastic: allow a generator that is no function of a code.

    Raises:
        InvsetError: the generator raises, what it makes are no inputs of this medium, or it makes
            others of the same code.
    """
    name = generator.name
    if type(generator.medium) is not type(medium):
        raise InvsetError(
            f"generator {name} makes {generator.medium.noun}s, but the network takes"
            f" {medium.noun}s; choose another generator="
        )
    codes = _first_codes(generator).to(device)
    square, given = _called(
        lambda: called(generator, codes),
        f"generator {name} can't take float32 codes of shape {tuple(codes.shape)}",
        f"generator.code_dim={codes.shape[1]} says how many numbers a code has",
    )
    form = form_of(name, square, given, medium, _CODES)
    generator = adapted(generator, form)
    raw = generator.unclamped(codes)
    if raw.shape[:1] != (_CODES,):
        raise InvsetError(
            f"generator {name} gives values of shape {tuple(raw.shape)} for {_CODES} codes, not one"
            f" {medium.noun} for each"
        )
    if not raw.isfinite().all():
        raise InvsetError(
            f"generator {name} gives values that are infinite or not a number, at codes of the kind"
            " that sampling starts at"
        )
    misfit = medium.misfit(raw)
    if misfit:
        raise InvsetError(f"generator {name} {misfit}")
    x = medium.clamp(raw)
    if not stochastic:
        what = f"generator {name} gives another {medium.noun} for the same code"
        _check_steady(generator.module, lambda c: {"": generator(c)}, codes, {"": x}, what)
    # a mode of the caller's must not look like a fault of the generator
    with torch.inference_mode(False), torch.enable_grad():
        made = _called(
            lambda: generator.unclamped(codes.clone().requires_grad_()),
            f"generator {name} has no gradient",
            "leave numpy and the like out of its forward()",
        )
        if not made.requires_grad:
            raise InvsetError(
                f"generator {name} gives {medium.noun}s without slopes in its codes; leave no_grad,"
                " detach and the like out of its forward()"
            )
    remark = medium.remark(raw) if isinstance(medium, Image8Bit) else None
    notes = [f"Generator {name} {remark}."] if remark else []
    if form.channels is not None:
        before, after = ("grey", "RGB") if form.channels == 3 else ("RGB", "grey")
        notes.append(f"Generator {name} makes {before} pictures, which become {after}.")
    return generator, x, notes


@torch.no_grad()
def first_activations(
    network: Network, x: Tensor, layers: Iterable[str], generator: str, stochastic: bool = False
) -> dict[str, Tensor]:
    """Activations of some layers at first inputs.

    Args:
        network: that looks.
        x: from `first_inputs`.
        layers: their names.
        generator: the name of what made x.
        stochastic: allow activations that are no function of an input.

    Raises:
        InvsetError: the network raises, a layer's activations are no finite rows, one an input, or
            they are others for the same input.
    """
    layers = list(layers)
    wanted = network.medium.shape
    shape = tuple(x.shape[1:])
    noun = network.medium.noun
    what = f"network {network.name} can't take float32 {noun}s of {_times(shape)}"
    hint = network.medium.hint
    if wanted is not None and wanted != shape:
        what = (
            f"network {network.name} takes {noun}s of {_times(wanted)}, and {generator} makes"
            f" {_times(shape)}, which don't fit"
        )
        hint = "leave generator= out for the network's own, or give both the same size"
    taps = _called(lambda: network.taps(x, layers), what, hint)
    for layer, value in taps.items():
        where = f"layer {layer} of {network.name}"
        if value.shape[:1] != x.shape[:1]:
            raise InvsetError(
                f"{where} gives activations of shape {tuple(value.shape)} for {len(x)} inputs, not"
                " a row for each; choose another layer"
            )
        if not value.isfinite().all():
            raise InvsetError(
                f"{where} gives activations that are infinite or not a number, at the first"
                f" {noun}s that {generator} makes"
            )
    if not stochastic:
        what = f"network {network.name} gives other activations for the same {noun}"
        _check_steady(network.module, lambda y: network.taps(y, layers), x, taps, what)
    return taps


def _check_steady(
    module: object, look: Callable[[Tensor], Values], x: Tensor, first: Values, what: str
) -> None:
    """Raise `InvsetError` unless what `look` gives is a function of its input."""
    fault = _called(
        lambda: fault_of(look, x, first),
        f"{what} alone than within a batch",
        "let it take a batch of any size, or type stochastic=true",
    )
    if fault is not None:
        who = "it"
        if isinstance(module, nn.Module):
            who = blamed(module, x, fault.alone)
        where = f" (layer {fault.name})" if fault.name else ""
        raise InvsetError(
            f"{what} {fault.words}{where}: {who}; what is sampled must be a function, so mend that,"
            " or type stochastic=true to allow it"
        )


def _first_codes(generator: Generator) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    if generator.start is not None:
        return generator.start(_CODES, rng)
    if generator.prior is not None:
        return generator.prior.decode(generator.prior.sample(_CODES, rng))
    return torch.zeros(_CODES, generator.code_dim)


def _called(call: Callable[[], T], what: str, hint: str) -> T:
    """What `call` gives; what somebody's module raises is told in one sentence."""
    try:
        return call()
    except InvsetError:
        raise
    except Exception as error:  # whatever a user's module raises
        if is_out_of_memory(error):
            raise
        raise InvsetError(f"{what}: {told(error)}; {hint}") from error


def _times(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))

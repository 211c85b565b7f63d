"""What all runs of ``invset compare`` have alike, and the ranges that are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from invset import __version__
from invset.analysis.reference import Reference
from invset.commands.pictures import real_inputs
from invset.config import build
from invset.config.cells import Cell
from invset.config.comparing import neurons_of
from invset.config.device import choose_device
from invset.config.judging import Judging, judging
from invset.config.real_images import load_reference
from invset.errors import InvsetError
from invset.files.sums import short_sum
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.nets.weights import checksum
from invset.problem.neuron import ANY, find
from invset.problem.perturbing import Perturbing
from invset.problem.position import Position
from invset.problem.problem import Neuron, Problem
from invset.studies.arena import natural_quantiles


@dataclass(frozen=True)
class Unit:
    """A neuron that is compared.

    Attributes:
        row: its columns of ``runs.csv``.
        neuron: itself, without a range.
        index: from 0.
    """

    row: dict[str, Any]
    neuron: Neuron
    index: int


@dataclass(frozen=True)
class Parts:
    """What all runs have alike.

    Attributes:
        network, generator: of every problem.
        encoder: layer that is E(x); None: the network's own choice.
        encoder_network: where it lives; None: in `network`.
        reference: real images; None: there are none.
        judge: who looks at the samples.
        perturbing: how samples are perturbed.
        real: real inputs in stored form, for samplers that begin at some; None: none were named.
        shared: columns `SHARED` of ``runs.csv``.
        robust: whether neurons are read in views.
    """

    network: Network
    generator: Generator
    encoder: str | None
    encoder_network: Network | None
    reference: Reference | None
    judge: Judging
    perturbing: Perturbing
    real: Tensor | None
    shared: dict[str, Any]
    robust: bool

    @classmethod
    def of(cls, cfg: DictConfig) -> Parts:
        """Build them.

        Raises:
            InvsetError: they do not fit.
        """
        device = choose_device(cfg.device, float64=True)
        network = build.network(cfg.network, device)
        generator = build.generator(cfg.generator, device)
        other = None if cfg.encoder_network is None else build.network(cfg.encoder_network, device)
        encoder = None if cfg.encoder is None else str(cfg.encoder)
        layer, number, position = neurons_of(cfg)[0]
        first = Neuron(layer or network.output, number, position=position)
        problem = Problem(network, generator, encoder, [first], other)
        reference = load_reference(cfg, problem)
        judge = judging(cfg, network, other)
        judge.check(problem.input_shape)
        if reference is not None:
            reference = judge.beside(reference)
        perturbing = hydra.utils.instantiate(cfg.perturbed)
        shared = {
            "version": __version__,
            "device": str(device),
            "network": _called(network, cfg.network),
            "generator": _called(generator, cfg.generator),
            "encoder": " of ".join([problem.encoder, *_encoder_network(other, cfg)]),
            "reference": "" if reference is None else short_sum(reference),
            "judge": "" if judge.network is None else _called(judge.network, cfg.judge),
            "perturbed": _perturbed(perturbing),
            "budget": "" if cfg.budget is None else str(cfg.budget),
            "n": cfg.n,
        }
        real = real_inputs(problem, cfg.images, cfg.limit)
        parts = (network, generator, encoder, other, reference, judge, perturbing, real, shared)
        return cls(*parts, problem.robust is not None)

    def problem(self, neuron: Neuron, method: DictConfig | None = None) -> Problem:
        """The question about one neuron, put as a sampler's file asks for it."""
        how = {} if method is None else {key: method[key] for key in ("eight_bit", "clamp")}
        return Problem(
            self.network, self.generator, self.encoder, [neuron], self.encoder_network, **how
        )

    def unit(self, layer: str | None, neuron: int | str, position: Position) -> Unit:
        """A neuron as it was typed, and as it is."""
        named = layer or self.network.output
        asked = Neuron(named, neuron, position=position)
        index = find(self.network, asked).index
        assert index is not None  # it is no direction
        path = self.network.resolve(named) or named
        at = "" if position == "center" else f" at {position}".replace("(", "[").replace(")", "]")
        row = {"layer": named, "neuron": neuron, "unit": f"{path}:{index + 1}{at}"}
        return Unit(row, asked, index)

    def ends(self, unit: Unit, cell: Cell) -> tuple[float, float]:
        """z1 and z2 of a neuron in a cell; without a range all activations lie between them.

        Raises:
            InvsetError: a share of real images, but there are none, or their largest is not
                positive; quantiles between which there is nothing.
        """
        if cell.way == "goals":
            return ANY
        low, high = cell.pair
        if cell.way == "ranges":
            return low, high
        layer, index = unit.neuron.layer, unit.index
        # a reference holds maps and tokens at their centre
        known = self.reference is not None and self.reference.knows(layer)
        known = known and unit.neuron.position == "center"
        if cell.way == "fractions":
            if self.reference is None or not known:
                raise _no_reference(unit)
            top = self.reference.quantile(layer, index, 1.0)
            if top <= 0:
                raise InvsetError(
                    f"neuron {unit.row['neuron']} of layer {layer} is {top:g} at most in real"
                    " images; there are no shares of that, so leave it out of neurons="
                )
            return low * top, high * top
        z1, z2 = self._quantiles(unit, cell, index if known else None)
        if not z1 < z2:
            raise InvsetError(
                f"quantiles {low:g} and {high:g} of neuron {unit.row['neuron']} of layer {layer}"
                f" are both {z1:g}; type quantiles that are farther apart, or ranges="
            )
        return z1, z2

    def _quantiles(self, unit: Unit, cell: Cell, index: int | None) -> list[float]:
        """Of real inputs, or with `index` None of natural codes."""
        if index is not None and self.reference is not None:
            f = self.reference.activations[unit.neuron.layer][:, index].double()
            return [f.quantile(level).item() for level in cell.pair]
        return natural_quantiles(self.problem(unit.neuron), cell.pair)


def _no_reference(unit: Unit) -> InvsetError:
    layer, position = unit.neuron.layer, unit.neuron.position
    if position != "center":
        return InvsetError(
            f"fractions= are shares of what real images give at position=center, and {layer} is"
            f" read at {position}; type ranges= or quantiles="
        )
    return InvsetError(
        f"fractions= need a reference that holds layer {layer}; make one by invset fit reference"
        f" 'keep=[{layer}]', or type 'quantiles={{middle: [0.45, 0.55]}}' or ranges= instead"
    )


def _perturbed(how: Perturbing) -> str:
    """What was asked, empty for nothing."""
    if not how.count:
        return ""
    return f"{how.count} of {how.sd:g} in {how.scale}, quantile {how.quantile:g}, seed {how.seed}"


def _called(part: Any, about: Any) -> str:
    """Name of a network or generator, and a sum of what it is made from."""
    options = OmegaConf.to_yaml(about, resolve=True) if OmegaConf.is_config(about) else about
    return f"{part.name} {short_sum(options, checksum(part.module), getattr(part, 'prior', None))}"


def _encoder_network(network: Network | None, cfg: DictConfig) -> list[str]:
    return [] if network is None else [_called(network, cfg.encoder_network)]

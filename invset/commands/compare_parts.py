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
from invset.problem.problem import Neuron, Problem
from invset.studies.arena import natural_quantiles


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
        layer, number = neurons_of(cfg)[0]
        first = Neuron(layer or network.output, number)
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
        real = real_inputs(problem, cfg.images, cfg.limit, cfg.progress)
        return cls(network, generator, encoder, other, reference, judge, perturbing, real, shared)

    def problem(self, neuron: Neuron, method: DictConfig | None = None) -> Problem:
        """The question about one neuron, put as a sampler's file asks for it."""
        how = {} if method is None else {key: method[key] for key in ("eight_bit", "clamp")}
        return Problem(
            self.network, self.generator, self.encoder, [neuron], self.encoder_network, **how
        )

    def unit(self, layer: str | None, neuron: int | str) -> dict[str, Any]:
        """A neuron as it was typed, and as it is."""
        named = layer or self.network.output
        index = find(self.network, Neuron(named, neuron)).index
        assert index is not None  # it is no direction
        path = self.network.resolve(named) or named
        return {"layer": named, "neuron": neuron, "unit": f"{path}:{index + 1}"}

    def ends(self, unit: dict[str, Any], cell: Cell) -> tuple[float, float]:
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
        layer, index = unit["layer"], int(unit["unit"].rpartition(":")[2]) - 1
        known = self.reference is not None and self.reference.knows(layer)
        if cell.way == "fractions":
            if self.reference is None or not known:
                raise _no_reference(layer)
            top = self.reference.quantile(layer, index, 1.0)
            if top <= 0:
                raise InvsetError(
                    f"neuron {unit['neuron']} of layer {layer} is {top:g} at most in real images;"
                    " there are no shares of that, so leave it out of neurons="
                )
            return low * top, high * top
        z1, z2 = self._quantiles(unit, cell, index if known else None)
        if not z1 < z2:
            raise InvsetError(
                f"quantiles {low:g} and {high:g} of neuron {unit['neuron']} of layer {layer} are"
                f" both {z1:g}; type quantiles that are farther apart, or ranges="
            )
        return z1, z2

    def _quantiles(self, unit: dict[str, Any], cell: Cell, index: int | None) -> list[float]:
        """Of real inputs, or with `index` None of natural codes."""
        if index is not None and self.reference is not None:
            f = self.reference.activations[unit["layer"]][:, index].double()
            return [f.quantile(level).item() for level in cell.pair]
        return natural_quantiles(self.problem(Neuron(unit["layer"], unit["neuron"])), cell.pair)


def _no_reference(layer: str) -> InvsetError:
    return InvsetError(
        f"there is no reference that holds layer {layer}, of which fractions= are shares; make one"
        f" with: invset fit reference 'keep=[{layer}]', or give ranges in another way: 'quantiles="
        "{middle: [0.45, 0.55]}', or ranges="
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

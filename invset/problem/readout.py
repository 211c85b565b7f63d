"""What is read of an input in one pass: the neurons' activations f and the encoding E."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invset.nets.network import Network
from invset.problem.neuron import Neuron, Place, read_all


@dataclass(frozen=True)
class Readout:
    """Neurons and encoder of a problem.

    Attributes:
        network: where the neurons live.
        encoder_network: where the encoder lives; one pass serves both where they are the same.
        encoder: layer whose activations are E(x).
        neurons: at least one.
        places: where in its layer each of them is.
    """

    network: Network
    encoder_network: Network
    encoder: str
    neurons: Sequence[Neuron]
    places: Sequence[Place]

    #: Passes of the network that one input takes.
    passes = 1

    def look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Activations, with shape (B, p), and encodings, with shape (B, d), of inputs."""
        taps, e = self._taps(x)
        return self._read(taps), e

    def activations(self, x: Tensor) -> Tensor:
        """Activations alone, with shape (B, p)."""
        return self._read(self.network.taps(x, self._layers))

    def units(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Activations of all units of the first neuron's layer, with shape (B, units), at its
        position, and encodings.
        """
        taps, e = self._taps(x)
        return read_all(taps[self.neurons[0].layer], self.places[0].at), e

    @property
    def _layers(self) -> set[str]:
        return {neuron.layer for neuron in self.neurons}

    def _read(self, taps: dict[str, Tensor]) -> Tensor:
        neurons = zip(self.neurons, self.places, strict=True)
        return torch.stack([place.read(taps[neuron.layer]) for neuron, place in neurons], dim=1)

    def _taps(self, x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Activations of the neurons' layers, by name, and encodings, with shape (B, d)."""
        if self.encoder_network is self.network:
            taps = self.network.taps(x, self._layers | {self.encoder})
            encodings = taps[self.encoder]
        else:
            taps = self.network.taps(x, self._layers)
            encodings = self.encoder_network.taps(x, [self.encoder])[self.encoder]
        return taps, encodings.flatten(1)

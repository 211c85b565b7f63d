r"""A network of one's own: a small transformer, with a neuron in its class token.

    invset run --config-dir . network=patches generator=mini \
        layer=block neuron=3 position=cls z1=-0.45 z2=-0.35 n=20
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invset import InverseSetSampler, Neuron, Problem, mini_generator
from invset.nets.custom import module_network


class Patches(nn.Module):
    """Pictures, with shape (N, 3, 32, 32), to 10 logits by way of a class token and 4x4 patches."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 8, stride=8)
        self.start = nn.Parameter(torch.randn(1, 1, width))
        self.block = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.patch(x).flatten(2).transpose(1, 2)
        tokens = self.block(torch.cat([self.start.expand(len(x), -1, -1), patches], 1))
        return self.head(tokens[:, 0])


def build() -> nn.Module:
    """The network; its weights are random here, where yours are loaded."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Patches()


if __name__ == "__main__":
    network = module_network(build, image_size=32, name="patches")
    neuron = Neuron("block", 3, range=(-0.45, -0.35), position="cls")
    problem = Problem(network, mini_generator(), encoder="block", neurons=[neuron])
    result = InverseSetSampler(k=5, n=20).run(problem, seed=0)
    print(f"{len(result)} samples, {int(result.in_range.sum())} in range: {result.status.sentence}")

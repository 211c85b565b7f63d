"""A generator of one's own: pictures of soft coloured discs, made by no training.

invset run --config-dir . generator=discs network=mini neuron=ship z1=1 z2=2 n=20
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from invset import InverseSetSampler, Neuron, Problem, mini_network
from invset.nets.custom import module_generator


class Discs(nn.Module):
    """Codes to pictures: six numbers a disc are its place, its size and its colour.

    Args:
        count: discs in a picture.
        size: side of the picture in pixels.
    """

    grid: Tensor

    def __init__(self, count: int = 32, size: int = 32) -> None:
        super().__init__()
        self.count = count
        axis = torch.linspace(-1, 1, size)
        self.register_buffer("grid", torch.stack(torch.meshgrid(axis, axis, indexing="ij")))

    def forward(self, codes: Tensor) -> Tensor:
        disc = codes.unflatten(1, (self.count, 6))
        place = 0.6 * disc[:, :, :2, None, None]
        radius = 0.2 * (0.5 * disc[:, :, 2, None, None]).exp()
        far = (self.grid - place).square().sum(2) / radius**2
        return torch.einsum("nkhw,nkc->nchw", (-far).exp(), disc[:, :, 3:]).sigmoid()


if __name__ == "__main__":
    # codes are N(0, I) by construction, so that their natural region is known
    generator = module_generator(Discs(), code_dim=6 * 32, gaussian=True, name="discs")
    problem = Problem(mini_network(), generator, neurons=[Neuron("fc8", "ship", range=(1, 2))])
    result = InverseSetSampler(k=5, n=20).run(problem, seed=0)
    print(f"{len(result)} samples, {int(result.in_range.sum())} in range: {result.status.sentence}")

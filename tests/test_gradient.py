"""A network or generator without a gradient is told in one sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from invset import InverseSetSampler, InvsetError, Network, Neuron, Problem, mini_generator
from invset.core.gradient import gradient


class Severed(nn.Module):
    def __init__(self, how: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how = how
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 6), nn.Linear(6, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self.net, x)


WAYS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "no_grad": torch.no_grad()(lambda net, x: net(x)),
    "inference_mode": torch.inference_mode()(lambda net, x: net(x)),
    "detach": lambda net, x: net(x.detach()),
    "checkpoint": lambda net, x: checkpoint(net, x, use_reentrant=True),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("way", WAYS)
def test_what_has_no_gradient_is_told(way: str) -> None:
    network = Network(Severed(WAYS[way]), image_size=32)
    problem = Problem(network, mini_generator(), neurons=[Neuron("net.2", 1, range=(50, 60))])
    with pytest.raises(InvsetError, match=r"has no gradient: it computes under torch\.no_grad"):
        InverseSetSampler(k=2, n=2).run(problem)


def test_a_gradient_is_that_of_autograd() -> None:
    u = torch.rand(3, 2, requires_grad=True)
    assert torch.equal(gradient((u**2).sum(), u), 2 * u)
    with pytest.raises(InvsetError, match="has no gradient"):
        gradient(torch.rand(2, requires_grad=True).sum(), u)  # of something else
    scalar = (u**2).sum()
    gradient(scalar, u)
    with pytest.raises(RuntimeError, match="second time"):  # a defect stays one
        gradient(scalar, u)

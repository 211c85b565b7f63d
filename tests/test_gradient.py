"""A network or generator without a gradient is told in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from invset import (
    Generator,
    InverseSetSampler,
    InvsetError,
    Network,
    Neuron,
    Problem,
    mini_generator,
)
from invset.core.gradient import gradient
from invset.problem.runtime import Runtime


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
    line = inspect.getsourcelines(Severed.forward)[1]
    where = rf"which it loses itself \(Severed, test_gradient\.py, line {line}\)"
    with pytest.raises(InvsetError, match=rf"has no gradient: layer net\.2 .*{where}"):
        InverseSetSampler(k=2, n=2).run(problem)
    assert problem.evaluate(torch.zeros(1, problem.generator.code_dim))[0].shape == (1, 1)


def test_a_part_that_loses_the_gradient_is_named() -> None:
    class Inner(nn.Module):
        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    module = nn.Sequential(nn.Flatten(), Inner(), nn.Linear(3072, 4))
    problem = Problem(
        Network(module, image_size=32), mini_generator(), neurons=[Neuron("2", 1, range=(50, 60))]
    )
    line = inspect.getsourcelines(inspect.unwrap(Inner.forward))[1]
    with pytest.raises(
        InvsetError, match=rf"module 1 loses \(Inner, test_gradient.py, line {line}"
    ):
        InverseSetSampler(k=2, n=2).run(problem)


@pytest.mark.parametrize("graphs", [False, True])
def test_what_refuses_gradients_is_told_by_its_own_line(
    graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runtime, "check_device", lambda *_: None)  # it ends before it is recorded
    network = Network(Severed(lambda net, x: net(torch.from_numpy(x.numpy()))), image_size=32)
    neurons = [Neuron("net.2", 1, range=(50, 60))]
    runtime = Runtime(cuda_graphs=graphs)
    problem = Problem(network, mini_generator(), neurons=neurons, runtime=runtime)
    with pytest.raises(InvsetError, match=r"Can't call numpy\(\).*\(test_gradient\.py, line"):
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


def test_a_generator_that_refuses_gradients_is_told_by_its_own_line() -> None:
    class Plain(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return torch.from_numpy(z.numpy()).reshape(-1, 3, 2, 2)

    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    network = Network(module, image_size=2)
    with pytest.raises(InvsetError, match=r"Can't call numpy\(\).*\(test_gradient\.py, line"):
        Problem(network, Generator(Plain(), 12), neurons=[Neuron("1", 1)])

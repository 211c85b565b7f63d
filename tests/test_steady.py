"""f must be a function of the picture, and who is to blame where it is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invset import InverseSetSampler
from invset.core.ball import Ball
from invset.errors import InvsetError
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem
from invset.report.sentences import sentences

DIM = 12


class Call(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Awake(nn.Module):
    """Puts its dropout into training mode at every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop.train()(x)


class Counts(nn.Module):
    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return x * (1 + 0.01 * self.passes)


def picture(codes: Tensor) -> Tensor:
    return codes.sigmoid().view(-1, 3, 2, 2)


def problem(
    part: nn.Module, stochastic: bool = False, function: Callable[[Tensor], Tensor] = picture
) -> Problem:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 12), part, nn.Linear(12, 4))
    nn.init.constant_(net[1].bias, 0.3)
    generator = Generator(Call(function), DIM, name="maker", prior=Ball.holding(DIM))
    network = Network(net, name="mine", image_size=2, output="3", encoder="2")
    before = torch.get_rng_state()
    try:
        return Problem(network, generator, neurons=[Neuron("3", 1, (-5, 5))], stochastic=stochastic)
    finally:
        assert torch.equal(before, torch.get_rng_state())


BATCH = nn.BatchNorm1d(12, track_running_stats=False)


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (Awake(), "a second time .layer .*: Dropout '2.drop' is in training mode"),
        (Call(lambda x: F.dropout(x, 0.02)), "a second time .*: Call '2' draws random numbers"),
        (Call(lambda x: x + 0.01 * torch.randn_like(x)), "Call '2' draws random numbers"),
        (Counts(), "Counts '2' draws random numbers, or remembers earlier inputs"),
        (Call(lambda x: x - x.mean(0)), "alone than within a batch .*: Call '2' mixes the inputs"),
        (nn.Sequential(nn.Unflatten(1, (3, 4)), nn.BatchNorm1d(3, track_running_stats=False)), ""),
        (BATCH, "within a batch: ValueError: Expected more than 1 value.*type stochastic=true"),
    ],
)
def test_what_is_no_function_of_the_picture(part: nn.Module, told: str) -> None:
    told = told or "alone than .*: BatchNorm1d '2.1' takes its statistics from the batch"
    if not told.startswith("alone than .*: BatchNorm"):
        with pytest.raises(InvsetError, match=f"mine gives other activations.*{told}"):
            problem(part)
        return
    with pytest.raises(InvsetError, match=told):
        problem(nn.Sequential(*part, nn.Flatten()))


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda c: picture(c) + 0.01 * torch.rand(len(c), 3, 2, 2), "a second time: forward"),
        (lambda c: picture(c - c.mean(0)), "alone than within a batch: forward() of Call mixes"),
    ],
)
def test_what_is_no_function_of_the_code(function: Callable[[Tensor], Tensor], told: str) -> None:
    told = f"maker gives another image for the same code {told}".replace("()", r"\(\)")
    with pytest.raises(InvsetError, match=told):
        problem(nn.Identity(), function=function)


@pytest.mark.parametrize(
    "part", [nn.Identity(), nn.Dropout(0.5), nn.BatchNorm1d(12), nn.LayerNorm(12), nn.Softmax(1)]
)
def test_what_is_a_function_is_taken(part: nn.Module) -> None:
    assert problem(part.train()).notes == []


def test_a_stochastic_network_is_allowed_and_its_spread_told() -> None:
    torch.manual_seed(3)
    noise = problem(Call(lambda x: x + torch.randn_like(x)), stochastic=True)
    result = InverseSetSampler(k=4, n=30).run(noise)
    assert result.spread is not None
    # the noise of 12 units through the weights of the neuron
    weight = noise.network.module[3].weight[0]
    assert result.spread.item() == pytest.approx(weight.norm().item(), rel=0.2)
    mixes = problem(Call(lambda x: x - x.mean(0)), stochastic=True)
    spread = InverseSetSampler(k=4, n=8).run(mixes).spread
    assert spread is not None
    assert spread.item() > 0.01
    assert InverseSetSampler(k=2, n=2).run(problem(nn.Identity())).spread is None


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        (True, "The other one is outside: it was inside when it was taken, but not when it was"),
        (False, "The other one is outside: this sampler does not hold both ends of the range."),
    ],
)
def test_the_reason_for_samples_outside_is_true(held: bool, reason: str) -> None:
    """A stochastic f moves them; the published constraint has no upper end."""
    noise = problem(Call(lambda x: x + torch.randn_like(x)), stochastic=True)
    options = {} if held else {"sampler": "two_stage", "constraint": "paper"}
    found = InverseSetSampler(k=2, n=3, **options).run(noise)
    assert found.held is held
    summary = {
        "counts": {"saved": 3, "in_range": 2},
        "reached": {"ends": [None]},
        "beside_real": {"real": None},
    }
    first, *others = sentences(noise, found, summary)
    assert reason in first
    [spread] = [line for line in others if line.startswith("stochastic")]
    two = {**summary, "counts": {"saved": 3, "in_range": 1}}
    assert "The other 2 are outside: th" in sentences(noise, found, two)[0]
    assert spread.startswith("stochastic=true: looks at the same image differ, 3:1 by ")

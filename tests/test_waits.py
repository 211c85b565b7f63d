"""No step waits for its device: every sampler's steps, on the fake device that counts what waits
(`fake_device.py`), give the numbers of the CPU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import seeded
from fake_device import FakeCuda, on_device, on_host
from torch import Tensor

from invset.core.ranges import ActivationRange
from invset.core.space import Box, CodePrior, Region
from invset.core.target import Layer, Target
from invset.core.values import same
from invset.samplers.activation_maximization import ActivationMaximization
from invset.samplers.base import Sampler
from invset.samplers.dgn_am import DGNAM
from invset.samplers.drive import columns, drive
from invset.samplers.fooling import Fooling
from invset.samplers.full import Full
from invset.samplers.map_elites import MapElites
from invset.samplers.plain_gradient import PlainGradient
from invset.samplers.ppgn import PPGN
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage, TwoStageState
from invset.studies.climb import Climb

DIM = 8


def box(low: float | Tensor, high: float | Tensor, device: str) -> Box:
    region = Box(low, high, torch.rand(64, DIM, generator=seeded()).to(device))
    region.__dict__["scale"] = 1.0  # read once, when it is first needed
    return region


def regions(device: str) -> dict[str, Region]:
    return {
        "box": box(0.0, 1.0, device),
        "box per unit": box(
            torch.zeros(DIM, device=device), torch.ones(DIM, device=device), device
        ),
        "prior": CodePrior.gaussian(DIM).to(device),
    }


#: A sampler, and the stage that its steps are taken in.
STEPS: dict[str, tuple[Sampler[Any], str]] = {
    "stream": (Stream(K=4, n=20), ""),
    "without push": (Stream(K=4, n=20, diversity=0.0), ""),
    "without walks": (Stream(K=4, n=20, walk=1.0), ""),
    "seeds": (TwoStage(K=4, n=20, inner_steps=3), "seeds"),
    "settled seeds": (TwoStage(K=4, n=20, inner_steps=2, until="settled"), "seeds"),
    "frozen seeds": (
        TwoStage(K=4, n=20, inner_steps=3, slack="frozen", objective="codes"),
        "seeds",
    ),
    "the pass that keeps the seeds": (TwoStage(K=4, n=20), "first"),
    "sampling": (TwoStage(K=4, n=20), "sampling"),
    "sampling by eq. (11)": (
        TwoStage(K=4, n=20, walk=0.0, earlier="all", constraint="paper", diversity_units="raw"),
        "sampling",
    ),
    "full": (Full(K=4, n=10, inner_steps=3), ""),
    "ppgn": (PPGN(K=4, n=20, reset_every=2, eps3=0.1), ""),
    "gradient": (PlainGradient(K=4, n=20, steps=3), ""),
    "gradient of a probability": (
        PlainGradient(K=4, n=20, steps=3, goal="max", after_softmax=True),
        "",
    ),
    "activation maximization": (ActivationMaximization(K=4, n=20, steps=3), ""),
    "dgn-am": (DGNAM(K=4, n=20, steps=3, keep="best"), ""),
    "map-elites": (MapElites(K=2, n=5, batch=4, goal="max"), ""),
    "map-elites of networks": (MapElites(K=2, n=5, batch=4, goal="max", encoding="cppn"), ""),
    "fooling": (Fooling(K=4, n=20, steps=3), ""),
}


def made(name: str, region: str, device: str) -> Target:
    """A linear target; two neurons where a sampler looks for a range."""
    sampler, _ = STEPS[name]
    rows = torch.linspace(-1, 1, DIM * 2).view(DIM, 2)[:, : 2 if sampler.holds_range else 1]
    w = rows.to(device)

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        return codes @ w, codes

    ends = [(0.5, 0.6), (0.0, 0.1)][: w.shape[1]]
    layer = Layer(lambda c: (c[:, :3], c), 1)
    picture = (1, 2, 4) if region != "prior" else None
    range_ = ActivationRange.of(ends, w)
    return Target(evaluate, range_, regions(device)[region], True, layer, picture=picture)


def stepped(name: str, target: Target, state: Any, steps: int) -> tuple[Any, list[Any]]:
    sampler, _ = STEPS[name]
    offers = []
    rng = seeded(1)
    for _ in range(steps):
        state, offer = sampler.step(target, state, rng)
        sampler.done(state)
        offers.append((offer.seen.u, offer.seen.f, offer.chosen, offer.log))
    return state, offers


@pytest.mark.parametrize("region", list(regions("cpu")))
@pytest.mark.parametrize("name", list(STEPS))
def test_steps_do_not_wait(name: str, region: str) -> None:
    sampler, stage = STEPS[name]
    if sampler.space == "codes" and region == "prior":
        pytest.skip("it moves in plain codes")
    if region == "prior" and "networks" in name:
        pytest.skip("it is of pixels")
    target = made(name, region, "cpu")
    begun = sampler.init(target, seeded())
    if isinstance(begun, TwoStageState):
        begun = replace(begun, stage=stage)
    expected = stepped(name, target, begun, 9)
    with FakeCuda() as cuda:
        there = made(name, region, "cuda")
        stepped(name, there, on_device(begun), 2)  # the first steps may copy what is then kept
        begun = on_device(begun)
        cuda.clear()
        state, offers = stepped(name, there, begun, 9)
        assert not cuda.waits
        assert offers[-1][0].is_cuda
    for found, wanted in zip((state, *offers), (expected[0], *expected[1]), strict=True):
        assert same_numbers(on_host(found), wanted)


def same_numbers(found: Any, wanted: Any) -> bool:
    """As `same`, also where both have numbers that are none."""
    if isinstance(wanted, Tensor):
        return torch.equal(found.nan_to_num(7e9), wanted.nan_to_num(7e9))
    if isinstance(wanted, (list, tuple)):
        return all(map(same_numbers, found, wanted))
    if hasattr(wanted, "__dataclass_fields__"):
        return all(same_numbers(getattr(found, k), getattr(wanted, k)) for k in vars(wanted))
    return same(found, wanted)


@pytest.mark.parametrize("region", list(regions("cpu")))
def test_steps_of_a_ladder_do_not_wait(region: str) -> None:
    with FakeCuda() as cuda:
        w = torch.ones(DIM, 1, device="cuda")

        def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
            return codes @ w, codes

        target = Target(evaluate, ActivationRange.of([(0.5, 0.6)], w), regions("cuda")[region])
        zeros = torch.zeros(4, DIM, device="cuda")
        climb = Climb(K=4, n=4, start=zeros, place=zeros[:, :1])
        state = climb.init(target, seeded())
        cuda.clear()
        for _ in range(4):
            state, _ = climb.step(target, state, seeded())
        assert not cuda.waits


def test_a_look_reads_one_tensor_and_the_rows() -> None:
    """Beside the steps: one read a round for the driver, one for who looks on."""
    sampler = Stream(K=4, n=12)
    looks = []
    with FakeCuda() as cuda:
        target = made("stream", "prior", "cuda")
        run = drive(sampler, target, seeded(), on_look=lambda run, rows: looks.append(len(rows)))
    assert run.count == 12
    reads = {k: v for k, v in cuda.waits.items() if "drive.py" in k}
    assert sum(reads.values()) <= 2 * len(looks)
    assert len(columns(sampler, 2)) > 5

"""No step waits for its device: every sampler's steps are taken on a device that has no numbers,
only shapes.

On torch's "meta" device everything that would read a number back raises: item, bool, int, tolist,
cpu, numpy, masked indexing, nonzero, equal. What would wait on CUDA without reading (copies from
the host, solvers that check their result) is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest
import torch
from cases import seeded
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from invset.core.ranges import ActivationRange
from invset.core.space import Box, CodePrior, Region
from invset.core.target import Layer, Target
from invset.samplers.activation_maximization import ActivationMaximization
from invset.samplers.base import Sampler
from invset.samplers.dgn_am import DGNAM
from invset.samplers.full import Full
from invset.samplers.plain_gradient import PlainGradient
from invset.samplers.ppgn import PPGN
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage, TwoStageState
from invset.studies.climb import Climb

#: Of a device without numbers these raise what they can: what would be read is not there.
READS = (RuntimeError, NotImplementedError, TypeError)
DIM = 8


class Copies(TorchDispatchMode):
    """Counts what makes the host wait although it reads nothing: copies from pageable memory, and
    solvers that check.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        devices = [x.device.type for x in args if isinstance(x, Tensor)]
        target = str(kwargs.get("device") or (devices or [""])[0])
        from_host = (
            "cpu" in devices
            and target == "meta"
            and name in ("_to_copy", "copy_")
            and not kwargs.get("non_blocking")
        )
        literal = name == "lift_fresh" and devices == ["meta"]  # torch.tensor([...], device=...)
        if from_host or literal or name == "_linalg_check_errors":
            self.count[name] += 1
        return func(*args, **kwargs)


def meta(*shape: int) -> Tensor:
    return torch.zeros(shape, device="meta")


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: int(x.sum()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: x.numpy(),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: x[x.argmax()],
        lambda x: x.unique(),
        lambda x: torch.equal(x, x),
        lambda x: torch.full((2,), x.sum()),
    ],
)
def test_reading_a_number_that_is_not_there_raises(read: Any) -> None:
    with pytest.raises(READS):
        read(meta(3))


def test_copies_are_counted() -> None:
    with Copies() as copies:
        torch.ones(3).to("meta", non_blocking=True)
        torch.linalg.solve_ex(meta(2, 2), meta(2))
        meta(3).to(torch.float64)
    assert not copies.count
    with Copies() as copies:
        torch.ones(3).to("meta")
        meta(3).copy_(torch.ones(3))
        torch.tensor([1.0], device="meta")
        torch.linalg.solve(meta(2, 2), meta(2))
    # how torch.tensor(…, device=…) is dispatched differs between versions of torch
    assert {"_to_copy", "copy_", "_linalg_check_errors"} <= set(copies.count)


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


def without_numbers(value: Any) -> Any:
    """Every tensor in a state, also in lists, dictionaries and dataclasses, on the device that has
    only shapes.
    """
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, dict):
        return {k: without_numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_numbers(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: without_numbers(getattr(value, f.name)) for f in fields(value)}
        )
    return value


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
}


@pytest.mark.parametrize("region", list(regions("cpu")))
@pytest.mark.parametrize("name", list(STEPS))
def test_steps_do_not_wait(name: str, region: str) -> None:
    sampler, stage = STEPS[name]
    if sampler.space == "codes" and region == "prior":
        pytest.skip("it moves in plain codes")

    def target(device: str) -> Target:
        w = torch.ones(DIM, 2 if sampler.holds_range else 1, device=device)

        def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
            return codes @ w, codes

        ends = [(0.5, 0.6), (0.0, 0.1)][: w.shape[1]]
        layer = Layer(lambda c: (c[:, :3], c), 0)
        return Target(evaluate, ActivationRange.of(ends, w), regions(device)[region], True, layer)

    state = without_numbers(sampler.init(target("cpu"), seeded()))
    if isinstance(state, TwoStageState):
        state = replace(state, stage=stage)
    without = target("meta")
    for counted in (False, True):  # the first steps may copy what is then kept
        with Copies() as copies:
            for _ in range(7):  # a read would raise
                state, offer = sampler.step(without, state, seeded())
                assert offer.seen.u.device.type == "meta"
                sampler.done(state)
        assert not counted or not copies.count or name == "ppgn"
    # PPGN's chains have random numbers of their own, which are drawn on the host


@pytest.mark.parametrize("region", list(regions("cpu")))
def test_steps_of_a_ladder_do_not_wait(region: str) -> None:
    w = meta(DIM, 1)

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        return codes @ w, codes

    target = Target(evaluate, ActivationRange.of([(0.5, 0.6)], w), regions("meta")[region])
    climb = Climb(K=4, n=4, start=meta(4, DIM), place=meta(4, 1))
    state = climb.init(target, seeded())
    with Copies() as copies:
        for _ in range(4):
            state, _ = climb.step(target, state, seeded())
    assert not copies.count

"""No step waits for its device: every sampler's steps are taken on a device that has no numbers,
only shapes.

On torch's "meta" device everything that would read a number back raises: item, bool, int, tolist,
cpu, numpy, masked indexing, nonzero, equal. What would wait on CUDA without reading (copies from
the host, solvers that check their result) is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from cases import seeded
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from invset.core.kept import Kept
from invset.core.space import Box, CodePrior, Region
from invset.core.target import ActivationRange, InverseSet
from invset.samplers.base import Sampler, State
from invset.samplers.full import Full
from invset.samplers.stream import Stream
from invset.samplers.two_stage import SAMPLING_ROUND, TwoStage
from invset.studies.ladder import LOOK, Ladder

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
    assert sum(copies.count.values()) == 4


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
    if isinstance(value, (State, Kept)):
        return replace(
            value, **{f.name: without_numbers(getattr(value, f.name)) for f in fields(value)}
        )
    return value


#: A sampler, the stage of its round, and how many passes that takes before it looks at the device.
ROUNDS: dict[str, tuple[Sampler, str, int]] = {
    "gauss_newton": (Stream(K=4, n=20), "", 5),
    "without push": (Stream(K=4, n=20, diversity=0.0), "", 5),
    "multipliers": (Stream(K=4, n=20, step="multipliers"), "", 5),
    "seeds": (TwoStage(K=4, n=20, inner_steps=7), "seeds", 7),
    "frozen seeds": (
        TwoStage(K=4, n=20, inner_steps=7, slack="frozen", objective="codes"),
        "seeds",
        7,
    ),
    "chains": (TwoStage(K=4, n=20, chains=3, inner_steps=7), "seeds", 7),
    "sampling": (TwoStage(K=4, n=20), "sampling", SAMPLING_ROUND),
    "sampling of chains": (
        TwoStage(K=4, n=20, chains=3, earlier="all"),
        "sampling",
        SAMPLING_ROUND,
    ),
    "sampling from all": (
        TwoStage(K=4, n=20, earlier="all", constraint="paper", diversity_units="raw"),
        "sampling",
        SAMPLING_ROUND,
    ),
    "full": (
        Full(K=4, n=10, inner_steps=3),
        "",
        3 * (2 * 3 - 1) + 1,
    ),  # the last part's graph serves two passes, but for the first
}


@pytest.mark.parametrize("region", list(regions("cpu")))
@pytest.mark.parametrize("name", list(ROUNDS))
def test_steps_do_not_wait(name: str, region: str) -> None:
    sampler, stage, passes = ROUNDS[name]
    calls: Counter[str] = Counter()

    def target(device: str) -> InverseSet:
        w = torch.ones(DIM, 2, device=device)

        def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
            calls["passes"] += 1
            return codes @ w, codes

        return InverseSet(
            evaluate, ActivationRange.of([(0.5, 0.6), (0.0, 0.1)], w), regions(device)[region]
        )

    state, without = without_numbers(sampler.init(target("cpu"), seeded())), target("meta")
    if stage:
        state.extra.update(stage=stage, outer=1, moved=True)
    for counted in (False, True):  # the first round may copy what is then kept
        calls.clear()
        with (
            Copies() as copies,
            pytest.raises(READS),
        ):  # at the round's end: have all come in, are there enough samples
            sampler.round(without, state, seeded())
        # a read on the way would have ended the round earlier; a look without a gradient may come
        # after the last step
        assert calls["passes"] >= passes
        assert not counted or not copies.count


@pytest.mark.parametrize("region", list(regions("cpu")))
def test_steps_of_a_ladder_do_not_wait(region: str) -> None:
    w, calls = meta(DIM, 1), Counter()

    def evaluate(codes: Tensor) -> tuple[Tensor, Tensor]:
        calls["passes"] += 1
        return codes @ w, codes

    range_ = ActivationRange.of([(0.5, 0.6)], w)
    target = InverseSet(evaluate, range_, regions("meta")[region])
    with Copies() as copies:
        Ladder(K=4, ranges=[(0.5, 0.6)])._climb(target, range_, meta(4, DIM), meta(4, 1))
    assert calls["passes"] == LOOK
    assert not copies.count

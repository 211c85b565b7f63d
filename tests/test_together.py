"""Jobs that share passes (``together=``): each finds what it finds alone, but for rounding."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import seeded
from safetensors.torch import load_file
from torch import Tensor, nn
from typed import typed

from invset.commands.turns import Group, member
from invset.core.space import CodePrior
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.problem import Neuron, Problem
from invset.problem.runtime import Runtime
from invset.problem.shared_passes import why_alone
from invset.problem.shared_target import shared
from invset.samplers.drive import Run, drive
from invset.samplers.full import Full
from invset.samplers.ppgn import PPGN
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage

CODE_DIM = 12

#: Neurons with a range that each reaches.
ASKED = ((1, (0.2, 0.6)), (2, (-0.6, -0.1)), (4, (0.3, 0.9)))


class Counted(nn.Sequential):
    """Counts its passes."""

    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        return super().forward(x)


def pair() -> tuple[Network, Generator]:
    """A network and a generator that take no time."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(3 * 64, 12), nn.Tanh(), nn.Linear(12, 5)]
    maker = [nn.Linear(CODE_DIM, 3 * 64), nn.Unflatten(1, (3, 8, 8)), nn.Sigmoid()]
    with torch.no_grad():
        for layer in (layers[1], layers[3], maker[0]):
            layer.weight *= 4  # type: ignore[operator]
            layer.bias.zero_()  # type: ignore[union-attr,operator]
    network = Network(nn.Sequential(*layers), image_size=8, encoder="2")
    prior = CodePrior.gaussian(CODE_DIM)
    return network, Generator(Counted(*maker), CODE_DIM, prior=prior)


def problems(eight_bit: bool = False) -> list[Problem]:
    network, generator = pair()
    return [
        Problem(network, generator, neurons=Neuron("3", number, ends), eight_bit=eight_bit)
        for number, ends in ASKED
    ]


def sampled(one: Problem, sampler: Any, seed: int) -> Run[Any]:
    """What a run finds, by itself or with shared passes."""
    rng = seeded(seed)
    chain = sampler.space == "codes"
    region = one.region("clip" if chain else "natural", rng, (-2.0, 2.0) if chain else None)
    target = one.target(region)
    now = member()
    return drive(sampler, target if now is None else shared(one, target, now.wait), rng)


def together(works: Sequence[Callable[[], Any]]) -> tuple[list[Any], Group]:
    """What some jobs give side by side."""
    found: list[Any] = [None] * len(works)

    def work(i: int) -> None:
        found[i] = works[i]()

    group = Group("")
    for i in range(len(works)):
        group.add(partial(work, i))
    group.drain()
    return found, group


def passes(all_of: Sequence[Problem]) -> int:
    return int(all_of[0].generator.module.passes)  # type: ignore[union-attr,arg-type]


SAMPLERS = {
    "stream": Stream(K=3, n=7),
    "two_stage": TwoStage(K=3, n=6),
    "full": Full(K=4, n=4, inner_steps=3, max_outer=4, objective="inputs"),
    "ppgn": PPGN(K=2, n=4, n_iters=5),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_finds_what_it_finds_alone(name: str) -> None:
    sampler = SAMPLERS[name]
    asked = problems()
    cost = []
    alone = []
    for seed, one in enumerate(asked):
        before = passes(asked)
        alone.append(sampled(one, sampler, seed))
        cost.append(passes(asked) - before)
    before = passes(asked)
    works = [partial(sampled, one, sampler, seed) for seed, one in enumerate(asked)]
    beside, _ = together(works)
    # what the longest one takes, and a few where they are not at the same point
    assert passes(asked) - before <= max(cost) + 4 < sum(cost)
    for one, other in zip(alone, beside, strict=True):
        assert (one.status, one.steps, one.count) == (other.status, other.steps, other.count)
        assert one.meter == other.meter
        assert one.count
        mine, theirs = one.kept.trimmed(), other.kept.trimmed()
        for key in ("step", "parent", "origin"):
            assert mine[key].equal(theirs[key])
        for key in ("u", "f", "e"):
            torch.testing.assert_close(mine[key], theirs[key], rtol=1e-3, atol=1e-4)
    again, _ = together(works)
    for one, other in zip(beside, again, strict=True):
        assert one.kept.u.equal(other.kept.u)


def test_several_neurons_of_a_job_beside_one() -> None:
    network, generator = pair()
    two = [Neuron("3", number, ends) for number, ends in ASKED[:2]]
    asked = [
        Problem(network, generator, neurons=two, eight_bit=False),
        Problem(network, generator, neurons=Neuron("1", 3, (-1.0, 1.0)), eight_bit=False),
    ]
    works = [partial(sampled, one, SAMPLERS["stream"], 0) for one in asked]
    alone = [work() for work in works]
    for one, other in zip(alone, together(works)[0], strict=True):
        assert one.count == other.count == 7
        torch.testing.assert_close(one.kept.u, other.kept.u, rtol=1e-3, atol=1e-4)


def test_one_that_fails_takes_no_other() -> None:
    asked = problems()

    class Failing(Stream):
        def step(self, target: Any, state: Any, rng: torch.Generator) -> Any:
            if state.steps == 2:
                raise ZeroDivisionError("a defect")
            return super().step(target, state, rng)

    samplers = [Stream(K=3, n=7), Failing(K=3, n=7), Stream(K=3, n=7)]
    works = [
        partial(sampled, one, sampler, 0) for one, sampler in zip(asked, samplers, strict=True)
    ]
    found, group = together(works)
    assert [one is None for one in found] == [False, True, False]
    with pytest.raises(ZeroDivisionError):
        group.check()
    for i in (0, 2):
        torch.testing.assert_close(found[i].kept.u, works[i]().kept.u, rtol=1e-3, atol=1e-4)


def test_an_error_of_a_pass_reaches_all_who_share_it() -> None:
    asked = problems()
    asked[0].made = replace(asked[0].made, generator=None)  # type: ignore[arg-type]
    found, group = together([partial(sampled, one, Stream(K=3, n=7), 0) for one in asked])
    assert found == [None] * 3
    assert {type(one.error) for one in group.members} == {TypeError}


@pytest.mark.parametrize("option", ["compile", "cuda_graphs"])
def test_passes_that_are_recorded_are_not_shared(option: str) -> None:
    one = problems()[0]
    assert why_alone(one) is None
    one.runtime = replace(Runtime(), **{option: True})
    assert option in str(why_alone(one))


QUICK = ["network=mini", "z1=2", "z2=5", "K=2", "n=3", "animation=false", "report=false"]
QUICK += ["judge=null", "progress=false", "-m"]


def samples(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "samples.safetensors")


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """Ctrl-C is heeded, also where a shell began the tests in the background, with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_a_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [*(word for word in QUICK if word != "n=3"), "n=9", "neuron=horse,99,ship"]
    alone, whole, beside = (tmp_path / name for name in ("alone", "whole", "beside"))
    together = [*asked, "together=3"]
    assert typed(monkeypatch, "run", *asked, f"hydra.sweep.dir={alone}") == 2
    assert typed(monkeypatch, "run", *together, f"hydra.sweep.dir={whole}") == 2
    capsys.readouterr()
    for job in ("0", "2"):
        mine, theirs = samples(alone / job), samples(whole / job)
        assert mine.keys() == theirs.keys()
        for key in ("step", "parent", "codes", "activations", "encodings"):
            # rounding grows tenfold from sample to sample: 1e-6 in the first, 1 in the last
            torch.testing.assert_close(theirs[key][:3], mine[key][:3], rtol=1e-2, atol=1e-2)

    # Ctrl-C, when each has taken two steps and has looked at them
    original, calls = Stream.step, []

    def step(sampler: Any, *rest: Any) -> Any:
        calls.append(rest)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return original(sampler, *rest)

    words = [*together, f"hydra.sweep.dir={beside}"]
    with monkeypatch.context() as patch:
        patch.setattr(Stream, "step", step)
        assert typed(patch, "run", *words) == 130
    for job in ("0", "2"):
        assert json.loads((beside / job / "summary.json").read_text())["status"] == "interrupted"
        assert (beside / job / "state.pt").exists()
    assert "fc8" in json.loads((beside / "1" / "failed.json").read_text())["reason"]

    assert typed(monkeypatch, "run", *words) == 2  # goes on
    for job in ("0", "2"):
        mine, theirs = samples(whole / job), samples(beside / job)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in mine.items())
        assert not (beside / job / "state.pt").exists()
    rows = (beside / "sweep.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["0", "1", "2"]


def test_who_can_not_share_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*QUICK, "neuron=8,8.0", "objective=samples", "together=2", "z1=100", "z2=101"]
    words += ["limits.patience=1", f"hydra.sweep.dir={tmp_path}"]
    assert typed(monkeypatch, "run", *words) in (2, 3)
    told = capsys.readouterr().err
    assert told.count("together=2 shares no passes here: a sweeper that searches waits") == 1

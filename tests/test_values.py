"""Arguments of the types that people have, and equality of what holds tensors."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from invset import CodePrior, Generator, InverseSetSampler, Neuron, Problem, mini_network
from invset.core.ball import Ball
from invset.core.ranges import ActivationRange
from invset.core.space import Box
from invset.core.values import as_vector, same
from invset.errors import InvsetError
from invset.files.image8bit import Image8Bit
from invset.nets.embedded import mini_generator
from invset.nets.network import Network
from invset.problem.result import Result
from invset.problem.robust import Robust
from invset.samplers.base import Limits
from invset.samplers.stream import Stream
from invset.studies.ladder import Ladder

EYE = torch.eye(10)[7]


@cache
def problem() -> Problem:
    return Problem(mini_network(), mini_generator(), neurons=Neuron("fc8", 8, (10, 12)))


@cache
def result() -> Result:
    return InverseSetSampler(k=2, n=2).run(problem())


@pytest.mark.parametrize(
    "neuron",
    [
        Neuron("fc8", np.int64(8), [10, 12]),
        Neuron("fc8", torch.tensor(8), torch.tensor([10.0, 12.0])),
        Neuron("fc8", 8, np.array([10, 12])),
        Neuron("fc8", 8, (np.float32(10), np.int64(12))),
    ],
)
def test_a_neuron_of_any_types_is_the_same(neuron: Neuron) -> None:
    plain = Neuron("fc8", 8, (10, 12))
    assert neuron == plain
    assert hash(neuron) == hash(plain)
    assert repr(neuron).startswith("Neuron(layer='fc8', number=8, range=(1")
    assert [type(one) for one in neuron.range] != [np.float32] * 2


@pytest.mark.parametrize(
    "direction",
    [EYE.tolist(), tuple(EYE.tolist()), EYE.numpy(), EYE.double(), EYE.to_sparse(), EYE.int()],
)
def test_a_direction_of_any_type_is_the_same(direction: Any) -> None:
    neuron = Neuron("fc8", None, (10, 12), direction=direction)
    assert neuron == Neuron("fc8", None, (10, 12), direction=EYE)
    assert neuron != Neuron("fc8", None, (10, 12), direction=-EYE)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one = Problem(mini_network(), mini_generator(), neurons=[neuron])
    torch.testing.assert_close(one.look(x)[0], problem().look(x)[0])


@pytest.mark.parametrize("position", [[0, 0], (0, 0), np.array([0, 0]), torch.tensor([0, 0])])
def test_a_corner_is_read_at_the_corner(position: Any) -> None:
    assert Neuron("conv5", 1, position=position).position == (0, 0)
    assert Neuron("conv5", 1, position=np.int64(3)).position == 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"range": None}, "range is two numbers, not None"),
        ({"range": (1, 2, 3)}, "range is two numbers"),
        ({"range": ("1", "2")}, "z1 and z2 must be two numbers"),
        ({"range": np.array([1 + 2j, 3])}, "z1 and z2 must be two numbers"),
        ({"number": 1.5}, "a whole number from 1 or a label, not 1.5"),
        ({"number": True}, "a whole number from 1 or a label"),
        ({"number": np.array([1, 2])}, "a whole number from 1 or a label"),
        ({"layer": 8}, "a layer is the name of one, not 8"),
        ({"position": (1.5, 1)}, "two whole numbers"),
        ({"position": None}, "two whole numbers"),
        ({"direction": EYE}, "neuron 8 of fc8 has a direction, too"),
        ({"number": None, "direction": [["a"]]}, "direction must be a list, array or tensor"),
        ({"number": None, "direction": torch.eye(3)}, r"one axis of finite real.*\(3, 3\)"),
        ({"number": None, "direction": [float("nan")]}, "one axis of finite real"),
        ({"number": None, "direction": [1j]}, "one axis of finite real"),
        ({"number": None, "direction": []}, "one axis of finite real"),
    ],
)
def test_what_is_no_neuron(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvsetError, match=told):
        Neuron(**{"layer": "fc8", "number": 8, "range": (1, 2)} | given)


def test_numbers_of_numpy_are_options() -> None:
    again = InverseSetSampler(k=np.int64(2), n=torch.tensor(2)).run(problem(), seed=np.int64(0))
    assert torch.equal(again.codes, result().codes)
    assert Stream(K=np.int32(2), n=2, walk=np.float32(0.5)) == Stream(K=2, n=2, walk=0.5)
    assert Limits(code_steps=np.float64(5)) == Limits(code_steps=5)
    assert Robust(M=np.int64(4)) == Robust(M=4)
    assert Ladder(K=2, ranges=np.array([[1, 2], [3, 4]])).n == 4
    assert Image8Bit(size=[8, np.int64(9)]) == Image8Bit().sized((8, 9))
    assert hash(Image8Bit(size=[8, 9])) == hash(Image8Bit(size=(8, 9)))
    prior = CodePrior([0, 0], np.eye(2), [1, 1], 3)
    assert prior.project(torch.tensor([[6.0, 0.0]])).tolist() == [[3, 0]]
    assert CodePrior.fit(np.random.default_rng(0).normal(size=(9, 2))).dim == 2


def test_neurons_are_one_or_several() -> None:
    neuron = Neuron("fc8", 8, (10, 12))
    for given in (neuron, [neuron], (neuron,), iter([neuron])):
        assert Problem(mini_network(), mini_generator(), neurons=given).neurons == [neuron]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"neurons": 8}, "neurons must be a Neuron or a list of them, not a value of type int"),
        ({"neurons": ["fc8"]}, "each of neurons must be a Neuron.*, not a value of type str"),
        ({"neurons": []}, "no neuron was given"),
        ({"network": nn.ReLU()}, r"network must be a Network\(module\), not a value of type ReLU"),
        ({"generator": Generator}, "generator must be .*, not the class Generator"),
        ({"encoder": 6}, "encoder must be the name of a layer, or None"),
        ({"runtime": {"compile": True}}, "runtime must be Runtime"),
        ({"robust": 8}, "robust must be Robust"),
        ({"encoder_network": nn.ReLU()}, "encoder_network must be a Network"),
    ],
)
def test_what_is_no_part_of_a_problem(given: dict[str, Any], told: str) -> None:
    parts = {"network": mini_network(), "generator": mini_generator()}
    parts["neurons"] = [Neuron("fc8", 8, (10, 12))]
    with pytest.raises(InvsetError, match=told):
        Problem(**parts | given)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sampler": None}, "sampler must be a name such as stream, or a sampler itself"),
        ({"sampler": Stream}, "sampler must be .*, not the class Stream"),
        ({"prior": None}, "prior must be auto, natural, clip, none or a region"),
        ({"limits": 60}, r"limits must be Limits\(seconds=60\), or None"),
        ({"k": 2.5}, "k must be a whole number"),
        ({"n": 0}, "n must be a whole number of at least 1"),
        ({"k": "2"}, "k must be a whole number"),
    ],
)
def test_what_is_no_sampler(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvsetError, match=told):
        InverseSetSampler(**given)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, "0", None, True])
def test_what_is_no_seed(seed: Any) -> None:
    with pytest.raises(InvsetError, match="seed must be a whole number of at least 0"):
        InverseSetSampler(k=2, n=2).run(problem(), seed=seed)


def test_what_is_no_problem_and_no_code() -> None:
    with pytest.raises(InvsetError, match="problem must be Problem"):
        InverseSetSampler(k=2, n=2).run(mini_network())  # type: ignore[arg-type]
    with pytest.raises(InvsetError, match="code_dim must be a whole number of at least 1"):
        Generator(nn.ReLU(), 0)
    with pytest.raises(InvsetError, match=r"codes are finite numbers with shape \(N, code_dim\)"):
        CodePrior.fit(torch.zeros(3))
    with pytest.raises(InvsetError, match=r"a prior has a mean \(code_dim,\)"):
        CodePrior(torch.zeros(3), torch.eye(2), torch.ones(2), torch.tensor(1.0))


@pytest.mark.parametrize(
    "one",
    [
        ActivationRange.of([(0, 1)]),
        Ball.holding(3),
        Box(0.0, torch.ones(2), torch.zeros(4, 2)),
        CodePrior.fit(torch.eye(3)),
    ],
)
def test_what_holds_tensors_is_compared_by_value(one: Any) -> None:
    twin = copy.deepcopy(one)
    assert one == twin
    assert hash(one) == hash(twin)
    assert one != 3
    assert repr(one)
    assert len({one, twin}) == 1


def test_results_are_compared_by_value() -> None:
    found = result()
    assert found == copy.deepcopy(found)
    assert hash(found) == hash(copy.deepcopy(found))
    assert found != InverseSetSampler(k=2, n=2).run(problem(), seed=1)
    assert repr(found).startswith("Result(2 of 2 samples")
    assert "\n" not in repr(found)


def test_values_that_are_the_same() -> None:
    assert same([1, (torch.ones(2), "a")], [1, (torch.ones(2), "a")])
    assert not same(torch.ones(2), torch.ones(2).double())
    assert not same(torch.ones(1), 1)
    assert not same({"a": torch.ones(2)}, {"a": torch.zeros(2)})
    assert as_vector("v", [1, 2]).dtype is torch.float32
    assert not as_vector("v", nn.Parameter(torch.ones(2))).requires_grad


def test_a_network_takes_sizes_of_numpy() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    assert Network(net, image_size=np.int64(2)).image_size == 2

"""Passes with the options of a runtime, against plain float32; and that float32 decides what is a
sample.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import cube, linear, plain_set, run, seeded
from fake_device import FakeCuda
from torch import Tensor, nn
from torch._functorch import config as functorch_config
from torch.utils._python_dispatch import TorchDispatchMode

from invset.api import InverseSetSampler
from invset.core.kept import Kept
from invset.core.products import products
from invset.core.space import CodePrior
from invset.core.target import Evaluate, Seen, Target
from invset.errors import InvsetError
from invset.nets.embedded import mini_generator, mini_network
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.problem.passes import Passes, layout_of
from invset.problem.problem import Neuron, Problem
from invset.problem.runtime import Runtime
from invset.samplers.base import Sampler, Status
from invset.samplers.full import Full
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage
from invset.studies.ladder import Ladder

CODE_DIM = 16
CPU = torch.device("cpu")


def small(device: str = "cpu") -> tuple[Network, Generator]:
    """A network with convolutions and a generator with a deconvolution, both of random weights."""
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 64, 24),
        nn.ReLU(),
        nn.Linear(24, 5),
    ]
    network = Network(nn.Sequential(*layers), image_size=16, encoder="5", device=device)
    for layer in layers:  # so that codes make more of a difference than the biases
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    maker = [
        nn.Linear(CODE_DIM, 6 * 64),
        nn.LeakyReLU(0.3),
        nn.Unflatten(1, (6, 8, 8)),
        nn.ConvTranspose2d(6, 3, 4, 2, 1),
        nn.Sigmoid(),
    ]
    with torch.no_grad():
        maker[0].weight *= 6  # type: ignore[operator]
    return network, Generator(
        nn.Sequential(*maker), CODE_DIM, prior=CodePrior.gaussian(CODE_DIM), device=device
    )


def problem(
    ends: tuple[float, float] = (0.0, 1.0),
    device: str = "cpu",
    eight_bit: bool = True,
    **runtime: Any,
) -> Problem:
    return Problem(
        *small(device),
        neurons=[Neuron("6", 2, ends)],
        eight_bit=eight_bit,
        runtime=Runtime(**runtime),
    )


def codes(count: int, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    return torch.randn(count, CODE_DIM, generator=seeded(3), dtype=dtype).to(device)


def gradients(evaluate: Evaluate, c: Tensor) -> list[Tensor]:
    """f, e and two gradients of one pass, as the stream takes them."""
    c = c.clone().requires_grad_()
    f, e = evaluate(c)
    (push,) = torch.autograd.grad((e - e.mean(0)).square().sum(), c, retain_graph=True)
    (row,) = torch.autograd.grad(f.sum(), c)
    return [x.detach() for x in (f, e, push, row)]


def in_float64() -> Evaluate:
    network, generator = small()
    network.module.double()
    assert isinstance(generator.module, nn.Module)
    generator.module.double()

    def evaluate(c: Tensor) -> tuple[Tensor, Tensor]:
        taps = network.taps(generator(c), ["6", "5"])
        return taps["6"][:, :2], taps["5"]

    return evaluate


# a few codes at a time


@pytest.mark.parametrize("part", [1, 3, 4, 10, 11])
def test_a_few_codes_at_a_time_give_the_same(part: int) -> None:
    evaluate, c = in_float64(), codes(10, torch.float64)
    passes = Passes(evaluate, Runtime(micro_batch=part), CPU)
    for found, expected in zip(gradients(passes, c), gradients(evaluate, c), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    with torch.no_grad():
        for found, expected in zip(passes(c), evaluate(c), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


class Live(TorchDispatchMode):
    """The most bytes that were alive at once, of tensors made since."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(x, Tensor):
                self._count(x.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            weakref.finalize(storage, self._free, key, size)
            self.now += size
            self.most = max(self.most, self.now)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def most_memory(count: int, part: int | None) -> int:
    evaluate, c = problem(micro_batch=part).evaluate, codes(count)
    with Live() as live:
        gradients(evaluate, c)
    return live.most


def test_memory_is_that_of_the_few() -> None:
    whole, few = most_memory(64, None), most_memory(4, None)
    assert whole > 10 * few
    assert (
        most_memory(64, 4) < 2 * few
    )  # what grows with all of them: codes, f, e, and their gradients
    assert most_memory(128, 4) - most_memory(64, 4) < 0.1 * whole


# precision


def precisions(seen: list[tuple[bool, bool]]) -> Evaluate:
    evaluate = problem().evaluate

    def spy(c: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()))
        return evaluate(c)

    return spy


@pytest.mark.parametrize("part", [None, 2])
def test_only_passes_with_a_gradient_are_in_low_precision(part: int | None) -> None:
    seen: list[tuple[bool, bool]] = []
    passes = Passes(precisions(seen), Runtime(autocast="bf16", micro_batch=part), CPU)
    c = codes(4)
    passes(c)  # a gradient is possible, but nobody asked for one
    with torch.no_grad():
        passes(c.clone().requires_grad_())
    assert {low for low, _ in seen} == {False}
    seen.clear()
    f, e = passes(c.clone().requires_grad_())
    assert {low for low, _ in seen} == {True}
    assert (f.dtype, e.dtype) == (torch.float32, torch.float32)


@pytest.mark.parametrize("part", [None, 3])
def test_bfloat16_is_near_float32(part: int | None) -> None:
    c = codes(64)
    exact, low = (
        gradients(problem().evaluate, c),
        gradients(problem(autocast="bf16", micro_batch=part).evaluate, c),
    )
    # 8 bits of mantissa in each of a handful of layers; in the gradients, ReLUs and pools that
    # choose otherwise
    for found, expected, near in zip(low, exact, (0.02, 0.02, 0.2, 0.2), strict=True):
        assert not torch.equal(found, expected)
        assert (found - expected).norm() < near * expected.norm()


SAMPLERS: dict[str, Callable[[tuple[float, float]], Sampler]] = {
    "stream": lambda _: Stream(K=10, n=40),
    "two_stage": lambda _: TwoStage(K=5, n=40),
    "few seeds": lambda _: TwoStage(K=10, n=10),
    "full": lambda _: Full(K=4, n=10, epsilon0=0.7, max_outer=60, until="inside"),
    "ladder": lambda ends: Ladder(K=10, ranges=[ends]),
}


def narrow() -> tuple[float, float]:
    """A range so narrow that bfloat16 misses it by much of its width."""
    with torch.no_grad():
        f = problem().evaluate(CodePrior.gaussian(CODE_DIM).sample(500, seeded(7)))[0]
    middle, spread = f.quantile(0.7).item(), f.std().item()
    return middle - 0.06 * spread, middle + 0.06 * spread


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize("eight_bit", [True, False])
def test_what_is_saved_is_in_range_although_steps_are_in_bfloat16(
    name: str, eight_bit: bool
) -> None:
    ends = narrow()
    network, generator = small()
    low = Problem(
        network,
        generator,
        neurons=[Neuron("6", 2, ends)],
        eight_bit=eight_bit,
        runtime=Runtime(autocast="bf16"),
    )
    sampler = SAMPLERS[name](ends)
    result = InverseSetSampler(sampler=sampler).run(low)
    assert result.status is Status.REACHED
    assert low.range.contains(result.activations if eight_bit else result.activations_before).all()
    assert result.in_range.all()
    if eight_bit:  # without, what rounding takes out of the range is not kept
        assert len(result) == sampler.n


@pytest.mark.parametrize("name", ["stream", "two_stage"])
def test_without_measuring_again_some_would_not_be(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kept, "confirmed", lambda self, *_: self)
    result = InverseSetSampler(sampler=SAMPLERS[name](narrow())).run(
        problem(narrow(), autocast="bf16")
    )
    assert not result.in_range.all()


def test_a_range_that_only_bfloat16_reaches_ends() -> None:
    target = plain_set(lambda c: c @ linear(), [(0.2, 0.4)], cube())

    def evaluate(c: Tensor) -> tuple[Tensor, Tensor]:
        f, e = target.evaluate(c)
        return (f if c.requires_grad else f + 1), e  # what is measured is never what the steps saw

    wrong = Target(evaluate, target.range, target.space, exact=False)
    for sampler in (Stream(K=5, n=20), TwoStage(K=5, n=20)):
        state = run(sampler, wrong)
        assert state.status in (Status.UNREACHABLE, Status.BUDGET)
        assert state.count == 0


def test_confirmed_by_hand() -> None:
    def rows(*numbers: float) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)

    measured: list[int] = []

    def evaluate(c: Tensor) -> tuple[Tensor, Tensor]:
        measured.append(len(c))
        return c / 10, -c

    target = replace(plain_set(lambda c: c, [(0.0, 1.0)], cube(1)), evaluate=evaluate)
    everybody = torch.ones(3, dtype=torch.bool)
    zeros = rows(0, 0, 0)
    before = Seen(rows(1, 99, 3), rows(7, 7, 7), zeros)
    first = Kept.empty(9, before).add(everybody, before, torch.arange(3), 1)
    after = Seen(rows(4, 50, 6), rows(7, 7, 7), zeros)
    second = first.add(everybody, after, torch.arange(3, 6), 2)
    low = replace(target, exact=False)
    kept = second.confirmed(low, 3, 2, low.range.contains)
    assert measured == [2, 1]
    assert (int(first.count), int(kept.count)) == (3, 5)
    found = kept.trimmed()
    assert found["u"].squeeze(1).tolist() == [
        1,
        99,
        3,
        4,
        6,
    ]  # 50 has gone; what was there before is not asked again
    assert found["f"].squeeze(1).tolist() == [7, 7, 7, 0.4, 0.6]
    assert found["e"].squeeze(1).tolist() == [0, 0, 0, -4, -6]
    assert found["step"].tolist() == [1, 1, 1, 2, 2]
    assert found["parent"].tolist() == [0, 1, 2, 3, 5]
    assert kept.confirmed(low, 5, 2, low.range.contains) is kept


# layouts, compilation, CUDA


@pytest.mark.parametrize("layout", [True, False])
def test_channels_last_changes_no_value(layout: bool) -> None:
    other = problem(channels_last=layout)
    conv, deconv = other.network.module[0].weight, other.generator.module[3].weight  # type: ignore[index, union-attr]
    for weight in (conv, deconv):
        assert weight.is_contiguous(memory_format=torch.channels_last) is layout
    for found, expected in zip(
        gradients(other.evaluate, codes(6)), gradients(problem().evaluate, codes(6)), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("device", "side", "choice", "wanted"),
    [
        ("cpu", 227, "auto", torch.channels_last),
        ("cpu", 32, "auto", None),  # as they come
        ("cuda", 227, "auto", torch.contiguous_format),
        ("cuda", 32, True, torch.channels_last),
        ("cpu", 227, False, torch.contiguous_format),
    ],
)
def test_how_maps_are_laid_out(
    device: str, side: int, choice: bool | str, wanted: torch.memory_format | None
) -> None:
    assert layout_of(Runtime(channels_last=choice), torch.device(device), side) is wanted


@pytest.mark.parametrize(
    ("device", "choice", "last"),
    [("cpu", "auto", True), ("cpu", False, False), ("cuda", "auto", False), ("cuda", True, True)],
)
def test_the_embedded_pair_is_laid_out_for_its_device(
    device: str, choice: bool | str, last: bool
) -> None:
    with FakeCuda():
        pair = mini_network(device=device), mini_generator(device=device)
        made = Problem(*pair, neurons=[Neuron("fc8", 8)], runtime=Runtime(channels_last=choice))
        f, _ = made.evaluate(torch.zeros(2, pair[1].code_dim, device=device))
        weight = made.network.module.conv2.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) is last
        assert f.device.type == device


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("c++") or shutil.which("g++")), reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
@pytest.mark.parametrize("autocast", ["off", "bf16"])
def test_compiled_passes_give_the_same(autocast: str) -> None:
    torch._dynamo.reset()
    before = functorch_config.donated_buffer
    c = codes(6)
    expected = gradients(problem().evaluate, c)
    near = 1e-5 if autocast == "off" else 0.2  # fused, bfloat16 rounds elsewhere
    for found, exact in zip(
        gradients(problem(autocast=autocast, compile=True).evaluate, c), expected, strict=True
    ):
        assert (found - exact).norm() <= near * exact.norm()
    assert functorch_config.donated_buffer is before  # the caller's


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(
    ("options", "near"),
    [
        ({"autocast": "bf16"}, 0.2),
        ({"autocast": "tf32"}, 0.1),
        ({"cuda_graphs": True}, 1e-4),
        ({"cuda_graphs": True, "autocast": "bf16"}, 0.2),
        ({"channels_last": True}, 1e-4),
        ({"micro_batch": 3}, 1e-4),
    ],
)
def test_options_on_cuda_are_near_float32(options: dict[str, Any], near: float) -> None:
    # another kernel rounds otherwise by 1e-7, but flips 8 bits of some pixel: f moves by 4e-4 here
    exact = problem(device="cuda", eight_bit=False)
    other = problem(device="cuda", eight_bit=False, **options)
    for seed in range(6):  # a graph is recorded at the third pass of a size, and replayed
        c = torch.randn(8, CODE_DIM, generator=seeded(seed)).cuda()
        with products("float32"):  # backward passes, too, as in a run
            pairs = zip(gradients(other.evaluate, c), gradients(exact.evaluate, c), strict=True)
        for found, expected in pairs:
            assert (found - expected).norm() < near * expected.norm()
        with torch.no_grad():
            torch.testing.assert_close(other.evaluate(c), exact.evaluate(c), rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(
    "options", [{"autocast": "bf16"}, {"autocast": "tf32"}, {"cuda_graphs": True}]
)
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_what_is_saved_is_in_range_on_cuda(name: str, options: dict[str, Any]) -> None:
    ends = narrow()
    result = InverseSetSampler(sampler=SAMPLERS[name](ends)).run(
        problem(ends, device="cuda", **options)
    )
    assert result.status is Status.REACHED
    assert result.in_range.all()


def test_options_that_need_cuda_are_refused_when_the_problem_is_made() -> None:
    with pytest.raises(InvsetError, match="cuda_graphs=true needs CUDA"):
        problem(cuda_graphs=True)

"""A person's module comes back as it was, whatever is done with it, and from whatever context."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn

from invset import (
    Generator,
    InverseSetSampler,
    InvsetError,
    Network,
    Neuron,
    Problem,
    mini_generator,
    mini_network,
)
from invset.nets.custom import module_network
from invset.nets.twin import twin


class Mixed(nn.Module):
    """Batch norm, dropout, layers that work in place, an old normalised weight, a hook."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(4, 5)
        self.scale = self.last.weight.detach() * 0 + 1  # a plain attribute
        self.seen: list[int] = []
        self.conv.register_forward_hook(self.note)

    def note(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self.seen.append(len(output))

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)  # in the caller's own pictures
        return self.last(self.drop(self.pool(self.relu(self.norm(self.conv(x)))).flatten(1)))


def looks(module: nn.Module) -> list[object]:
    """All that a module is, for comparison."""
    parts = [(type(p), p.training, getattr(p, "inplace", None)) for p in module.modules()]
    hooks = [(len(p._forward_hooks), len(p._forward_pre_hooks)) for p in module.modules()]
    state = [
        (name, id(t), t.requires_grad, t.dtype, t.stride(), t.sum().item())
        for name, t in [*module.named_parameters(), *module.named_buffers()]
    ]
    return [parts, hooks, state]


def sampled(network: Network, generator: Generator | None = None) -> Problem:
    problem = Problem(
        network, generator or mini_generator(), neurons=[Neuron("last", 1, range=(-1, 1))]
    )
    InverseSetSampler(k=2, n=4).run(problem)
    return problem


def test_a_module_comes_back_as_it_was() -> None:
    module = Mixed().train()
    before = looks(module)
    sampled(Network(module, image_size=32, encoder="pool"))
    network = module_network(module, image_size=32, encoder="pool", mean=[0.5] * 3, std=[1.0] * 3)
    sampled(network)
    assert looks(module) == before
    assert module.seen == []  # its own hook works in the copy
    module(torch.rand(2, 3, 32, 32)).sum().backward()  # it can still be trained


def test_training_mode_changes_nothing_for_a_run() -> None:
    module = Mixed()
    problem = sampled(Network(module, image_size=32, encoder="pool"))
    module.train()
    problem.network.module.train().requires_grad_(True)
    result = InverseSetSampler(k=2, n=6).run(problem)
    assert result.in_range.all()
    assert not problem.network.module.training
    assert not problem.network.module.norm.running_mean.any()  # type: ignore[union-attr]


def test_weights_are_shared_and_seen() -> None:
    module = Mixed().eval()
    network = Network(module, image_size=32)
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        module.last.bias += 1
    assert torch.equal(network.taps(x, ["last"])["last"], module(x.clone()))
    other = twin(module, "it", shared=False)
    with torch.no_grad():
        module.last.bias += 1
    assert not torch.equal(other.last.bias, module.last.bias)  # type: ignore[union-attr,arg-type]


def test_work_in_place_is_never_saved() -> None:
    x = torch.rand(2, 3, 32, 32)
    same = x.clone()
    network = Network(Mixed(), image_size=32, encoder="pool")
    network.taps(x, ["last"])
    assert torch.equal(x, same)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    taps = Network(plain, image_size=32).taps(x, ["0", "1"])
    assert torch.equal(taps["1"], taps["0"].relu())
    assert taps["0"].min() < 0

    class Doubling(nn.Module):
        def forward(self, codes: Tensor) -> Tensor:
            return codes.mul_(2).reshape(-1, 3, 2, 2)

    codes = torch.ones(2, 12)
    Generator(Doubling(), 12)(codes)
    assert torch.equal(codes, torch.ones(2, 12))


def test_what_can_not_be_copied() -> None:
    module = Mixed()
    module.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(InvsetError, match=r"network mine can't be copied .*in_place=True"):
        Network(module, name="mine", image_size=32)
    assert Network(module, image_size=32, in_place=True).module is module


CONTEXTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "meta": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_any_context(name: str) -> None:
    def run() -> Tensor:
        pair = mini_network(), mini_generator()
        problem = Problem(*pair, neurons=[Neuron("fc8", "horse", range=(8, 12))])
        return InverseSetSampler(k=2, n=3).run(problem).codes

    plain = run()
    before = torch.get_rng_state()
    with CONTEXTS[name]():
        inside = run()
    assert torch.equal(inside, plain)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_default_type_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)
    with pytest.raises(InvsetError, match=r"float64, and invset computes in float32"):
        mini_network()


def test_threads_share_a_network() -> None:
    network = Network(Mixed(), image_size=32, encoder="pool")
    inputs = [torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    layers = [["relu", "last"], ["conv", "norm", "last"]]
    wanted = [network.taps(x, names) for x, names in zip(inputs, layers, strict=True)]
    wrong: list[int] = []

    def work(i: int) -> None:
        for _ in range(60):
            found = network.taps(inputs[i], layers[i])
            if any(not torch.equal(found[name], wanted[i][name]) for name in layers[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class Plain(nn.Module):
    """Functions of its own that return nothing, and a layer that is called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten()
        self.last = nn.Linear(3 * 32 * 32, 5)

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)

    def to(self, *args: object, **options: object) -> None:  # type: ignore[override]
        super().to(*args, **options)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(input=self.flat(x))  # type: ignore[no-any-return]


def test_functions_of_a_module_may_return_nothing() -> None:
    module = Plain()
    network = sampled(Network(module, image_size=32)).network
    x = torch.rand(2, 3, 32, 32)
    assert torch.equal(network.taps(x, ["last.input"])["last.input"], x.flatten(1))
    assert module.training
    assert module.last.weight.requires_grad


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")  # it is deprecated
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "have no weights yet"),
        (lambda: torch.jit.script(nn.Sequential(nn.Flatten())), "module of torch.jit"),
        (
            lambda: nn.Sequential(nn.Flatten(), torch.jit.script(nn.Linear(3072, 2))),
            r"part of torch\.jit, 1",
        ),
    ],
)
def test_modules_without_weights_or_inside_are_told(
    make: Callable[[], nn.Module], told: str
) -> None:
    with pytest.raises(InvsetError, match=f"network mine (gives|has) .*{told}"):
        Network(make(), name="mine", image_size=32)


def test_networks_of_one_module_in_threads_and_its_own_passes() -> None:
    module = Mixed().eval()
    with torch.no_grad():
        x = torch.rand(2, 3, 32, 32)
        own = module(x.clone())
        networks = [Network(module, image_size=32, in_place=True, encoder="pool") for _ in "ab"]
        wanted = networks[0].taps(x, ["conv", "relu"])
        wrong: list[str] = []

        def look(network: Network) -> None:
            with torch.no_grad():
                for _ in range(60):
                    found = network.taps(x, ["conv", "relu"])
                    if any(not torch.equal(found[name], wanted[name]) for name in found):
                        wrong.append("taps")

        threads = [threading.Thread(target=look, args=(network,)) for network in networks]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if not torch.equal(module(x.clone()), own):  # or it ends in the middle
                wrong.append("own")
        for thread in threads:
            thread.join()
    assert wrong == []


def test_features_that_a_module_keeps_are_copied() -> None:
    class Keeps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(12, 3)
            self.features: dict[str, object] = {}

        def forward(self, x: Tensor) -> Tensor:
            self.features["last"] = [self.last(x.flatten(1))]
            self.features["self"] = self.features
            return self.features["last"][0]  # type: ignore[index]

    module = Keeps()
    mine = module(torch.rand(1, 3, 2, 2))  # with a gradient, which deepcopy refuses
    Network(module, image_size=2).taps(torch.rand(4, 3, 2, 2), ["last"])
    assert module.features["last"][0] is mine  # type: ignore[index]
    with pytest.raises(InvsetError, match="device meta"):
        Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 3, device="meta")), image_size=2)

"""Who takes products in float32 and who in TensorFloat-32, and that settings are put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from cases import seeded
from test_passes import CODE_DIM, codes, problem, small
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from invset.api import InverseSetSampler
from invset.core.context import own_context
from invset.core.products import products
from invset.core.space import CodePrior
from invset.core.target import Target
from invset.errors import InvsetError
from invset.nets.generator import Generator
from invset.problem.encode import activations, in_views
from invset.problem.passes import Passes
from invset.problem.problem import Neuron, Problem
from invset.problem.result import finish
from invset.problem.robust import Robust
from invset.problem.runtime import Runtime
from invset.report.run_folder import as_shown
from invset.samplers.drive import drive
from invset.samplers.stream import Stream
from invset.studies.study import study_of
from invset.training.classification import predict

backends: Any = torch.backends

PRESENT = hasattr(backends, "fp32_precision")
needs_present = pytest.mark.skipif(not PRESENT, reason="needs the settings of PyTorch 2.9")


def kinds() -> tuple[str, str]:
    """How CUDA's convolutions and matrix products would be taken now."""
    if PRESENT:
        found = backends.cudnn.conv.fp32_precision, backends.cuda.matmul.fp32_precision
        return tuple("tf32" if one == "tf32" else "float32" for one in found)  # type: ignore[return-value]
    old = backends.cudnn.allow_tf32, torch.get_float32_matmul_precision() != "highest"
    return tuple("tf32" if one else "float32" for one in old)  # type: ignore[return-value]


def settings() -> list[Any]:
    """Everything that a program can read of them."""
    found: list[Any] = []
    reads: list[Callable[[], Any]] = [
        lambda: backends.cudnn.allow_tf32,
        lambda: backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision,
    ]
    if PRESENT:
        holders = (backends, backends.cudnn, backends.mkldnn, backends.cudnn.conv)
        holders += (backends.cuda.matmul, backends.mkldnn.matmul, backends.mkldnn.conv)
        found = [one.fp32_precision for one in holders]
    for read in reads:
        try:
            found.append(read())
        except RuntimeError:  # old and present settings were mixed
            found.append("mixed")
    return found


@pytest.fixture
def tf32_everywhere() -> Iterator[None]:
    """What a program may have set: tensor cores for everything."""
    with products("tf32"):
        yield


def interrupted(kind: str) -> None:
    with products(kind):
        raise KeyboardInterrupt


SETTINGS: dict[str, tuple[Any, str, Any]] = {
    "nothing": (backends.cudnn, "allow_tf32", True),
    "old, convolutions": (backends.cudnn, "allow_tf32", False),
    "old, products": (backends.cuda.matmul, "allow_tf32", True),
}
if PRESENT:
    SETTINGS |= {
        "all": (backends, "fp32_precision", "tf32"),
        "cudnn": (backends.cudnn, "fp32_precision", "ieee"),
        "convolutions": (backends.cudnn.conv, "fp32_precision", "ieee"),
        "products": (backends.cuda.matmul, "fp32_precision", "tf32"),
        "products on CPUs": (backends.mkldnn.matmul, "fp32_precision", "bf16"),
    }


@pytest.mark.parametrize("kind", ["float32", "tf32"])
@pytest.mark.parametrize("name", list(SETTINGS))
def test_settings_of_any_kind_are_put_back(name: str, kind: str) -> None:
    where, key, value = SETTINGS[name]
    old = getattr(where, key)
    setattr(where, key, value)
    try:
        before = settings()
        with products(kind):
            assert kinds() == (kind, kind)
            with products("float32"):
                assert kinds() == ("float32", "float32")
            assert kinds() == (kind, kind)
        assert settings() == before
        with pytest.raises(KeyboardInterrupt):
            interrupted(kind)
        assert settings() == before
    finally:
        setattr(where, key, old)


def test_what_was_set_before_the_present_settings_is_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = settings()[-3:]
    monkeypatch.setattr("invset.core.products.hasattr", lambda *_: False, raising=False)
    for kind in ("tf32", "float32"):
        with products(kind):
            assert kinds() == (kind, kind)
        assert settings()[-3:] == old
    for holder in (backends.cuda.matmul, backends.mkldnn.matmul) if PRESENT else ():
        holder.fp32_precision = "none"


@pytest.mark.parametrize("old", ["highest", "high", "medium"])
def test_the_old_name_goes_on_to_be_readable(old: str) -> None:
    torch.set_float32_matmul_precision(old)
    try:
        before = settings()
        with products("tf32"):  # torch.compile asks for it
            assert torch.get_float32_matmul_precision() == "high"
        assert settings() == before
    finally:
        torch.set_float32_matmul_precision("highest")


@needs_present
def test_a_setting_that_follows_another_goes_on_to_follow_it() -> None:
    with products("float32"):
        pass
    with products("tf32"):  # sets the outermost one, and what does not follow it
        with products("float32"):
            pass
        assert kinds() == ("tf32", "tf32")
    backends.fp32_precision = "tf32"
    try:
        with products("float32"):
            pass
        backends.fp32_precision = "ieee"
        assert backends.cuda.matmul.fp32_precision == "ieee"
    finally:
        backends.fp32_precision = "none"


# a step


class Kernels(TorchDispatchMode):
    """How products were taken, by the operator that took them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, set[str]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        convolution, product = kinds()
        if "convolution" in name:
            self.found.setdefault(name, set()).add(convolution)
        elif name in ("mm", "addmm", "bmm", "_linear_pointwise"):
            self.found.setdefault(name, set()).add(product)
        return func(*args, **(kwargs or {}))


def target(autocast: str, part: int | None) -> Target:
    """A target on the CPU whose passes are told that they are on CUDA."""
    question = problem((0.0, 1.0))
    runtime = Runtime(autocast=autocast, micro_batch=part)
    passes = Passes(question._evaluate, runtime, torch.device("cuda"))
    exact = question.target(question.region())
    return replace(exact, evaluate=passes, products=runtime.products, exact=runtime.exact)


@pytest.mark.usefixtures("tf32_everywhere")
@pytest.mark.parametrize(
    ("autocast", "part"),
    [("off", None), ("tf32", None), ("tf32", 3), ("off", 3)],
)
def test_both_passes_of_a_step_are_taken_as_the_runtime_says(
    autocast: str, part: int | None
) -> None:
    here = target(autocast, part)
    inside: list[tuple[str, str]] = []
    sampler = Stream(K=5, n=5)
    with Kernels() as kernels:
        drive(sampler, here, seeded(), on_look=lambda *_: inside.append(kinds()))
    wanted = "tf32" if autocast == "tf32" else "float32"
    seen = here.look(torch.zeros(2, CODE_DIM), grad=True)
    with Kernels() as backward:
        here.slopes(seen)
    assert kernels.found["convolution_backward"] == backward.found["mm"] == {wanted}
    assert kernels.found["bmm"] == {"float32"}, "the sampler's own"
    forward = kernels.found["convolution"]
    assert forward == ({"tf32", "float32"} if autocast == "tf32" else {"float32"})
    assert set(inside) == {("float32", "float32")}
    assert kinds() == ("tf32", "tf32")


# what decides what a sample is


class Spy(nn.Module):
    """Remembers how products are taken when it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: set[tuple[str, str]] = set()

    def forward(self, x: Tensor) -> Tensor:
        self.kinds.add(kinds())
        return x


@pytest.fixture
def spied() -> tuple[Problem, Spy]:
    network, generator = small()
    spy = Spy()
    assert isinstance(network.module, nn.Sequential)
    network.module[1] = spy
    network._modules["1"] = spy
    shown = Generator(
        generator.module,
        CODE_DIM,
        prior=CodePrior.gaussian(CODE_DIM),
        display=lambda c: spy(generator(c)),
        start=None,
    )
    question = Problem(network, shown, neurons=[Neuron("6", 2, (-9.0, 9.0))])
    spy.kinds.clear()
    return question, spy


PICTURES = torch.randint(0, 256, (4, 3, 16, 16), generator=seeded(), dtype=torch.uint8)


def measured(question: Problem) -> None:
    with torch.no_grad():
        question.evaluate(codes(3))


def finished(question: Problem) -> None:
    sampler = InverseSetSampler(sampler=Stream(K=2, n=2)).sampler
    study = study_of(sampler)
    region = question.region()
    there = question.target(region)
    finish(question, region, study.found(there, study.run(there, seeded())))


def begun(question: Problem) -> None:
    with pytest.raises(InvsetError, match=r"type generator\.prior=, another encoder="):
        question.start_codes(2, seeded())


DOORS: dict[str, Callable[[Problem], Any]] = {
    "a pass without a gradient": measured,
    "a pass that is exact": lambda p: p.evaluate(codes(3).requires_grad_()),
    "finish": finished,
    "display": lambda p: as_shown(p, InverseSetSampler(sampler=Stream(K=2, n=2)).run(p)),
    "real pictures": lambda p: activations(p.network, PICTURES, ["6"]),
    "real pictures in views": lambda p: in_views(p.network, PICTURES, ["6"], Robust(M=2)),
    "predictions of a training": lambda p: predict(p.network.module, PICTURES),
    "start codes": begun,
    "a context of its own": lambda p: own_context()(p.look)(PICTURES.float()),
}


@pytest.mark.usefixtures("tf32_everywhere")
@pytest.mark.parametrize("door", list(DOORS))
def test_what_is_measured_is_measured_in_float32(door: str, spied: tuple[Problem, Spy]) -> None:
    question, spy = spied
    DOORS[door](question)
    assert spy.kinds == {("float32", "float32")}

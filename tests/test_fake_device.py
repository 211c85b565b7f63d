"""The fake device: right numbers, CUDA's rules, and every wait is counted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fake_device import FakeCuda, OnDevice, on_host
from torch import Tensor, nn
from torch.nn import functional as F


def numbers(*shape: int, device: str = "cpu") -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)


INDICES: list[Any] = [
    0,
    [0, 2],
    (slice(None), [1, 3]),
    ([0, 1], [2, 3]),
    (..., None, slice(1, 3)),
    torch.tensor([2, 0]),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indices_give_the_numbers_that_they_give_on_the_cpu(index: Any) -> None:
    x = numbers(3, 4)
    written = x.clone()
    written[index] = 7.0
    with FakeCuda():
        y = x.to("cuda")
        assert torch.equal(on_host(y[index]), x[index])
        y[index] = 7.0
        assert torch.equal(on_host(y), written)


def net() -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)]
    return nn.Sequential(*parts)


def trained(module: nn.Module, device: str) -> dict[str, Tensor]:
    """A module after two steps."""
    module = copy.deepcopy(module.to(device)).to(memory_format=torch.channels_last)
    steps = torch.optim.Adam(module.parameters())
    x = numbers(2, 3, 8, 8, device=device)
    for _ in range(2):
        steps.zero_grad()
        F.cross_entropy(module(x), torch.tensor([1, 2], device=device)).backward()
        steps.step()
    return on_host(module.state_dict())


def test_a_training_gives_the_numbers_that_it_gives_on_the_cpu() -> None:
    expected = trained(net(), "cpu")
    with FakeCuda() as cuda:
        found = trained(net(), "cuda")
    assert cuda.kernels["convolution"] == 2
    assert any("foreach" in name for name in cuda.kernels)  # as optimisers do on CUDA
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


FAULTS: dict[str, Callable[[Tensor], Any]] = {
    "Expected all tensors": lambda x: x + numbers(3, 4),
    r"cpu.*cuda:0.*stack": lambda x: torch.stack([x[0, 0], torch.tensor(1.0)]),
    r"cuda:0.*cuda:1": lambda x: x + x.to("cuda:1"),
    "indices should be": lambda x: numbers(4)[x.long()[0]],
    "generator": lambda x: torch.rand(3, device="cuda", generator=torch.Generator()),
    "to numpy": lambda x: x.numpy(),
    "ordinal": lambda x: x.to("cuda:2"),
    "can be pinned": lambda x: x.pin_memory(),
}


@pytest.mark.parametrize("words", list(FAULTS))
def test_what_cuda_refuses(words: str) -> None:
    with FakeCuda(), pytest.raises((RuntimeError, TypeError), match=words):
        FAULTS[words](numbers(3, 4, device="cuda"))


WAITS: dict[str, list[Callable[[Tensor], Any]]] = {
    "item": [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: int(x.sum()),
        lambda x: x[x.argmax() // 4],
        lambda x: torch.full((2,), x.sum()),
    ],
    "tolist": [lambda x: x.tolist()],
    "copy to the host": [
        lambda x: x.cpu(),
        lambda x: x.to("cpu"),
        lambda x: torch.zeros(3, 4).copy_(x),
    ],
    "nonzero": [lambda x: x.nonzero()],
    "unique": [lambda x: x.unique()],
    "equal": [lambda x: torch.equal(x, x)],
    "mask": [lambda x: x[x > 0], lambda x: x.__setitem__(x > 0, x.sum())],
    "masked_select": [lambda x: x.masked_select(x > 0)],
    "copy from the host": [
        lambda x: numbers(3).to("cuda"),
        lambda x: numbers(3).to("cuda", non_blocking=True),  # it is not pinned
        lambda x: x.copy_(numbers(3, 4)),
        lambda x: torch.tensor([1.0], device="cuda"),
        lambda x: x.new_tensor([1.0]),
        lambda x: x[[0, 1]],
        lambda x: x[torch.tensor([0])],
    ],
    "solver that checks": [lambda x: torch.linalg.solve(x[:, :3], x[:, 3])],
    "synchronize": [lambda x: torch.cuda.synchronize()],
}


@pytest.mark.parametrize("what", list(WAITS))
def test_waits_are_counted(what: str) -> None:
    with FakeCuda() as cuda:
        x = numbers(3, 4, device="cuda")
        for does in WAITS[what]:
            cuda.clear()
            does(x)
            assert [name.startswith(what) for name in cuda.waits] == [True], cuda.waits


@pytest.mark.parametrize(
    "calm",
    [
        lambda x: numbers(3).pin_memory().to("cuda", non_blocking=True),
        lambda x: x.to(torch.float64).to("cuda"),
        lambda x: torch.linalg.solve_ex(x[:, :3], x[:, 3]),
        lambda x: x.__setitem__(x > 0, 1.0),
        lambda x: x.__setitem__((slice(None), 0), 1.0),
        lambda x: torch.where(x > 0, 1.0, x) + torch.tensor(1.0),
        lambda x: torch.full((3,), 2.0, device="cuda"),
        lambda x: x[x.sum(1).argmin(keepdim=True)],
    ],
)
def test_what_does_not_wait(calm: Any) -> None:
    with FakeCuda() as cuda:
        x = numbers(3, 4, device="cuda")
        cuda.clear()
        calm(x)
        assert not cuda.waits


def test_autocast_goes_by_the_list_of_cuda() -> None:
    x = numbers(3, 4)
    with FakeCuda(), torch.autocast("cuda", torch.bfloat16):
        y = x.to("cuda").requires_grad_()
        product = y @ y.T
        assert product.dtype is torch.bfloat16
        assert (product * product).dtype is torch.bfloat16
        for wide in (product**2, product.exp(), product.softmax(1), product.sum()):
            assert wide.dtype is torch.float32  # the CPU's list has no power
        (slope,) = torch.autograd.grad((product**2).sum(), y)
        assert slope.dtype is torch.float32
    with FakeCuda(), torch.autocast("cuda", enabled=False):
        assert (x.to("cuda") @ x.to("cuda").T).dtype is torch.float32
    y = x.requires_grad_()
    product = y @ y.T
    (expected,) = torch.autograd.grad((product**2).sum(), y)
    torch.testing.assert_close(on_host(slope), expected, rtol=0.05, atol=0.05)


def test_nothing_is_left_behind() -> None:
    before = torch.cuda.is_available()
    with FakeCuda():
        assert torch.cuda.is_available()
        assert isinstance(torch.zeros(2, device="cuda"), OnDevice)
    assert torch.cuda.is_available() is before
    assert "to" not in vars(torch.Tensor)
    assert type(torch.tensor([1.0])) is Tensor

"""How many inputs go at once: what a pass takes at a time, by hand, and what is chosen for a free
memory that is made up.
"""

from __future__ import annotations

import pytest
import torch
from test_passes import small
from torch import Tensor

from invset.problem import batches
from invset.problem.batches import Peak, at_once
from invset.problem.encode import activations

CPU = torch.device("cpu")
WEIGHT = torch.ones(1000, 250)


def two_layers(x: Tensor) -> Tensor:
    hidden = (x @ WEIGHT.T).relu()  # 4,000 bytes of a row, twice: relu's input is still there
    return hidden @ WEIGHT  # 4,000 and 1,000


def test_the_peak_by_hand() -> None:
    x = torch.ones(3, 250)
    for count in (1, 3):
        with Peak() as peak, torch.no_grad():
            two_layers(x[:count])
        assert peak.bytes == count * 8000  # weights, their transpose and x were there before


def test_weights_that_onednn_packed_have_no_storage() -> None:
    x = torch.ones(3, 250)
    with Peak() as peak, torch.no_grad():
        found = x.to_mkldnn().to_dense()
    assert peak.bytes == 3000
    assert found.equal(x)


@pytest.mark.parametrize(
    ("free", "expected"),
    [(None, 20), (2 * 20 * 8000, 20), (2 * 20 * 8000 - 1, 16), (2 * 5 * 8000, 4), (0, 1)],
)
def test_as_many_as_half_of_the_free_memory_holds(
    free: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "free_memory", lambda device: free)
    called: list[int] = []

    def look(x: Tensor) -> Tensor:
        called.append(len(x))
        return two_layers(x)

    assert at_once(look, torch.ones(50, 250), 20, CPU) == expected
    assert called == ([] if free is None else [1, 1])
    called.clear()
    assert at_once(look, torch.ones(50, 250), 4, CPU) == 4
    assert at_once(look, torch.ones(0, 250), 20, CPU) == 1
    assert called == []


def test_real_images_are_looked_at_in_parts_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = small()
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 3, 16, 16), generator=rng, dtype=torch.uint8)
    sizes: list[int] = []
    network.module.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))

    def seen(free: int) -> dict[str, Tensor]:
        monkeypatch.setattr(batches, "free_memory", lambda device: free)
        sizes.clear()
        return activations(network, images, [network.encoder], [network.encoder])

    whole = seen(2**40)[network.encoder]
    assert sizes[-1] == 30
    few = seen(2**17)[network.encoder]
    assert max(sizes) < 30
    torch.testing.assert_close(few, whole)


def test_packed_weights_have_no_storage_and_do_not_count() -> None:
    x = torch.ones(8, 8)
    packed = torch.ones(8, 8).to_mkldnn()
    with Peak() as peak, torch.no_grad():
        packed.to_dense() @ x
    assert peak.bytes == 2 * 8 * 8 * 4  # what was unpacked, and the product

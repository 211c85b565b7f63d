"""Every sampler finds what it found when `golden/toys.safetensors` was written, to 1e-5.

Bytes differ between processors; `golden/golden.py` compares them on one machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from golden_toys import toys
from safetensors.torch import load_file, save_file
from torch import Tensor

FILE = Path(__file__).parent / "golden" / "toys.safetensors"

NAMES = [
    "full, slab",
    "full, tanh",
    "ladder, slab",
    "ppgn",
    "stream, slab",
    "stream, tanh",
    "two_stage, published",
    "two_stage, slab",
    "two_stage, tanh",
]


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[Tensor, Tensor]]:
    return toys()


def test_all_toys_are_compared(found: dict[str, tuple[Tensor, Tensor]]) -> None:
    assert sorted(found) == NAMES
    assert set(load_file(FILE)) == {f"{name} {part}" for name in NAMES for part in ("u", "f")}


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_those_of_before(found: dict[str, tuple[Tensor, Tensor]], name: str) -> None:
    before = load_file(FILE)
    for part, value in zip(("u", "f"), found[name], strict=True):
        assert len(value)
        torch.testing.assert_close(value, before[f"{name} {part}"], rtol=1e-5, atol=1e-5)


if __name__ == "__main__":  # where a change of the samples is meant
    parts = {
        f"{name} {p}": t for name, pair in toys().items() for p, t in zip("uf", pair, strict=True)
    }
    save_file({name: value.contiguous() for name, value in parts.items()}, FILE)

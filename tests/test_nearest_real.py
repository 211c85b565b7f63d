"""Distances to real inputs: by double loops, and within what a reference's file keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cases import seeded
from sample_sets import sample_set
from torch import Tensor

from invset.analysis.nearest_real import nearest, nearest_real
from invset.analysis.reference import Reference
from invset.core.ranges import ActivationRange
from invset.errors import InvsetError


def encodings(count: int, seed: int = 0) -> Tensor:
    """In three directions of eight."""
    way = torch.randn(3, 8, generator=seeded(9))
    return torch.randn(count, 3, generator=seeded(seed)) @ way


def reference(inputs: Tensor | None = None) -> Reference:
    """Image i of 60 has activation i / 60."""
    f = {"fc8": torch.arange(60.0).unsqueeze(1) / 60}
    return Reference.fit(encodings(60), f, ["fc8"], 1.0, {"network": "toy"}, inputs=inputs)


def least(x: Tensor, real: Tensor) -> list[float]:
    return [min(torch.dist(a, b).item() for b in real) for a in x]


def test_in_encodings_as_double_loops_say() -> None:
    e = encodings(5, seed=1)
    made = nearest_real(sample_set(e, ranges=[[(0.2, 0.9)]]), reference())
    assert made is not None
    assert made.in_encodings is not None
    expected = least(e, encodings(60))
    assert made.in_encodings.tolist() == pytest.approx(expected, rel=1e-4)
    assert made.encodings is not None
    assert made.encodings.median == pytest.approx(sorted(expected)[2], rel=1e-4)
    assert made.encodings.least == pytest.approx(min(expected), rel=1e-4)
    # real inputs in the range have their nearest other among all of them
    rows = reference().nearest([("fc8", 0)], ActivationRange.of([(0.2, 0.9)]), 5).tolist()
    real = encodings(60)
    others = [least(real[i : i + 1], torch.cat([real[:i], real[i + 1 :]]))[0] for i in rows]
    assert made.encodings_real is not None
    assert made.encodings_real.median == pytest.approx(sorted(others)[len(others) // 2], rel=1e-4)
    assert (made.inputs, made.inputs_real, made.in_inputs) == (None, None, None)


def test_a_copy_is_at_no_distance() -> None:
    real = encodings(60)
    rows = torch.randint(0, 255, (60, 1, 4, 4), generator=seeded(), dtype=torch.uint8)
    copies = sample_set(real[[3, 7]], inputs=rows[[3, 7]])
    made = nearest_real(copies, reference(rows))
    assert made is not None
    assert made.encodings is not None
    assert made.inputs is not None
    assert made.encodings.median == pytest.approx(0, abs=1e-2)
    assert made.inputs.median == pytest.approx(
        0, abs=1e-7
    )  # float32: the sum of products is rounded


def test_pictures_in_pixels_and_tables_in_standard_deviations() -> None:
    dark = torch.zeros(60, 1, 4, 4, dtype=torch.uint8)
    some = sample_set(encodings(2, seed=1), inputs=torch.full((2, 1, 4, 4), 51, dtype=torch.uint8))
    made = nearest_real(some, reference(dark))
    assert made is not None
    assert made.inputs is not None
    assert made.inputs.median == pytest.approx(0.2)  # 51 / 255 in every pixel
    # columns a and b with standard deviations 1 and 10, one of them two of these away
    column = torch.tensor([-1.0, 1.0]).repeat(30)
    table = torch.stack([column, 10 * column], 1) / column.std()
    row = torch.tensor([[table[0, 0], table[0, 1] - 20.0]])
    made = nearest_real(sample_set(encodings(1, seed=1), inputs=row), reference(table))
    assert made is not None
    assert made.inputs is not None
    assert made.inputs.median == pytest.approx((4 / 2) ** 0.5, rel=1e-5)
    # pictures of another size are not compared
    small = sample_set(encodings(1, seed=1), inputs=torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
    found = nearest_real(small, reference(dark))
    assert found is not None
    assert found.inputs is None


def test_what_there_is_no_distance_to() -> None:
    some = sample_set(encodings(3))
    assert nearest_real(some, None) is None
    assert nearest_real(sample_set(encodings(0)), reference()) is None
    assert nearest_real(some, replace(reference(), basis=None)) is None
    assert nearest_real(sample_set(torch.zeros(3, 7)), reference()) is None  # of another E
    several = replace(some, ranges=[[(0.0, 0.3)], [(0.3, 1.0)]])
    made = nearest_real(several, reference())
    assert made is not None
    assert made.encodings_real is None


def test_a_row_is_not_its_own_neighbour() -> None:
    x = torch.randn(500, 4, generator=seeded())  # more than are taken at a time
    rows = torch.arange(500)
    table = torch.cdist(x.double(), x.double()).fill_diagonal_(torch.inf)
    torch.testing.assert_close(nearest(x, x, rows), table.min(1).values)
    assert nearest(x, x).max() < 1e-6


def test_a_file_keeps_the_basis_and_the_inputs(tmp_path: Path) -> None:
    rows = torch.randint(0, 255, (60, 1, 4, 4), generator=seeded(), dtype=torch.uint8)
    held = reference(rows)
    held.save(tmp_path / "r.safetensors")
    again = Reference.load(tmp_path / "r.safetensors")
    assert again.inputs is not None
    assert torch.equal(again.inputs, rows)
    e = encodings(5, seed=1)
    brought = again.brought(e)
    assert brought is not None
    torch.testing.assert_close(brought, held.brought(e), rtol=1e-2, atol=1e-2)
    broken = replace(held, inputs=rows[:5])
    broken.save(tmp_path / "broken.safetensors")
    with pytest.raises(InvsetError, match=r"broken\.safetensors"):
        Reference.load(tmp_path / "broken.safetensors")

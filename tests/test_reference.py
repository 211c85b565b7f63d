"""Real images beside samples: what is stored, and which of them are compared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from invset.analysis.reference import LEVELS, Reference
from invset.core.ranges import ActivationRange
from invset.errors import InvsetError


def line(count: int = 100) -> Reference:
    """Image i has activation i, and lies at i on a line."""
    i = torch.arange(count).float()
    f = torch.stack([i, -i], dim=1)
    return Reference(
        i.unsqueeze(1), {"fc8": f}, {"fc8": f.quantile(LEVELS, dim=0)}, {"encoder": "fc6"}
    )


def fitted() -> Reference:
    rng = torch.Generator().manual_seed(0)
    e = torch.randn(300, 5, generator=rng) @ torch.randn(
        5, 20, generator=rng
    )  # five directions hold all the variance
    f = {"fc8": torch.randn(300, 3, generator=rng), "conv5": torch.randn(300, 4, generator=rng)}
    return Reference.fit(e, f, ["fc8"], 0.999999, {"network": "toy", "encoder": "fc6"})


def test_fit_keeps_distances_and_only_the_layers_asked_for() -> None:
    rng = torch.Generator().manual_seed(0)
    e = torch.randn(300, 5, generator=rng) @ torch.randn(5, 20, generator=rng)
    reference = fitted()
    assert reference.encodings.shape == (300, 5)
    torch.testing.assert_close(
        torch.pdist(reference.encodings), torch.pdist(e), rtol=1e-3, atol=1e-3
    )
    assert reference.knows("fc8")
    assert not reference.knows("conv5")
    assert reference.quantiles["conv5"].shape == (51, 4)
    assert reference.quantile("fc8", 1, 1.0) == reference.activations["fc8"][:, 1].max().item()
    assert reference.quantile("fc8", 1, 0.0) == reference.activations["fc8"][:, 1].min().item()


def test_a_file_holds_the_same_within_eight_bits(tmp_path: Path) -> None:
    reference = fitted()
    reference.save(tmp_path / "r.safetensors")
    again = Reference.load(tmp_path / "r.safetensors")
    half_a_step = reference.encodings.abs().amax(0) / 127 / 2
    assert ((again.encodings - reference.encodings).abs() <= half_a_step * 1.001).all()
    torch.testing.assert_close(
        again.activations["fc8"], reference.activations["fc8"], rtol=1e-3, atol=1e-3
    )
    assert set(again.activations) == {"fc8"}
    assert set(again.quantiles) == {"fc8", "conv5"}
    assert again.about == reference.about


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvsetError, match="no reference at"):
        Reference.load(tmp_path / "nowhere")
    (tmp_path / "text").write_text("text")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for name in ("text", "other.safetensors"):
        with pytest.raises(InvsetError, match=r"(is not a reference|as a safetensors file)"):
            Reference.load(tmp_path / name)


def test_images_in_the_range_are_compared_evenly_spread() -> None:
    real = line().compare([("fc8", 0)], ActivationRange.of([(10, 70)]), 4)
    assert (real.kind, real.in_range, real.images) == ("in range", 61, 100)
    assert real.encodings.squeeze().tolist() == [10, 30, 50, 70]
    assert real.threshold == pytest.approx(10)


def test_the_nearest_images_are_compared_where_few_are_in_the_range() -> None:
    real = line().compare([("fc8", 0)], ActivationRange.of([(98, 200)]), 10)
    assert (real.kind, real.in_range) == ("nearest to the range", 2)
    assert real.encodings.squeeze().sort().values.tolist() == list(range(90, 100))
    # two are enough to compare two samples with
    assert line().compare([("fc8", 0)], ActivationRange.of([(98, 200)]), 2).kind == "in range"


def test_intersections_are_compared_in_the_widths_of_their_ranges() -> None:
    real = line().compare([("fc8", 0), ("fc8", 1)], ActivationRange.of([(40, 60), (-50, -30)]), 5)
    assert real.in_range == 11  # 40 … 50
    assert real.kind == "in range"


def test_encodings_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(InvsetError, match="a reference needs encodings that differ, not 3 equal"):
        Reference.fit(torch.ones(3, 4), {}, [], 0.99, {})

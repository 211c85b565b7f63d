"""What a judge's view says of a set: by hand, by double loops, and beside real images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from sample_sets import sample_set
from torch import Tensor

from invset.analysis import kernel_distance
from invset.analysis.discover import measure
from invset.analysis.judge import judge
from invset.analysis.judged import Judged, ranks
from invset.analysis.kernel_distance import kid
from invset.analysis.reference import LEVELS, Reference
from invset.errors import InvsetError

ABOUT = {"name": "toy", "weights": "abc", "layer": "fc8"}


def normal(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def kernel(x: Tensor, y: Tensor) -> float:
    return (sum(a * b for a, b in zip(x.tolist(), y.tolist(), strict=True)) / len(x) + 1) ** 3


def test_kid_is_the_double_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(7, 5)
    y = 0.5 + 2 * normal(9, 5, seed=1)
    within_x = [kernel(x[i], x[j]) for i in range(7) for j in range(7) if i != j]
    within_y = [kernel(y[i], y[j]) for i in range(9) for j in range(9) if i != j]
    between = [kernel(one, other) for one in x for other in y]
    means = [sum(one) / len(one) for one in (within_x, within_y, between)]
    expected = means[0] + means[1] - 2 * means[2]
    assert kid(x, y) == pytest.approx(expected, rel=1e-12)
    assert kid(y, x) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(kernel_distance, "_ROWS", 3)  # a part of the table at a time
    assert kid(x, y) == pytest.approx(expected, rel=1e-12)


def test_kid_of_two_points_in_closed_form() -> None:
    a = torch.tensor([1.0, 2.0])
    b = torch.tensor([3.0, 0.0])
    # k(a, a) = 3.5³, k(b, b) = 5.5³, k(a, b) = 2.5³
    assert kid(a.expand(4, 2), b.expand(3, 2)) == pytest.approx(3.5**3 + 5.5**3 - 2 * 2.5**3)
    assert kid(a.expand(4, 2), a.expand(3, 2)) == pytest.approx(0)


def test_kid_is_unbiased() -> None:
    """Over draws from one distribution its mean is 0 within three standard errors."""
    values = torch.tensor(
        [kid(normal(6, 3, seed=i), normal(5, 3, seed=i + 1000)) for i in range(400)]
    )
    assert abs(values.mean()) < 3 * values.std() / 20
    assert (values < 0).any()


def test_kid_of_single_points_is_none() -> None:
    assert kid(normal(1, 3), normal(5, 3)) != kid(normal(1, 3), normal(5, 3))


def test_ranks_are_places_in_the_order_of_logits() -> None:
    logits = normal(20, 8)
    order = logits.argsort(1, descending=True).tolist()
    for i in range(8):
        assert ranks(logits, [i]).tolist() == [row.index(i) + 1 for row in order]
    best = [min(row.index(i) for i in (1, 4, 6)) + 1 for row in order]
    assert ranks(logits, [4, 1, 6]).tolist() == best
    assert ranks(logits, []).tolist() == [0] * 20


def view(count: int, shift: float = 0) -> Judged:
    """Image i has i + shift as its feature; the class of unit 0 has rank i + 1, unit 1 has none."""
    i = torch.arange(count)
    logits = -(i.unsqueeze(1) + 0.5 - torch.arange(count)).clamp_min(0)  # i classes are above 0
    logits = torch.where(torch.arange(count) < i.unsqueeze(1), 1.0, -1.0)
    own = torch.zeros(count, 1)
    features = torch.stack([i + shift, torch.ones(count)], 1).float()
    return Judged.of(ABOUT, features, torch.cat([own, logits], 1), [(0,), ()])


def reference(judged: Judged | None) -> Reference:
    """Image i has activation i."""
    f = torch.arange(20.0).unsqueeze(1).expand(-1, 2)
    held = {"fc8": f, "conv5": f}
    return Reference(f, held, {"fc8": f.quantile(LEVELS, dim=0)}, {}, judged)


def test_shares_beside_those_of_real_images() -> None:
    some = sample_set(torch.zeros(10, 2), ranges=[[(4.0, 13.0)]], judged=view(10, shift=3))
    made = judge(some, reference(view(20)))
    assert made is not None
    assert (made.network, made.classes) == ("toy", 1)
    assert made.samples is not None
    # ranks 1 to 10
    assert (made.samples.first, made.samples.among_five, made.samples.median_rank) == (
        0.1,
        0.5,
        5.5,
    )
    assert made.rank is not None
    assert made.rank.tolist() == list(range(1, 11))
    # ten images are in the range, 4 … 13, with ranks 5 … 14
    assert made.real is not None
    assert (made.kind, made.images) == ("in range", 10)
    assert (made.real.first, made.real.among_five, made.real.median_rank) == (0, 0.1, 9.5)
    features = view(20).features[4:14]
    assert made.kid == pytest.approx(1000 * kid(view(10, shift=3).features, features))


def test_what_there_is_no_rank_of() -> None:
    real = reference(view(20))
    some = sample_set(torch.zeros(10, 2), ranges=[[(4.0, 13.0)]], judged=view(10))
    cases = {
        (("fc8", 1),): 0,  # the judge knows no such class
        (("conv5", 0),): None,  # a hidden channel
        (None,): None,  # a direction
        (("fc8", 0), ("fc8", 1)): None,  # an intersection
    }
    for units, classes in cases.items():
        several = {"ranges": [[(4.0, 13.0)] * len(units)]} if len(units) > 1 else {}
        made = judge(replace(some, units=list(units), **several), real)
        assert made is not None
        assert (made.classes, made.samples, made.rank) == (classes, None, None)
        assert (made.kid is None) is (None in units)
    assert judge(sample_set(torch.zeros(3, 2)), real) is None


@pytest.mark.parametrize("other", ["no view", "another judge", "no reference"])
def test_without_a_view_of_the_same_judge_there_are_no_real_images(other: str) -> None:
    some = sample_set(torch.zeros(10, 2), ranges=[[(4.0, 13.0)]], judged=view(10))
    real = {
        "no view": reference(None),
        "another judge": reference(replace(view(20), weights="xyz")),
        "no reference": None,
    }[other]
    made = judge(some, real)
    assert made is not None
    assert made.samples is not None
    assert (made.real, made.kind, made.images, made.kid) == (None, None, 0, None)


def test_records_of_several_ranges_and_of_none() -> None:
    row = torch.tensor([0] * 4 + [1] * 6)
    some = sample_set(
        torch.zeros(10, 2), ranges=[[(0.0, 0.3)], [(0.3, 1.0)]], row=row, judged=view(10)
    )
    measured = measure(some, None)
    assert [part["judge"]["samples"]["median_rank"] for part in measured.summary["rows"]] == [
        2.5,
        7.5,
    ]
    assert measured.tensors["judge.rank"].tolist() == list(range(1, 11))
    hidden = measure(replace(some, units=[("conv5", 0)]), None)
    assert "judge.rank" not in hidden.tensors
    assert hidden.summary["judge"]["samples"] is None


def test_a_reference_keeps_the_view(tmp_path: Path) -> None:
    seen = replace(view(20), features=normal(20, 6).float())
    held = replace(reference(seen), about={"network": "toy"})
    held.save(tmp_path / "r.safetensors")
    again = Reference.load(tmp_path / "r.safetensors")
    assert again.about == held.about
    assert again.judged is not None
    assert again.judged.is_by(seen)
    assert (again.judged.name, again.judged.layer) == ("toy", "fc8")
    assert torch.equal(again.judged.ranks, seen.ranks)
    assert torch.equal(again.judged.classes, seen.classes)
    step = (seen.features.amax(0) - seen.features.amin(0)) / 255
    assert ((again.judged.features - seen.features).abs() <= 0.51 * step).all()


def test_a_view_with_something_missing() -> None:
    tensors, about = view(5).packed()
    del tensors["step"]
    with pytest.raises(InvsetError, match="lacks 'step' of what the judge saw"):
        Judged.unpacked(tensors, about)

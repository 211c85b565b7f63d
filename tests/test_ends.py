"""Ranges are closed: their ends can be reached, and ranges that float32 can't tell apart are
refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import cube, linear, plain_set, seeded
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn import functional as F

from invset import CodePrior, InverseSetSampler
from invset.config.commands import PriorOptions, ReferenceOptions, SpectrumOptions
from invset.config.validate import check_layers, check_own
from invset.core.ball import Ball
from invset.core.checks import as_words, check_range, smallest_width
from invset.core.ranges import ActivationRange
from invset.errors import InvsetError
from invset.files.rundir import folder_of
from invset.samplers.base import Limits, Sampler
from invset.samplers.drive import drive
from invset.samplers.full import Full
from invset.samplers.stream import Stream
from invset.samplers.two_stage import TwoStage

WEIGHTS = linear()

#: A unit that saturates, ranges of which it reaches the end alone, and that end.
SATURATED: list[tuple[Callable[[Tensor], Tensor], tuple[float, float], float]] = [
    (lambda x: F.relu(2 * x + 2), (-1, 0), 0),
    (lambda x: F.relu(2 * x + 2), (-1, 1e-6), 0),
    (lambda x: F.relu6(2 * x + 4), (6, 7), 6),
    (lambda x: F.relu6(2 * x + 4), (5.99999, 7), 6),
    (lambda x: F.hardtanh(2 * x + 1), (1, 1.5), 1),
    (lambda x: torch.sigmoid(8 * x + 20), (1, 2), 1),  # in float32 that of 17 and more is 1
    (lambda x: F.hardsigmoid(2 * x - 2), (-2, 0), 0),
]


@pytest.mark.parametrize(("unit", "ends", "value"), SATURATED)
@pytest.mark.parametrize("sampler", [Stream(2, 2), TwoStage(2, 2), Full(2, 2)])
def test_an_end_where_a_unit_saturates_is_reached(
    sampler: Sampler[Any],
    unit: Callable[[Tensor], Tensor],
    ends: tuple[float, float],
    value: float,
) -> None:
    target = plain_set(lambda c: unit(((c - 0.5) @ WEIGHTS).float()), [ends], cube())
    found = drive(sampler, target, seeded(), limits=Limits(code_steps=90))
    assert found.kept is not None
    kept = found.kept.trimmed()["f"].flatten().tolist()
    assert set(kept) == {value}


def test_ends_belong_to_the_range_and_others_keep_a_distance() -> None:
    range_ = ActivationRange.of([(1, 3)])
    f = torch.tensor([[0.999], [1.0], [1.001], [1.003], [2.997], [2.999], [3.0], [3.001]])
    held = [False, True, False, True, True, False, True, False]
    assert range_.holds(f).tolist() == held
    # where no code comes farther inside, what rounding needs is enough
    near = torch.tensor([[0.999], [1.001], [1.0000002], [2.999]])
    assert range_.holds(near).tolist() == [False, True, False, True]
    assert not range_.holds(torch.tensor([[math.nan]])).any()


NARROW = "narrower than float32 can tell apart at that size; the smallest width is"


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ((10, 10.0000001), f"{NARROW} 1.5e-05, for example z1=10 z2=10.00003"),
        ((10, 10.000001), NARROW),
        ((-10.000001, -10), NARROW),
        ((0, 1e-13), f"{NARROW} 1e-12"),
        ((1e6, 1e6 + 0.5), f"{NARROW} 1, for example z1=1000000 z2=1000002"),
        ((-1e39, 0), r"between -1e\+38 and 1e\+38"),
        ((0, 10**400), r"between -1e\+38 and 1e\+38"),
        ((0, math.inf), "finite"),
    ],
)
def test_ranges_that_float32_has_no_room_for(ends: tuple[float, float], told: str) -> None:
    with pytest.raises(InvsetError, match=told):
        check_range(*ends)


@pytest.mark.parametrize("z1", [0.0, 1e-9, 0.1, 10.0, 12345.6, -1e6, 3e37])
def test_the_smallest_width_is_allowed_and_has_room(z1: float) -> None:
    z2 = z1 + 2 * smallest_width(z1, z1)
    check_range(z1, z2)
    range_ = ActivationRange.of([(z1, z2)])
    assert range_.holds(range_.middle.unsqueeze(0)).all()
    low, high = as_words(z1, z2)
    check_range(float(low), float(high))  # what is suggested is told apart


def test_ends_in_words_differ() -> None:
    assert as_words(3, 4.5) == ("3", "4.5")
    assert as_words(10, 10.00002) == ("10", "10.00002")
    assert as_words(0, 0) == ("0", "0")


@pytest.mark.parametrize("options", [{"variance": 1.5}, {"variance": 0}, {"share": 0}])
def test_shares_are_bounded(options: dict[str, float]) -> None:
    (name, value) = next(iter(options.items()))
    told = rf"{name} must be a number above 0 and at most 1, not {value}"
    with pytest.raises(InvsetError, match=told):
        CodePrior.fit(torch.randn(9, 3), **options)
    with pytest.raises(InvsetError, match=told):
        check_own(OmegaConf.create(options), PriorOptions)


@pytest.mark.parametrize("given", [{"keep": []}, {"layers": "fc8"}])
def test_what_no_reference_takes(given: dict[str, Any]) -> None:
    with pytest.raises(InvsetError, match="is a list of layers, not"):
        check_layers(OmegaConf.create(given))
    check_layers(OmegaConf.create({"keep": ["fc8"], "layers": None}))


@pytest.mark.parametrize("options", [PriorOptions, ReferenceOptions, SpectrumOptions])
def test_limits_are_bounded(options: type) -> None:
    check_own(OmegaConf.create({"limit": None}), options)
    with pytest.raises(InvsetError, match="limit must be a whole number of at least 1"):
        check_own(OmegaConf.create({"limit": 0}), options)


@pytest.mark.parametrize("share", [0, 1, 1.5, math.nan])
def test_a_ball_holds_a_share(share: float) -> None:
    with pytest.raises(InvsetError, match="share must be a number above 0 and below 1"):
        Ball.holding(4, share)


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(InvsetError, match=r"out=.* is a folder; type the file"):
        folder_of(tmp_path)
    assert folder_of(tmp_path / "new" / "r.safetensors").path == tmp_path / "new"


def test_a_ladder_has_no_n() -> None:
    with pytest.raises(InvsetError, match=r"sampler ladder has no option 'n'"):
        InverseSetSampler(k=2, n=3, sampler="ladder", ranges=[[4, 6], [8, 10]])
    assert InverseSetSampler(k=2, sampler="ladder", ranges=[[4, 6], [8, 10]]).sampler.n == 4

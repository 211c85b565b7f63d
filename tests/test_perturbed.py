"""Perturbed samples: by hand, by NumPy's percentile, and for a linear unit in closed form."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import seeded
from safetensors.torch import load_file
from sample_sets import sample_set
from torch import Tensor, nn
from typed import typed

from invset.analysis.perturbed import perturbed, quantiles
from invset.core.space import CodePrior, Free, Region
from invset.errors import InvsetError
from invset.files.tabular import Table
from invset.nets.custom import module_network
from invset.nets.generator import Generator
from invset.problem.neuron import Neuron
from invset.problem.perturbing import Perturbed, Perturbing
from invset.problem.problem import Problem

#: The standard normal distribution's 10th percentile.
TENTH = -1.2815516

WEIGHTS = [0.3, -1.2, 0.5, 2.0]

#: Two samples, three perturbations, one neuron.
F = torch.tensor([[[0.5], [-1.0], [0.0]], [[2.0], [0.9], [1.0]]])


def linear_unit(prior: Region | None = None) -> Problem:
    """f(c) = WEIGHTS · c of a row of four numbers, which is the code itself."""
    table = Table(columns=list("abcd"), bounds={name: [-100, 100] for name in "abcd"})
    unit = nn.Linear(4, 1, bias=False)
    unit.weight.data = torch.tensor([WEIGHTS])
    network = module_network(nn.Sequential(nn.Identity(), unit), medium=table, image_size=None)
    generator = Generator(nn.Identity(), 4, prior=prior, medium=table)
    return Problem(network, generator, encoder="0", neurons=[Neuron("1", 1, range=(-1, 1))])


def region() -> CodePrior:
    """Deviations 2, 1/2, 3 and 1 along the axes."""
    return CodePrior(torch.ones(4), torch.eye(4), torch.tensor([2.0, 0.5, 3.0, 1.0]), 9.0)


def test_figures_by_hand() -> None:
    some = sample_set(torch.zeros(2, 2), perturbed=Perturbed(Perturbing(3, quantile=0.5), F, None))
    made = perturbed(some, None)
    assert made is not None
    assert (made.count, made.passes, made.region, made.in_region) == (3, 6, None, None)
    assert made.in_codes is not None
    assert made.in_codes.tolist() == [0, 1]  # medians
    assert made.codes is not None
    # f of the samples is 0 and 1, so nothing falls; in [0, 1] are 0.5, 0, 0.9 and 1
    assert (made.codes.metric, made.codes.fall) == (0.5, 0)
    assert made.codes.deviation == pytest.approx(0.5**0.5)
    assert made.codes.in_range == pytest.approx(4 / 6)
    assert perturbed(sample_set(torch.zeros(2, 2)), None) is None


def test_the_quantile_is_that_of_numpy_and_turns_with_the_goal() -> None:
    f = torch.randn(7, 40, 2, generator=seeded())
    together = f.double().sum(2).numpy()  # of several neurons the sum counts
    assert np.allclose(quantiles(f, 0.1), np.percentile(together, 10, axis=1))
    held = Perturbed(Perturbing(40), f, f)
    some = sample_set(torch.zeros(7, 2), ranges=[[(0.0, 1.0)] * 2], perturbed=held)
    for goal, level in (("max", 10), ("min", 90)):
        made = perturbed(replace(some, goal=goal), None)
        assert made is not None
        assert made.region is not None
        expected = np.percentile(together, level, axis=1)
        assert made.region.metric == pytest.approx(expected.mean(), rel=1e-6)
        sign = 1 if goal == "max" else -1
        own = some.activations.sum(1).numpy()
        assert made.region.fall == pytest.approx((sign * (own - expected)).mean(), abs=1e-6)
        assert made.region.in_range is None  # no range was aimed at


def test_each_row_of_ranges_counts_its_own_and_none_is_no_number() -> None:
    ranges = [[(0.0, 1.0)], [(1.0, 2.0)]]
    row = torch.tensor([0, 1])
    held = Perturbed(Perturbing(3), F, F)
    some = sample_set(torch.zeros(2, 2), ranges=ranges, row=row, perturbed=held)
    made = perturbed(some, None)
    assert made is not None
    assert made.codes is not None
    assert made.codes.in_range == pytest.approx((2 + 2) / 6)  # 0.5, 0 and 2, 1
    second = perturbed(some.rows()[1], None)
    assert second is not None
    assert second.codes is not None
    assert second.codes.in_range == pytest.approx(2 / 3)
    none = sample_set(torch.zeros(0, 2), perturbed=held.rows(torch.zeros(0, dtype=torch.long)))
    empty = perturbed(none, None)
    assert empty is not None
    assert empty.codes is not None
    assert (empty.passes, math.isnan(empty.codes.metric)) == (0, True)


def test_a_linear_unit_falls_as_the_normal_distribution_says() -> None:
    """f of c + sd n is N(f(c), sd² |w|²); in units of the region w counts times the deviations."""
    problem = linear_unit()
    codes = torch.randn(3, 4, generator=seeded())
    found = Perturbing(20_000, sd=0.3).look(problem, region(), codes)
    assert found is not None
    assert found.codes is not None
    assert found.region is not None
    w = torch.tensor(WEIGHTS)
    for f, length in ((found.codes, w.norm()), (found.region, (w * region().deviation).norm())):
        assert f.shape == (3, 20_000, 1)
        expected = codes @ w + TENTH * 0.3 * length
        assert quantiles(f, 0.1) == pytest.approx(expected.numpy(), abs=0.02 * length.item())


def test_the_unit_of_plain_codes_is_their_spread() -> None:
    start = torch.tensor([[1.0, 2, 3, 4], [3.0, 4, 5, 6]])
    own = Free(start)
    problem = linear_unit()
    found = Perturbing(5, scale="region", sd=0.5).look(problem, own, start)
    assert found is not None
    assert found.codes is None
    plain = Perturbing(5, scale="codes", sd=0.5).look(problem, own, start)
    assert plain is not None
    assert torch.equal(found.region, plain.codes)  # type: ignore[arg-type]


def test_the_same_codes_get_the_same_perturbations_whoever_found_them() -> None:
    problem = linear_unit()
    codes = torch.randn(3, 4, generator=seeded())
    one = Perturbing(10).look(problem, region(), codes)
    again = Perturbing(10).look(problem, region(), codes.flip(0).flip(0))
    other = Perturbing(10, seed=1).look(problem, region(), codes)
    assert one == again
    assert one != other
    assert Perturbing(0).look(problem, region(), codes) is None
    none = Perturbing(10).look(problem, region(), codes[:0])
    assert none is not None
    assert none.codes is not None
    assert none.codes.shape == (0, 10, 1)


@pytest.mark.parametrize(
    "bad", [{"count": -1}, {"sd": 0.0}, {"quantile": 1.1}, {"scale": "both of them"}]
)
def test_options_that_none_can_have(bad: dict[str, Any]) -> None:
    with pytest.raises(InvsetError, match=f"perturbed.{next(iter(bad))} must be"):
        Perturbing(**bad)


def test_a_run_samples_the_same_and_its_meter_does_not_count_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["network=mini", "neuron=horse", "z1=4", "z2=6", "n=3", "animation=false"]
    held: dict[str, tuple[Any, dict[str, Tensor]]] = {}
    for name, more in (("without", []), ("with", ["perturbed=4", "perturbed.scale=region"])):
        folder = tmp_path / name
        assert typed(monkeypatch, "run", *words, *more, f"hydra.run.dir={folder}") == 0
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        held[name] = summary, load_file(folder / "samples.safetensors")
    assert "perturbed" not in held["without"][0]
    summary, tensors = held["with"]
    assert summary["perturbed"]["passes"] == 12
    counted = ("forwards", "backwards", "code_steps")
    before = held["without"][0]["meter"]
    assert [summary["meter"][key] for key in counted] == [before[key] for key in counted]
    assert torch.equal(tensors["codes"], held["without"][1]["codes"])
    assert tensors["perturbed.in_region"].shape == (3,)
    header = (tmp_path / "with" / "activations.csv").read_text().splitlines()[0]
    assert "perturbed.in_region" in header
    assert "if perturbed" in (tmp_path / "with" / "report.html").read_text()

"""Robust neurons: views of a picture, what decides, and codes that come to their level in them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from cases import normal, seeded
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as vision
from typed import typed

from invset.analysis.reference import Reference
from invset.commands.moving_views import first_check
from invset.config.words import spelled_out, with_spectrum
from invset.core.bands import Bands
from invset.core.gap import Gap, comes_to_rest, moves
from invset.core.ranges import ActivationRange
from invset.core.target import Moving, Target
from invset.errors import InvsetError
from invset.nets.custom import module_network
from invset.nets.generator import Generator
from invset.nets.network import Network
from invset.nets.pixels import pixels_generator
from invset.problem.encode import in_views
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem
from invset.problem.robust import Robust, crop
from invset.problem.runtime import Runtime
from invset.report.sentences import read_at
from invset.samplers.base import Limits
from invset.samplers.drive import drive
from invset.samplers.stream import Stream
from invset.studies.probed import REAL, WHOLE
from invset.studies.probing import of_reference
from invset.studies.study import Sampling

SIZE = 24


class Pooling(nn.Module):
    """A small network that takes any size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 3, stride=2)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).relu().mean((2, 3)))


def network() -> Network:
    return module_network(Pooling(), image_size=SIZE, name="pooling")


def problem(robust: Robust | None = None, net: Network | None = None, **neuron: Any) -> Problem:
    place = {"layer": "head", "number": 2, "range": (0.1, 0.3), **neuron}
    return Problem(
        net or network(), pixels_generator(SIZE), neurons=[Neuron(**place)], robust=robust
    )


def pictures(count: int = 3) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=seeded())


def test_a_crop_is_torchvisions() -> None:
    x = torch.rand(2, 3, 20, 30, generator=seeded())
    expected = vision.resized_crop(x, 3, 11, 14, 14, [9, 9], antialias=True)
    torch.testing.assert_close(crop(x, (3 / 6, 11 / 16, 0.7), (9, 9)), expected)


def test_fixed_views_are_the_same_each_time_and_moving_ones_are_not() -> None:
    robust = Robust(M=5)
    x = pictures(1)

    def drawn(number: int | None) -> Tensor:
        return torch.cat(list(robust.views(x, (SIZE, SIZE), number)))

    assert torch.equal(drawn(None), drawn(None))
    assert torch.equal(drawn(3), drawn(3))
    assert len(drawn(None)) == 5
    assert len(drawn(3)) == robust.moving == 4
    assert not torch.equal(drawn(3), drawn(4))
    other = replace(robust, seed=1)
    assert not torch.equal(drawn(None), torch.cat(list(other.views(x, (SIZE, SIZE)))))


def test_sides_of_views_are_spread_evenly() -> None:
    boxes = Robust(M=8, smallest=0.2, largest=1.0)._boxes(8, seeded())
    for i, (top, left, side) in enumerate(boxes):
        assert 0.2 + 0.1 * i <= side <= 0.3 + 0.1 * i
        assert 0 <= top < 1
        assert 0 <= left < 1


def test_noise_and_jitter_have_the_size_that_is_asked_for() -> None:
    grey = torch.full((1, 3, 64, 64), 0.5)
    views = torch.cat(list(Robust(M=8, noise=0.05).views(grey, (64, 64))))
    assert (views - 0.5).std().item() == pytest.approx(0.05, rel=0.03)
    calm = Robust(M=8, noise=0.0, jitter=0.2, moving=200)
    white = torch.cat(list(calm.views(torch.ones(1, 3, 8, 8), (8, 8), 1)))[:, :, 0, 0]
    # 0.5 (1 + 0.2 (a + b)) + 0.1 c, with a, b and c uniform in [-1, 1]
    assert white.std().item() == pytest.approx(0.1 * 3**0.5 / 3**0.5, rel=0.1)


def test_a_robust_neuron_is_the_mean_over_views() -> None:
    robust = Robust(M=6)
    asked = problem(robust)
    x = pictures()
    f, e, scales = asked.measure(x)
    module = asked.network.module
    by_hand = [module(view)[:, 1] for view in robust.views(x, (SIZE, SIZE))]
    assert scales is not None
    torch.testing.assert_close(f[:, 0], torch.stack(by_hand).mean(0))
    torch.testing.assert_close(scales.whole[:, 0], module(x)[:, 1])
    torch.testing.assert_close(e, problem(Robust(M=0)).look(x)[1])


def test_one_view_of_everything_is_the_picture() -> None:
    whole = Robust(M=1, smallest=1.0, largest=1.0, noise=0.0)
    x = pictures()
    torch.testing.assert_close(problem(whole).look(x)[0], problem(Robust(M=0)).look(x)[0])


def test_what_decides_is_told_by_the_range() -> None:
    mean = torch.tensor([[1.0], [5.0], [2.0]], requires_grad=True)
    whole = torch.tensor([[3.0], [2.0], [2.5]])
    range_ = ActivationRange.of([(1.0, 3.0)])
    expected = {"views": [1.0, 5.0, 2.0], "whole": [3.0, 2.0, 2.5], "both": [3.0, 5.0, 2.5]}
    for name, values in expected.items():
        f = Robust(M=2, range=name).decided(mean, whole, range_)
        assert f.flatten().tolist() == values
        assert torch.autograd.grad(f.sum(), mean)[0].flatten().tolist() == [1, 1, 1]


def test_both_scales_lie_in_the_range_if_the_one_that_decides_does() -> None:
    range_ = ActivationRange.of([(-0.5, 0.7)])
    mean, whole = normal(200, 1), normal(200, 1, seed=1)
    f = Robust(M=2, range="both").decided(mean, whole, range_)
    both = range_.contains(mean) & range_.contains(whole)
    assert torch.equal(range_.contains(f), both)


@pytest.mark.parametrize(("learnt", "expected"), [(True, None), (False, 8)])
def test_views_are_the_default_where_nothing_was_learnt(learnt: bool, expected: int | None) -> None:
    chosen = Robust().resolved(learnt, pictures=True)
    assert (chosen.M if chosen else None) == expected
    assert Robust().resolved(learnt, pictures=False) is None


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: Robust(smallest=0.9, largest=0.5), "robust.smallest=0.9 is above"),
        (lambda: Robust(M=4).resolved(True, pictures=False), "type robust=0"),
        (lambda: problem(Robust(M=2, size=8), position=(1, 2), layer="conv"), "leave robust.size"),
        (lambda: problem(Robust(M=2, size=8), net=flat()), "takes no views of 8 pixels"),
    ],
)
def test_views_that_can_not_be_are_one_sentence(wrong: Any, sentence: str) -> None:
    with pytest.raises(InvsetError, match=sentence):
        wrong()


def flat() -> Network:
    """A network of one size."""
    module = nn.Sequential()
    module.add_module("flat", nn.Flatten())
    module.add_module("head", nn.Linear(3 * SIZE**2, 4))
    return module_network(module, image_size=SIZE)


def test_compiled_steps_have_no_views() -> None:
    with pytest.raises(InvsetError, match="no recorded or compiled"):
        Problem(
            network(),
            pixels_generator(SIZE),
            neurons=[Neuron("head", 1, (0, 1))],
            runtime=Runtime(compile=True),
        )


def test_small_moving_views_reach_the_network_as_they_are() -> None:
    asked = problem(Robust(M=3, size=12))
    target = asked.target(asked.region())
    assert target.moving is not None
    codes = pictures(2).flatten(1)
    f = target.moving.at(7)(codes)[0]
    x = asked.medium.round(codes.view(2, 3, SIZE, SIZE))
    views = asked.robust.views(x, (12, 12), 7)  # type: ignore[union-attr]
    module = Pooling()
    module.load_state_dict(asked.network.module.state_dict())
    torch.testing.assert_close(f[:, 0], torch.stack([module(v)[:, 1] for v in views]).mean(0))


def test_a_network_may_say_which_views_are_enough() -> None:
    net = network()
    net.view_size = 10
    assert problem(Robust(M=2), net).readout.moving_size == (10, 10)  # type: ignore[union-attr]
    assert problem(Robust(M=2, size=14), net).readout.moving_size == (14, 14)  # type: ignore[union-attr]


def test_every_view_is_counted() -> None:
    asked = problem(Robust(M=3))
    target = asked.target(asked.region())
    u = pictures(2).flatten(1)
    target.pull(seen := target.look(u, grad=True, moving=True), seen.f.sum())
    assert (target.meter.forwards, target.meter.backwards) == (2 * 4, 2 * 4)
    target.look(u)
    assert target.meter.forwards == 2 * 4 + 2 * 4  # three fixed views and the whole


def test_the_ratio_of_linear_scales_is_found() -> None:
    u = torch.zeros(3, 5)
    gap = Gap.empty(u, doubled())
    known = torch.tensor([True, True, False])
    promised = torch.tensor([[2.0], [3.0], [0.0]])
    after = gap.after(promised, torch.ones(3, 1, 5)).measured(0.5 * promised, known)
    assert after.ratio.item() == pytest.approx(0.5)
    nothing = gap.measured(promised, torch.zeros(3, dtype=torch.bool))
    assert nothing.ratio.item() == 1


def test_slopes_are_averaged_over_steps() -> None:
    gap = Gap.empty(torch.zeros(2, 3), doubled())
    first = torch.ones(2, 1, 3)
    gap = gap.after(torch.zeros(2, 1), first)
    mean = gap.averaged(3 * first, 0.25, torch.tensor([True, False]))
    assert mean[:, 0, 0].tolist() == [2.5, 3.0]


def test_rounds_of_moving_and_fixed_views() -> None:
    target = doubled()
    assert [moves(target, step, 3, 2) for step in range(10)] == [True, True, True, False, False] * 2
    assert not any(moves(replace(target, moving=None), step, 3, 2) for step in range(10))
    assert [step for step in range(10) if comes_to_rest(step, 3, 2)] == [3, 8]
    assert not any(comes_to_rest(step, 0, 1) for step in range(5))


def doubled(spread: float = 0.3) -> Target:
    """A linear unit that moving views show twice as large, and not quite the same each time."""
    dim = 12
    weights = normal(dim, 1, seed=1).float()
    band = torch.tensor([0] * 4 + [1] * 8)
    region = Bands(band, band.bincount().float(), 3.0, 0.2, 0.3, 0.2, 0.01, 0.02)

    def at(number: int) -> Any:
        noise = spread * torch.randn(dim, 1, generator=seeded(number))
        return lambda c: (2 * c @ (weights + noise), c)

    return Target(
        lambda c: (c @ weights, c),
        ActivationRange.of([(2.0, 3.0)]),
        region,
        moving=Moving(at, 4),
        passes=9,
    )


def test_codes_come_to_their_level_in_fixed_views() -> None:
    target = doubled()
    ended = drive(Stream(K=5, n=20, moving=6, fixed=1), target, seeded())
    assert (ended.status.value, ended.count) == ("reached", 20)
    assert ended.kept is not None
    seen = target.look(ended.kept.u[:20])
    assert target.inside(seen.f).all()
    assert ended.state.gap.ratio.item() == pytest.approx(0.5, rel=0.15)
    # a sample is taken on fixed views alone: each seventh step
    assert all((step + 1) % 7 == 0 for step in ended.kept.step[:20].tolist())


def test_a_run_on_moving_views_goes_on_as_if_it_had_not_been_interrupted() -> None:
    whole = drive(Stream(K=4, n=12, moving=5, fixed=1), doubled(), seeded())
    rng = seeded()
    begun = drive(
        Stream(K=4, n=12, moving=5, fixed=1), doubled(), rng, limits=Limits(code_steps=200)
    )
    assert begun.count < 12
    again = replace(begun, status=whole.status.RUNNING)
    ended = drive(Stream(K=4, n=12, moving=5, fixed=1), doubled(), rng, again)
    assert whole.kept is not None
    assert ended.kept is not None
    assert torch.equal(whole.kept.u[:12], ended.kept.u[:12])
    assert whole.meter == ended.meter


def test_limits_of_a_sampler_count_every_view() -> None:
    target = replace(doubled(), range=ActivationRange.of([(1e6, 2e6)]))
    ended = drive(Stream(K=2, n=2, budget=10, moving=5), target, seeded())
    assert 2 * 10 * 9 <= ended.meter.code_steps < 2 * 10 * 9 + 5 * 2 * 9


def test_estimates_are_not_what_was_reached() -> None:
    target = doubled()
    study = Sampling(Stream(K=3, n=3, moving=8, fixed=1))
    state = study.run(target, seeded(), limits=Limits(code_steps=60))
    assert study.found(target, state).best_f.isnan().all()


def test_the_first_check_is_the_first_step_on_fixed_views() -> None:
    study = Sampling(Stream(K=3, n=3, moving=8, fixed=1))
    firsts = [moves(doubled(), step - 1, 8, 1) for step in range(1, 10)]
    assert firsts == [True] * 8 + [False]
    assert [first_check(study, doubled(), steps) for steps in (0, 8, 9)] == [9, 9, None]
    still = replace(doubled(), moving=None)
    assert first_check(study, still, 0) is None


def test_where_a_robust_neuron_is_read_is_told() -> None:
    unit = "head:2 (index 1 in PyTorch)"
    assert read_at(problem(Robust(M=0))) == unit
    assert read_at(problem(Robust(M=8))) == f"{unit}, mean over 8 views"
    both = f"{unit}, mean over 8 views and the whole"
    assert read_at(problem(Robust(M=8, range="both"))) == both
    map_ = problem(Robust(M=8, range="whole"), layer="conv", number=3)
    assert read_at(map_) == "conv:3 (index 2 in PyTorch) at the centre [5,5] of 11x11"


def test_the_short_form_is_spelled_out() -> None:
    assert spelled_out("robust=8") == "robust.M=8"
    assert spelled_out("robust=0,8") == "robust.M=0,8"
    assert spelled_out("robust.range=both") == "robust.range=both"


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["network=custom"], ["generator=spectrum", "generator.size=224"]),
        (["network=custom", "network.image_size=32"], ["generator=spectrum", "generator.size=32"]),
        (["network=custom", "generator.code_dim=3"], []),
        (["network=custom", "network.channels=1"], []),
        (["network=mini"], []),
    ],
)
def test_a_network_without_a_generator_gets_spectra(words: list[str], more: list[str]) -> None:
    assert with_spectrum(words) == [*words, *more]


def test_real_images_are_read_in_the_same_views() -> None:
    net = network()
    robust = Robust(M=3)
    x = (pictures(7) * 255).round().byte()
    views = in_views(net, x, ["head"], robust, batch_size=3)
    asked = problem(robust, net)
    torch.testing.assert_close(views["head"][:, 1:2], asked.look(x / 255)[0])
    whole = net.taps(x / 255, ["head"])["head"]
    about = {"robust": robust.about()}
    reference = Reference.fit(whole, {"head": whole}, ["head"], 0.9, about, views)
    held = reference.in_views(robust.about())
    assert torch.equal(held.activations["head"], views["head"])
    assert torch.equal(held.whole["head"], whole)
    assert held.quantile("head", 1, 1.0) == pytest.approx(views["head"][:, 1].max().item())
    assert not reference.in_views(Robust(M=4).about()).knows("head")
    (rows,) = of_reference(asked, held)
    assert torch.equal(rows[REAL], views["head"][:, 1])
    assert torch.equal(rows[WHOLE], whole[:, 1])


def test_a_run_tells_both_scales(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["network=mini", "generator=spectrum", "generator.size=32", "layer=conv1", "neuron=3"]
    words += ["z1=0.02", "z2=1", "n=2", "robust=3", "judge=null", "report=true", "animation=false"]
    words += ["limits.code_steps=3000", f"hydra.run.dir={tmp_path}", "progress=false"]
    assert typed(monkeypatch, "run", *words) in (0, 3)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["robust"]["M"] == 3
    where = "conv1:3 (index 2 in PyTorch) at the centre [16,16] of 32x32, mean over 3 views"
    assert f"conv1:3 in [0.02, 1]; {where} -> {tmp_path}" in capsys.readouterr().err
    assert f"Read: {where}." in summary["sentences"]
    rows = list(csv.DictReader((tmp_path / "activations.csv").read_text().splitlines()))
    assert rows
    for row in rows:
        assert row["conv1:3 in views"] == row["conv1:3"]
        assert float(row["conv1:3 in the whole"]) != float(row["conv1:3"])
    views = sorted(float(row["conv1:3 in views"]) for row in rows)
    assert summary["scales"]["views"][0] == pytest.approx(views[(len(views) - 1) // 2], rel=1e-4)


def test_a_generator_that_learnt_is_read_in_the_whole() -> None:
    module = nn.Sequential(
        nn.Linear(5, 3 * SIZE**2), nn.Sigmoid(), nn.Unflatten(1, (3, SIZE, SIZE))
    )
    made = Generator(module, 5, start=lambda n, rng: torch.randn(n, 5, generator=rng))
    assert Problem(network(), made, neurons=[Neuron("head", 1, (0, 1))]).robust is None

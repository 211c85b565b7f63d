"""What the benchmarks compute, at tiny size: same gradients, counts of operations by hand,
quartiles by hand. Nothing is timed.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import batched
import common
import fooling
import full
import gpu
import peak
import published
import runtime
import startup
import step
import steps
import torch_lucent

from invset import Generator, Network, Neuron, Problem, mini_generator, mini_network
from invset.analysis.reference import Reference
from invset.core.ranges import ActivationRange
from invset.core.space import Box
from invset.core.steps import Plain
from invset.core.target import Target
from invset.nets.caffe.caffenet import CaffeNet
from invset.nets.caffe.upconv_fc6 import UpConvFc6
from invset.nets.embedded import embedded
from invset.nets.fast import BlockConv2d, ChannelNorm, Dense
from invset.problem.neuron import ANY
from invset.samplers.two_stage import TwoStage


def tiny_pair() -> tuple[Network, Generator]:
    """CaffeNet and its generator, an eighth as wide and of 67 pixels."""
    network = CaffeNet(n_out=10, widths=(12, 32, 48, 48, 32), fc=(64, 32), size=67)
    return common.random_pair(
        network, UpConvFc6(64, (32, 32), 16, (16, 32, 16, 16, 8, 8, 8, 4), crop=67), 64
    )


def test_quartiles_by_hand() -> None:
    # of 1, 2, 4, 8 the first lies three quarters of the way from 1 to 2, the third a quarter of the
    # way from 4 to 8
    assert common.Spread.of([8, 1, 4, 2]) == common.Spread(median=3, low=1.75, high=5)
    assert str(common.Spread(3, 1.75, 5)) == "3.00 [1.75, 5.00]"


def test_ratios_are_taken_repeat_by_repeat() -> None:
    first, mine = (
        common.Timed([1, 2, 4], [9, 9, 9], "cpu"),
        common.Timed([2, 2, 12], [9, 9, 9], "cpu"),
    )
    assert mine.over(first) == common.Spread(median=2, low=1.5, high=2.5)
    assert (
        common.Timed([1, 2, 4], [3, 6, 12], "wall")
        .over(common.Timed([1, 1, 1], [3, 3, 3], "wall"))
        .median
        == 2
    )


def test_repeats_come_in_turns_and_the_first_does_not_count() -> None:
    called: list[str] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: called.append(name)

    times = common.side_by_side({"a": note("a"), "b": note("b")}, 2, "cpu", "notes")
    assert called == ["a", "b"] * 3
    assert [len(t.milliseconds) for t in times.values()] == [2, 2]


def test_clock_of_several_threads_is_the_wall() -> None:
    assert [
        common.choose_clock(name, n)
        for name, n in (("auto", 1), ("auto", 2), ("cpu", 2), ("wall", 1))
    ] == [
        "cpu",
        "wall",
        "cpu",
        "wall",
    ]


def test_machine_and_options_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = common.parser("about", "name", pairs=True).parse_args(
        ["--out", str(tmp_path / "a" / "b.json"), "--pair", "mini"]
    )
    common.write(arguments, {"x": 1})
    text = (tmp_path / "a" / "b.json").read_text()
    assert all(word in text for word in ('"cpu"', '"torch"', '"threads"', '"mini"', '"x": 1'))
    assert "b.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    "pair", [tiny_pair, lambda: (mini_network(), mini_generator())], ids=["caffenet", "mini"]
)
def test_naive_and_ours_have_the_same_gradient(
    pair: Callable[[], tuple[Network, Generator]],
) -> None:
    found = step.steps(*pair(), 3)
    assert set(found) == {"naive", "one pass", "ours"}
    assert max(step.differences(found).values()) < 0.01
    assert found["naive"]().norm() > 0


def test_naive_gradient_is_that_of_the_formula() -> None:
    # x = c, E = x, f = the first of x: by hand, as the double loop has it
    c = torch.rand(3, 2, dtype=torch.float64) / 2 + 0.25
    earlier = torch.rand(2, 2, dtype=torch.float64)
    e, network = nn.Identity(), nn.Identity()
    naive = step.Naive(nn.Sequential(e, network), nn.Identity(), e, (0.0, 2.0), c, earlier)
    gradient = naive()
    by_hand = torch.zeros_like(c)
    for i in range(3):
        for other in c:
            by_hand[i] -= 4 * (c[i] - other)  # each pair is there twice
        for other in earlier:
            by_hand[i] -= 2 * (c[i] - other)
        g = (c[i, 0] - 1) / 2
        for sign in (1, -1):
            s = torch.relu(sign * g - step.LAMBDA / step.MU)
            by_hand[i, 0] += (-step.LAMBDA + step.MU * (sign * g - s)) * sign / 2
    torch.testing.assert_close(gradient, by_hand)


def test_plain_networks_are_pytorchs_own_layers() -> None:
    network, generator = tiny_pair()
    own = {
        type(m)
        for module in (network.module, generator.module)
        for m in step.plain(module).modules()
    }
    assert {nn.Linear, nn.Conv2d, nn.LocalResponseNorm} <= own
    assert not own & {Dense, BlockConv2d, ChannelNorm}
    assert {Dense, BlockConv2d, ChannelNorm} <= {type(m) for m in network.module.modules()}


def test_operations_by_hand() -> None:
    with torch.device("meta"):
        conv2, x = nn.Conv2d(96, 256, 5, padding=2, groups=2), torch.empty(1, 96, 27, 27)
        assert peak.by_hand(conv2, x, conv2(x)) == 2 * 27 * 27 * 256 * (48 * 5 * 5)
        up, x = nn.ConvTranspose2d(256, 128, 4, 2, 1), torch.empty(10, 256, 16, 16)
        assert peak.by_hand(up, x, up(x)) == 2 * 10 * 16 * 16 * 256 * (128 * 4 * 4)
        fc6, x = nn.Linear(9216, 4096), torch.empty(10, 9216)
        assert peak.by_hand(fc6, x, fc6(x)) == 2 * 10 * 9216 * 4096


def test_pytorch_counts_what_the_shapes_say() -> None:
    network, generator = tiny_pair()
    codes = common.some_codes(generator, 2)
    layers = peak.layers_of(network, generator, codes)
    assert [layer.name for layer in layers][:5] == ["defc7", "defc6", "defc5", "deconv5", "conv5_1"]
    assert peak.counted(network, generator, codes) == 2 * sum(layer.flops for layer in layers)


def test_the_ledger_knows_every_layer_both_ways() -> None:
    network, generator = tiny_pair()
    codes = common.some_codes(generator, 2)
    layers = {layer.name: layer for layer in peak.layers_of(network, generator, codes)}
    run = peak.question(network, generator, codes)
    run()  # packs weights
    ledger = peak.Ledger("cpu")
    ledger.watch(generator.module, network.module)
    with ledger:
        run()
    counted = {(name, way): flops for name, way, flops, _ in ledger.rows if flops}
    for name, layer in layers.items():
        if name != "conv1":  # on blocks of pixels there are more operations
            assert counted[name, "forward"] == counted[name, "backward"] == layer.flops, name


def test_shares_of_a_profile_add_up() -> None:
    table = [
        {"name": "conv1", "way": "forward", "share": 0.4},
        {"name": "conv1", "way": "backward", "share": 0.1},
        {"name": "deconv1", "way": "forward", "share": 0.2},
        {"name": "fc6", "way": "forward", "share": 0.1},
        {"name": "relu", "way": "", "share": 0.2},
    ]
    parts = peak.summary(
        table, {"conv1": nn.Conv2d, "deconv1": nn.ConvTranspose2d, "fc6": nn.Linear}
    )
    assert parts == {
        "convolutions": 0.5,
        "deconvolutions": 0.2,
        "fully connected": 0.1,
        "the rest": 0.2,
    }


def row(
    method: str, seed: int, steps: int, distinct: int, status: str = "reached"
) -> dict[str, str]:
    place = {"layer": "fc8", "neuron": "8", "range": "low", "seed": str(seed)}
    figures = {
        "meter.gradient_steps": str(steps),
        "meter.code_steps": str(10 * steps),
        "meter.seconds": "6.0",
        "counts.share_in_range": "1",
        "beside_real.distinct": str(distinct),
    }
    return {"method": method, **place, **figures, "status": status}


def test_steps_a_distinct_sample_by_hand() -> None:
    rows = [
        row("stream", 0, 10, 10),
        row("stream", 1, 20, 10),
        row("paper", 0, 60, 3),
        row("paper", 1, 60, 0, "budget"),
    ]
    found = steps.summarize(rows, "stream")
    assert found["stream"]["code_steps"] == common.Spread(15, 12.5, 17.5)  # of 10 and 20
    assert found["paper"]["code_steps_ratio"] == common.Spread(
        20, 20, 20
    )  # 200 over 10; the other run has none
    assert found["paper"]["seconds"] == common.Spread(2, 2, 2)
    assert (found["paper"]["runs"], found["paper"]["reached"]) == (2, 1)
    assert math.isnan(steps.figures(rows[3])["seconds"])


def test_steps_runs_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = steps.run(
        tmp_path / "runs", ["use=[stream]", "seeds=[3]", "n=10"], "{fc8: [8]}", "{low: [0.25, 0.4]}"
    )
    assert [
        (r["method"], r["layer"], r["neuron"], r["range"], r["seed"], r["counts.saved"])
        for r in rows
    ] == [("stream", "fc8", "8", "low", "3", "10")]


def test_full_is_summarised_repeat_by_repeat() -> None:
    names = ("seconds_a_step", *full.RATIOS, "peak_mib", "stored_mib")
    first, mine = (
        [dict.fromkeys(names, 1.0), dict.fromkeys(names, 2.0)],
        [dict.fromkeys(names, 3.0), dict.fromkeys(names, 2.0)],
    )
    found = full.summarize(mine, first)
    assert found["peak_mib"]["ratio"] == {"median": 2, "low": 1.5, "high": 2.5}
    assert len(full.table({100: full.summarize(first, first), 200: found})) == 3


def test_help_imports_nothing_heavy() -> None:
    found = startup.commands()
    assert startup.imported([sys.executable, "-c", "import PIL"]) == ["PIL"]
    assert [startup.imported(found[name]) for name in ("invset --help", "invset run --help")] == [
        [],
        [],
    ]


def test_every_option_of_the_runtime_has_its_step() -> None:
    known = runtime.options(10, compiled=True)
    assert next(iter(known)) == "off"
    for name in ("off", "bf16", "micro_batch"):
        runtime.stepper("mini", 2, **known[name])()


def test_stream_beside_lucent() -> None:
    problem = Problem(mini_network(), mini_generator(), "fc6", [Neuron("fc8", "horse", (4.0, 8.0))])
    reference = Reference.load(embedded("mini", "reference"))
    found = torch_lucent.stream(problem, reference, 3, 20, seed=0, which=0)
    assert (found["in_range"], found["distinct"]) == (1, 3)
    assert 3 <= found["image_steps"] <= 60
    grey = torch_lucent.measured(problem, reference, torch.full((2, 3, 32, 32), 0.5))
    assert (grey["in_range"], grey["distinct"], grey["nearest"]) == (0, 0, 0)


def test_lucent_is_summarised_by_hand() -> None:
    rows = [
        {"milliseconds": 2.0, "image_steps": 10, "distinct": 1},
        {"milliseconds": 3.0, "image_steps": 20, "distinct": 3},
    ]
    found = torch_lucent.summarize(rows, [{"milliseconds": 1.0}, {"milliseconds": 2.0}])
    assert found["milliseconds_per_distinct"] == 20  # (2 * 10 + 3 * 20) / 4
    assert found["ratio"] == {"median": 1.75, "low": 1.625, "high": 1.875}
    assert (
        torch_lucent.summarize([{**rows[0], "distinct": 0}], rows[:1])["milliseconds_per_distinct"]
        is None
    )


def test_the_table_of_a_gpu_in_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "pair", lambda name, device: tiny_pair())
    out = tmp_path / "gpu.json"
    words = ["--device", "cpu", "--pair", "tiny", "--K", "3", "--repeats", "1", "--threads", "1"]
    some = ["--options", "off", "cuda_graphs", "channels_last"]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words, *some, "--out", str(out)])
    gpu.main()
    told = capsys.readouterr().out
    assert "tiny, cuda_graphs: left out (runtime.cuda_graphs=true needs CUDA" in told
    results = json.loads(out.read_text(encoding="utf-8"))["results"]
    assert list(results["tiny, K = 3"]) == ["off", "channels_last"]
    assert list(results["own part, K = 3"]) == ["as it is"]
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--seconds", "0"])
    gpu.main()
    assert json.loads(out.read_text(encoding="utf-8"))["results"]["left_out"]


@pytest.mark.parametrize("name", ["cma_es", "genetic", "random"])
def test_one_code_at_a_time_is_the_same_run(name: str) -> None:
    """What `batched` compares: as many evaluations, the same samples, but single passes."""
    weights = torch.randn(6, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sizes: list[int] = []

    def evaluate(codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        sizes.append(len(codes))
        return codes @ weights, codes

    start = torch.rand(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    endless = ActivationRange(*torch.tensor([ANY], dtype=torch.float64).unbind(1))
    target = Target(evaluate, endless, Box(0.0, 1.0, start))
    sampler = batched.sampler_of(name)
    whole = batched.evaluated(sampler, target, 100)
    most = max(sizes)
    sizes.clear()
    each = batched.evaluated(sampler, batched.apart(target), 100)
    assert {*sizes} == {1}
    assert most > 1
    assert each.meter == whole.meter
    assert len(sizes) == each.meter.forwards >= 100
    assert whole.kept is not None
    assert each.kept is not None
    torch.testing.assert_close(each.kept.trimmed()["u"], whole.kept.trimmed()["u"])


def test_halves_of_a_picture_by_hand() -> None:
    x = torch.arange(4.0).view(1, 1, 2, 2)
    mean = 1.5
    wanted = [
        [[0, mean], [2, mean]],
        [[mean, 1], [mean, 3]],
        [[0, 1], [mean, mean]],
        [[mean, mean], [2, 3]],
    ]
    assert [half[0, 0].tolist() for half in fooling.halves(x)] == wanted


def test_pictures_of_a_round_with_a_fooling_class(tmp_path: Path) -> None:
    digits = np.arange(10, dtype=np.uint8).reshape(10, 1, 1).repeat(4, 1).repeat(4, 2)
    labels = np.array([3, 5] * 5)
    run = tmp_path / "0" / "evolved"
    (run / "samples").mkdir(parents=True)
    for number in range(12):
        Image.fromarray(digits[0]).save(run / "samples" / f"{number + 1:05d}.png")
    fooling.write_pictures(tmp_path / "all", digits, labels, [run])
    counts = {
        path.relative_to(tmp_path / "all").as_posix(): len(list(path.glob("*.png")))
        for path in (tmp_path / "all").glob("*/*")
    }
    # the last two digits, and evolved pictures 1 and 11, are held out
    assert counts == {
        "train/3": 4,
        "train/5": 4,
        "train/fooling": 10,
        "val/3": 1,
        "val/5": 1,
        "val/fooling": 2,
    }
    held_out = np.array(Image.open(tmp_path / "all" / "val" / "3" / "00008.png"))
    assert (held_out == 8).all()


def test_the_figures_of_a_round(tmp_path: Path) -> None:
    home, run = tmp_path / "1", tmp_path / "run"
    (home / "network").mkdir(parents=True)
    run.mkdir()
    (home / "network" / "log.csv").write_text("epoch,val_accuracy\n1,0.5\n2,0.75\n")
    (run / "activations.csv").write_text("sample,confidence.probability\n1,0.995\n2,0.5\n")
    held = {"confidence": {"median": 0.7475, "first": 1.0}, "judge": {"samples": {"first": 0.5}}}
    (run / "summary.json").write_text(json.dumps(held))
    found = fooling.measured("cppn", 1, home, run)
    assert found == fooling.Round("cppn", 1, 0, 0.75, 0.7475, 0.5, 1.0, 0.5)
    fooling.write_rounds(tmp_path, [found])
    assert "| cppn | 1 | 0 | 75.0% | 74.75% | 50% | 100% | 50% |" in (
        tmp_path / "rounds.md"
    ).read_text(encoding="utf-8")


def test_every_reading_of_the_published_algorithm_is_another_one() -> None:
    readings = published.readings()
    assert len({one.name for one in readings}) == len(readings)
    samplers = [
        (TwoStage(**{**published.PUBLISHED, **one.options}), tuple(one.problem.items()))
        for one in readings
    ]
    assert len({repr(one) for one in samplers}) == len(readings)
    assert all(one.constraint == "paper" and one.walk == 0 for one, _ in samplers)


def test_a_row_of_a_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, generator = tiny_pair()
    neuron = Neuron("fc8", 1, range=(-1e6, 1e6))  # all codes are inside

    def make(asked: Neuron, **options: Any) -> Problem:
        return Problem(network, generator, neurons=[asked], **options)

    case = published.Case("toy", neuron, make, None)
    options = {"inner_steps": 3, "step_rule": Plain(1e-9)}
    reading = published.Reading("plain", options)
    monkeypatch.setattr(published, "cases", lambda pair: [case])
    monkeypatch.setattr(published, "readings", lambda: [reading])
    out = tmp_path / "published.csv"
    words = ["published.py", "--n", "30", "--out", str(out)]
    for _ in range(2):  # the second time nothing is left to do
        monkeypatch.setattr(sys, "argv", words)
        published.main()
        monkeypatch.setattr(published, "run", None)
    [row] = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    # an iteration of 3 steps and its test, the pass of the seeds, and two with ten samples each
    assert (row["steps to seeds"], row["steps to n"]) == ("4", "7")
    assert (row["samples"], row["kept a step"], row["ended"]) == ("30", "1.00", "reached")
    assert out.with_suffix(".md").read_text(encoding="utf-8").count("\n") == 3

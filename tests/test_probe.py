"""Which range to ask for: percentiles, ascent and descent, and what ``invset probe`` writes and
prints.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import seeded
from PIL import Image
from typed import typed

from invset import Neuron, Problem, mini_generator, mini_network
from invset.analysis.reference import Reference
from invset.core.reach import LEVELS, percentiles, reach, rounded
from invset.core.space import CodePrior, Free
from invset.errors import InvsetError
from invset.nets.embedded import embedded
from invset.problem.neuron import ANY
from invset.report.probe_folder import Told
from invset.report.strip import Strip, text
from invset.studies.probed import (
    DOWN,
    RANDOM,
    REAL,
    UP,
    Probed,
    Suggestion,
    climbed,
    excited,
    suggested,
)

DIM = 12
SHORT = ["starts=2", "steps=2", "codes=3", "progress=false"]


def unit() -> tuple[torch.Tensor, float]:
    return torch.randn(DIM, generator=seeded(1)), 0.7


def ball() -> CodePrior:
    """A region whose deviations, basis and mean are none of them trivial."""
    codes = (
        torch.randn(400, DIM, generator=seeded(2)) @ torch.randn(DIM, DIM, generator=seeded(3)) + 5
    )
    return CodePrior.fit(codes, variance=1.0)


def test_a_linear_unit_comes_to_its_extremes_on_the_ball() -> None:
    w, b = unit()
    region = ball()
    found = reach(
        lambda u: region.decode(u) @ w + b,
        region,
        region.sample(5, seeded()),
        steps=200,
        length=0.2,
    )
    # f = w·(m + B (s * u)) + b with |u| <= r
    middle, slope = (
        w @ region.mean + b,
        region.radius * ((w @ region.basis) * region.deviation).norm(),
    )
    torch.testing.assert_close(found.highest, (middle + slope).expand(5), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.lowest, (middle - slope).expand(5), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("factor", [1.0, 1000.0])
def test_steps_have_their_length_whatever_the_slope(factor: float) -> None:
    w, _ = unit()
    region = Free(torch.zeros(1, DIM))
    found = reach(lambda u: factor * u @ w, region, torch.zeros(1, DIM), steps=7, length=0.3)
    step = 0.3 * DIM**0.5
    assert found.start.tolist() == [0]
    assert found.highest.item() == pytest.approx(7 * step * factor * w.norm().item(), rel=1e-4)
    assert found.lowest.item() == pytest.approx(-found.highest.item(), rel=1e-4)


def test_the_best_on_the_way_counts_not_the_last() -> None:
    region = Free(torch.zeros(1, 1))
    # one step of 1 goes from 0.4 over the peak at 0.5 to 1.4
    found = reach(
        lambda u: -(u[:, 0] - 0.5).abs(), region, torch.tensor([[0.4]]), steps=1, length=1.0
    )
    assert found.highest.item() == pytest.approx(-0.1)
    assert found.lowest.item() == pytest.approx(-1.1)


def test_a_walk_ends_when_it_is_told_to() -> None:
    region = Free(torch.zeros(1, 1))
    told: list[int] = []

    def on_step(count: int) -> bool:
        told.append(count)
        return len(told) < 3

    found = reach(lambda u: u[:, 0], region, torch.zeros(2, 1), 9, 0.5, on_step)
    assert (told, found.steps) == ([4, 4, 4], 3)
    assert found.highest.tolist() == [1.5, 1.5]
    assert found.lowest.tolist() == [-1.5, -1.5]


def test_percentiles_are_those_of_numpy_on_the_stored_activations() -> None:
    f = Reference.load(embedded("mini", "reference")).activations["fc8"][:, 7]
    np.testing.assert_allclose(
        percentiles(f).numpy(), np.quantile(f.numpy().astype(np.float64), LEVELS), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((4.993, 16.44), (5.0, 16.4)),
        ((5.6249, 14.8333), (5.6, 14.8)),
        ((-12.55, 34.27), (-13, 34)),
        ((170.4, 533.0), (170, 530)),
        ((0.01234, 0.01567), (0.0123, 0.0157)),
        ((0.0, 0.0), None),
        ((0.0, float("nan")), None),
    ],
)
def test_ranges_are_rounded_by_their_width(
    ends: tuple[float, float], expected: tuple[float, float] | None
) -> None:
    assert rounded(*ends) == expected


def test_a_strip_in_the_terminal_by_hand() -> None:
    lines = text(Strip("fc8:1", {"a": (9, (0, 10, 20, 30, 40, 50, 59)), "b": (1, (59,) * 7)}))
    drawn = next(line for line in lines if line.startswith("  a  ."))
    assert drawn == "  a  " + "." * 10 + "-" * 10 + "=" * 10 + "|" + "=" * 10 + "-" * 10 + "." * 9
    assert f"  b  {' ' * 59}|" in lines


def test_a_neuron_without_a_range_can_be_looked_at_but_not_sampled() -> None:
    problem = Problem(mini_network(), mini_generator(), neurons=[Neuron("fc8", "horse")])
    assert problem.neurons[0].range == ANY
    assert problem.look(torch.zeros(2, 3, 32, 32))[0].shape == (2, 1)
    with pytest.raises(InvsetError, match="fc8:8 horse has no range"):
        problem.target(problem.region())


def probe(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> dict[str, dict]:
    """Neurons by name, as ``probe.json`` has them."""
    assert typed(monkeypatch, "probe", "network=mini", *SHORT, *words, f"hydra.run.dir={out}") == 0
    return {one["name"]: one for one in json.loads((out / "probe.json").read_text())["neurons"]}


def test_several_neurons(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = probe(monkeypatch, tmp_path / "a", "neuron=[horse,ship,3]")
    assert list(found) == ["fc8:8 horse", "fc8:9 ship", "fc8:3 bird"]
    said = capsys.readouterr().out
    stored = (
        Reference.load(embedded("mini", "reference"))
        .activations["fc8"][:, 7]
        .numpy()
        .astype(np.float64)
    )
    horse = found["fc8:8 horse"]
    assert horse["populations"]["real images"]["percentiles"] == pytest.approx(
        np.quantile(stored, LEVELS).tolist(), rel=1e-12
    )
    assert {name: row["count"] for name, row in horse["populations"].items()} == {
        "real images": 2000,
        "random codes": 3,
        "after descent": 2,
        "after ascent": 2,
    }
    p90, p99 = np.quantile(stored, [0.9, 0.99])
    assert horse["suggested"] == pytest.approx([p90, p99], abs=0.05)
    assert horse["command"] == "invset run network=mini neuron=horse z1=5 z2=16.4"
    assert all(sentence in said for one in found.values() for sentence in one["sentences"])
    assert "invset run network=mini neuron=3 z1=" in said
    assert re.search(
        r"A sample takes about [\d.e-]+ s at the pace of this probe: n=\d+ about", said
    )
    rows = (tmp_path / "a" / "probe.csv").read_text().splitlines()
    assert rows[0] == "neuron,population,count,p0,p1,p10,p50,p90,p99,p100"
    assert len(rows) == 1 + 3 * 4
    with Image.open(tmp_path / "a" / "probe.png") as picture:
        assert picture.width > 900
    assert (
        probe(monkeypatch, tmp_path / "b", "neuron=[horse,ship,3]") == found
    )  # the same seed, the same numbers
    other = probe(monkeypatch, tmp_path / "c", "neuron=horse", "seed=1")["fc8:8 horse"][
        "populations"
    ]
    assert other["random codes"] != horse["populations"]["random codes"]
    assert other["real images"] == horse["populations"]["real images"]


def test_a_folder_of_pictures_is_what_the_network_sees(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pixels = torch.randint(0, 256, (6, 3, 32, 32), generator=seeded(), dtype=torch.uint8)
    (tmp_path / "images").mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / "images" / f"{i}.png")
    words = [
        f"images={tmp_path}/images",
        "neurons=[{layer: conv5, neuron: 80, position: max}, {layer: fc7, neuron: 2}]",
    ]
    found = probe(monkeypatch, tmp_path / "out", *words)
    taps = mini_network().taps(pixels.float() / 255, ["conv5", "fc7"])
    expected = {"conv5:80": taps["conv5"][:, 79].amax((1, 2)), "fc7:2": taps["fc7"][:, 1]}
    for name, f in expected.items():
        rows = found[name]["populations"]
        assert rows["real images"]["count"] == 6
        assert rows["real images"]["percentiles"] == pytest.approx(
            np.quantile(f.numpy(), LEVELS).tolist(), abs=1e-4
        )
        assert rows["real images, G(E(x))"]["count"] == 3
    assert found["conv5:80"]["command"].startswith(
        "invset run network=mini layer=conv5 neuron=80 position=max z1="
    )


def test_what_a_reference_does_not_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["layer=conv5", "neuron=80", "position=max", "codes=8"]  # stored at the centre only
    found = probe(monkeypatch, tmp_path / "a", *words, "steps=9")["conv5:80"]
    assert found["of"] == "upper half of the way of the median ascent"
    rows = found["populations"]
    assert "real images" not in rows
    start, top = rows["random codes"]["percentiles"][3], rows["after ascent"]["percentiles"][3]
    assert found["suggested"] == pytest.approx([(start + top) / 2, top], abs=0.05)
    assert "type images=/path/to/images" in capsys.readouterr().out
    none = probe(monkeypatch, tmp_path / "b", *words, "starts=0")["conv5:80"]
    assert (none["suggested"], none["command"], none["of"], none["reachable"]) == (None,) * 4
    assert (
        "No range is suggested: no real images are known, and no ascent was taken; type starts=4"
        " for one, or images=/path/to/images (folder, zip or tar)."
    ) in capsys.readouterr().out


GREY = torch.linspace(-0.19809, -0.19782, 200)  # what codes near grey gave `generator=fourier`


def test_codes_near_grey_suggest_no_range() -> None:
    assert suggested({RANDOM: GREY}) is None
    stuck = {RANDOM: GREY, DOWN: GREY[:9], UP: GREY[-9:] - 1e-5}
    probed = Probed.of_populations("fc:1", stuck, steps=7)
    assert (probed.suggestion, probed.suggested) == (None, None)
    [_, why, *_] = Told.of(probed, ["invset", "run"]).sentences
    assert "half of the ascents of 7 steps came no higher than -0.1978, where random codes" in why
    assert "type a larger steps=, length= or seconds=, or images=" in why


def test_an_ascent_suggests_the_upper_half_of_its_way() -> None:
    up = torch.tensor([9.0, 10.0, 11.0])
    ends = suggested({RANDOM: GREY, UP: up})
    assert ends is not None
    assert (ends.low, ends.high, ends.real) == (pytest.approx((10 - 0.197955) / 2), 10, False)
    assert climbed(torch.linspace(0, 10, 101), up) == Suggestion(ends.of, 7.5, 10.0, real=False)
    assert climbed(torch.linspace(0, 11, 101), up) is None  # random codes come as high


def test_real_images_come_first_and_ascents_where_they_move_nothing() -> None:
    real, up = torch.linspace(0, 5, 501), torch.tensor([9.0])
    rows = {REAL: real, RANDOM: GREY, DOWN: -up, UP: up}
    assert suggested(rows) == Suggestion("p90 … p99 of real images", 4.5, pytest.approx(4.95))
    told = Told.of(Probed.of_populations("fc:1", rows, 30), ["invset", "run"])
    assert "None of the 501 real images lies above 5 or below 0." in told.sentences
    silent = {**rows, REAL: torch.zeros(501)}
    told = Told.of(Probed.of_populations("fc:1", silent, 30), ["invset", "run"])
    assert told.sentences[0] == "No real image moves it from 0."
    assert told.command == "invset run z1=4.4 z2=9"


def test_random_codes_in_the_suggested_range_and_a_range_above_them() -> None:
    real, drawn = torch.linspace(0, 1, 1001), torch.linspace(0, 1.2, 1201)
    up = torch.full((4,), 3.0)
    rows = {REAL: real, RANDOM: drawn, DOWN: -up, UP: up}
    probed = Probed.of_populations("fc:1", rows, 30)
    assert (probed.suggested, probed.thin) == ((0.9, 0.99), "")
    # p99 of the random codes is 1.188, half of the way from their median is 1.8
    assert probed.common
    assert probed.above_random is not None
    assert probed.above_random.ends == (1.8, 3.0)
    said = (
        "Random codes reach this range, too, so samples may show nothing; try z1=1.8 z2=3, which"
        " half of the ascents reach"
    )
    told = Told.of(probed, ["invset", "run"])
    assert said in told.sentences
    assert told.command == "invset run z1=1.8 z2=3"
    # real images lie above random codes
    far = Probed.of_populations("fc:1", {**rows, REAL: 2 * real**2}, 30)
    assert far.common is False
    near = torch.cat([real, torch.tensor([2.0, 2.0])])
    near = Probed.of_populations("fc:1", {**rows, REAL: near}, 30)
    assert near.above_random == Suggestion(
        "up to the largest real image", pytest.approx(1.188), 2.0
    )
    assert Told.of(near, ["invset", "run"]).command == "invset run z1=1.19 z2=2"
    low = {**rows, UP: torch.full((4,), 1.1)}
    assert any(
        one.endswith("ascents come no higher; try a larger steps= or length=")
        for one in Told.of(Probed.of_populations("fc:1", low, 30), []).sentences
    )
    # a tenth of the random codes reach 0.9 * 0.9
    assert not Probed.of_populations("fc:1", {**rows, RANDOM: 0.9 * real}, 30).common


def test_a_suggestion_of_little_is_called_thin() -> None:
    rows = {RANDOM: GREY, DOWN: -torch.ones(4), UP: torch.full((4,), 9.0)}
    told = Told.of(Probed.of_populations("fc:1", rows, 9), [])
    assert told.sentences[1].endswith(": z1=4.4 z2=9 (thin: of 4 ascents of 9 steps only)")
    assert Probed.of_populations("fc:1", rows, 25).thin == ""
    few = {**rows, REAL: torch.linspace(0, 5, 99)}
    assert Probed.of_populations("fc:1", few, 30).thin == "99 real images"


def test_a_neuron_that_is_silent_for_nearly_all_images() -> None:
    silent, fires = torch.zeros(300), torch.linspace(1, 3, 20)
    assert excited(torch.cat([silent, fires])) == Suggestion(
        "p10 … p99 of the 20 of 320 real images that move it from 0",
        pytest.approx(np.quantile(fires.numpy(), 0.1)),
        pytest.approx(np.quantile(fires.numpy(), 0.99)),
    )
    assert (
        excited(torch.cat([silent, fires[:5]])).of == "p90 … p99 of real images"
    )  # too few to tell
    some = torch.cat([silent, fires, fires])
    assert excited(some).low == pytest.approx(np.quantile(some.numpy(), 0.9))


MISTAKES = {
    "Did you mean horse": ["neuron=[horsse]"],
    "no neuron was given": [],
    "neuron= for one neuron or neurons= for several": ["neuron=1", "neurons=[{neuron: 2}]"],
    "a neuron has no 'nueron'. Did you mean neuron?": ["neurons=[{nueron: 2}]"],
    "no folder or archive of pictures at /nowhere": ["neuron=1", "images=/nowhere"],
    "steps must be a whole number": ["neuron=1", "steps=0"],
    "length must be a number above 0": ["neuron=1", "length=0"],
    "seconds must be a number above 0, or null": ["neuron=1", "seconds=0"],
    "prior must be auto, natural, clip or none, not 'natura'. Did you mean natural?": [
        "neuron=1",
        "prior=natura",
    ],
    "has no option z1": ["neuron=1", "z1=3"],
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes(
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, "probe", "network=mini", *MISTAKES[message]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.rglob("*"))


def test_a_run_out_of_reach_says_what_to_probe(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "network=mini",
        "neuron=horse",
        "z1=900",
        "z2=901",
        "prior=natural",
        "n=2",
        "sampler.max_age=2",
        "sampler.patience=1",
    ]
    quick = ["report=false", "animation=false", "progress=false", f"hydra.run.dir={tmp_path}/out"]
    assert typed(monkeypatch, "run", *words, *quick) == 3
    said = capsys.readouterr().out
    assert "p90 … p99 of 2000 real images: z1=4.99 z2=16.4; the largest: 21.3" in said
    assert "invset probe network=mini prior=natural neuron=horse\n" in said


def test_a_sweep_has_a_folder_for_each_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, "probe", "-m", "network=mini", "neuron=horse,ship", *SHORT) == 0
    jobs = sorted(tmp_path.glob("outputs/*/*/[01]/probe.json"))
    assert [json.loads(job.read_text())["neurons"][0]["name"] for job in jobs] == [
        "fc8:8 horse",
        "fc8:9 ship",
    ]

"""Which features of a sparse autoencoder are on: by hand, and by ``invset probe``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typed import typed

from invset import Neuron, Problem, mini_generator, mini_network
from invset.files.sae import read_sae
from invset.problem.neuron import read_features
from invset.problem.robust import Robust
from invset.studies.survey import Feature, features_in, surveyed, worth_a_look

UNITS, FEATURES = 128, 40


@pytest.fixture(scope="module")
def sae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of sae_lens for layer conv5 of `mini`; its last feature is never on."""
    folder = tmp_path_factory.mktemp("sae")
    rng = torch.Generator().manual_seed(0)
    w = torch.randn(UNITS, FEATURES, generator=rng) / UNITS**0.5
    b = -1 - 4 * torch.rand(FEATURES, generator=rng)
    b[-1] = -1e4
    weights = {"W_enc": w, "b_enc": b, "W_dec": w.T.contiguous(), "b_dec": torch.zeros(UNITS)}
    save_file(weights, folder / "sae_weights.safetensors")
    about = {"architecture": "standard", "d_in": UNITS, "d_sae": FEATURES}
    about |= {"apply_b_dec_to_input": False}
    (folder / "cfg.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def test_by_hand() -> None:
    # ten inputs; on in 2, in all, in none, in 5 of which the median is 3, the largest 5
    some = torch.tensor([0.0, 5, 0, 1, 2, 0, 3, 0, 4, 0])
    two = torch.tensor([7.0, 9, *[0.0] * 8])
    found = surveyed(torch.stack([two, torch.ones(10), torch.zeros(10), some], 1))
    assert [(one.number, one.count, one.share) for one in found] == [
        (0, 2, 0.2),
        (1, 10, 1.0),
        (2, 0, 0.0),
        (3, 5, 0.5),
    ]
    assert (found[3].p50, found[3].largest) == (3, 5)
    assert found[3].p90 == pytest.approx(4.6)
    assert found[2] == Feature(2, 0, 0.0, 0, 0, 0)
    assert found[2].ends is None, "it is never on"
    assert found[1].ends is None, "its activation is always the same"


def test_those_worth_a_look_are_rare_and_strong() -> None:
    few = Feature(0, 4, 0.04, 9, 9, 9)
    often = Feature(1, 30, 0.3, 9, 9, 9)
    weak, strong = Feature(2, 5, 0.05, 1, 2, 3), Feature(3, 25, 0.25, 2, 3, 4)
    assert worth_a_look([few, often, weak, strong]) == [strong, weak]
    assert worth_a_look([weak, strong], most=1) == [strong]


@pytest.mark.parametrize("position", [(1, 2), "max", "mean"])
def test_each_feature_is_read_as_by_itself(sae: Path, position: str | tuple[int, int]) -> None:
    network = mini_network()
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    units = network.taps(x, {"conv5"})["conv5"]
    encoder = read_sae(sae)
    problem = Problem(
        network,
        mini_generator(),
        neurons=[
            Neuron("conv5", None, feature=encoder.feature(i), position=position, range=(1, 2))
            for i in range(FEATURES)
        ],
    )
    each = torch.stack([place.read(units) for place in problem.places], 1)
    together = read_features(units, problem.places[0].at, encoder)
    torch.testing.assert_close(together, each, atol=1e-5, rtol=1e-5)


def test_robust_features_are_read_in_views(sae: Path) -> None:
    network, encoder = mini_network(), read_sae(sae)
    neurons = [
        Neuron("conv5", None, feature=encoder.feature(i), position="max", range=(1, 2))
        for i in range(FEATURES)
    ]
    problem = Problem(network, mini_generator(), neurons=neurons, robust=Robust(M=3))
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    scales = problem.measure(x)[2]
    assert scales is not None
    torch.testing.assert_close(features_in(problem, encoder, x), scales.views)
    assert (scales.views - scales.whole).abs().max() > 0.1, "the scales differ"


@pytest.mark.slow
def test_a_probe_without_a_number(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    sae: Path,
) -> None:
    words = ["network=mini", "layer=conv5", f"sae={sae}", "position=max", "codes=40"]
    folder = f"hydra.run.dir={tmp_path}"
    assert typed(monkeypatch, "probe", *words, "seed=3", "progress=false", folder) == 0
    out = capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "features.csv").read_text().splitlines()))
    # the same by the parts themselves
    network, generator = mini_network(), mini_generator()
    region = Problem(network, generator, neurons=[Neuron("fc8", 1)]).region("natural")
    with torch.no_grad():
        codes = region.decode(region.sample(40, torch.Generator().manual_seed(3)))
        x = (generator(codes).clamp(0, 1) * 255).round() / 255
        maps = network.taps(x, {"conv5"})["conv5"].permute(0, 2, 3, 1)
        encoder = read_sae(sae)
        f = torch.relu(maps @ encoder.weight + encoder.bias).amax((1, 2))
    assert [int(row["count"]) for row in rows] == (f > 0).sum(0).tolist()
    largest = torch.tensor([float(row["largest"]) for row in rows])
    torch.testing.assert_close(largest, f.amax(0), atol=1e-3, rtol=1e-3)
    assert rows[-1]["count"] == "0", "the last feature is never on"
    assert rows[-1]["z1"] == ""
    assert f"{FEATURES} features in 40 images of random codes" in out
    best = max(
        (row for row in rows if int(row["count"]) >= 5 and float(row["share"]) <= 0.25),
        key=lambda row: float(row["p50"]),
    )
    asked = f"position=max feature={best['feature']} z1={best['z1']} z2={best['z2']}"
    assert asked in out
    assert json.loads((tmp_path / "probe.json").read_text())["features"] == FEATURES


def test_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sae: Path
) -> None:
    where = ["network=mini", f"sae={sae}", "progress=false"]
    assert typed(monkeypatch, "probe", *where) == 2
    assert "needs the layer that it was trained on: type layer=NAME" in capsys.readouterr().err
    assert typed(monkeypatch, "run", *where, "layer=conv5", "z1=1", "z2=2") == 2
    assert "no feature= tells which of them are on" in capsys.readouterr().err
    assert typed(monkeypatch, "probe", *where, "layer=conv4") == 2
    assert "layer conv4 has 192 units" in capsys.readouterr().err

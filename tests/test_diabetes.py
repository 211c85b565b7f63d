"""The regression that ships: its rows are scikit-learn's, its parts compute what they say."""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cases import seeded
from safetensors.torch import load_file
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence
from typed import typed

from invset.core.space import CodePrior
from invset.errors import InvsetError
from invset.files.tabular import Table
from invset.hub import made as hub
from invset.nets.boosted import Boosted, as_tensors
from invset.nets.diabetes import (
    COLUMNS,
    diabetes_generator,
    diabetes_network,
    diabetes_rows,
    diabetes_table,
    diabetes_trees,
    split,
)
from invset.nets.fit_rows import Recipe
from invset.nets.regressor import Standard, fit_regressor
from invset.nets.table_vae import RowVAE, table_vae

DATA = load_diabetes(scaled=False)


def told(network: Any, rows: Tensor) -> Tensor:
    with torch.no_grad():
        return network.taps(rows, ["output"])["output"][:, 0]


def explained(values: Tensor, target: Tensor) -> float:
    """R²."""
    return 1 - ((values - target).square().mean() / target.var(correction=0)).item()


def test_rows_are_those_of_scikit_learn_in_their_own_units() -> None:
    rows, target = diabetes_rows()
    wanted = torch.from_numpy(DATA.data).float()
    assert torch.equal(rows[:, 1] + 1, wanted[:, 1])
    assert torch.equal(rows[:, [0, *range(2, 10)]], wanted[:, [0, *range(2, 10)]])
    assert torch.equal(target, torch.from_numpy(DATA.target).float())
    table = diabetes_table()
    # the bounds are those of the data, and rounding changes no row
    assert torch.equal(table.low, rows.amin(0))
    assert torch.equal(table.high, rows.amax(0))
    assert torch.equal(table.store(rows), rows)
    assert table.texts(rows[:1]) == [
        ["59", "2", "32.1", "101.0", "157", "93.2", "38.0", "4.0", "4.8598", "87"]
    ]


def test_held_out_rows_are_no_others() -> None:
    chosen, held_out = split()
    assert len(chosen) == 354
    assert sorted([*chosen.tolist(), *held_out.tolist()]) == list(range(442))


def test_the_network_by_hand_and_on_held_out_rows() -> None:
    network = diabetes_network()
    rows, target = diabetes_rows()
    held = {name: t.double().numpy() for name, t in network.module.state_dict().items()}
    z = (rows.double().numpy() - held["standard.mean"]) / held["standard.std"]
    for layer in ("hidden1", "hidden2"):
        z = np.tanh(z @ held[f"{layer}.weight"].T + held[f"{layer}.bias"])
    f = (z @ held["output.weight"].T + held["output.bias"])[:, 0]
    np.testing.assert_allclose(told(network, rows).numpy(), f, atol=1e-3)
    chosen, held_out = split()
    e = network.taps(rows, ["standard"])["standard"]
    torch.testing.assert_close(e[chosen].mean(0), torch.zeros(10), atol=1e-4, rtol=0)
    torch.testing.assert_close(e[chosen].std(0), torch.ones(10), atol=1e-4, rtol=0)
    # least squares on the same rows explain 0.48 of the others
    assert explained(told(network, rows[held_out]), target[held_out]) > 0.4
    assert explained(told(diabetes_trees(), rows[held_out]), target[held_out]) > 0.4
    assert network.labels == ["progression"]
    assert network.encoder == "standard"


def test_a_training_gives_the_same_bytes_each_time() -> None:
    rows, target = diabetes_rows()
    one, other = (
        fit_regressor(rows, target, Recipe(steps=5, seed=seed)).state_dict() for seed in (3, 3)
    )
    another = fit_regressor(rows, target, Recipe(steps=5, seed=4)).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["output.weight"], another["output.weight"])
    with pytest.raises(InvsetError, match="19 rows are too few"):
        fit_regressor(rows[:19], target[:19])


def test_a_training_draws_none_of_a_persons_random_numbers() -> None:
    rows, target = diabetes_rows()
    before = torch.get_rng_state()
    threads = torch.get_num_threads()
    fit_regressor(rows, target, Recipe(steps=2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_trees_tell_what_scikit_learn_does(depth: int) -> None:
    rows, target = diabetes_rows()
    x = rows.numpy()
    model = GradientBoostingRegressor(n_estimators=30, max_depth=depth, random_state=1)
    model.fit(x, target.numpy())
    trees = Boosted(as_tensors(model, rows))
    # random rows, and rows on the thresholds themselves
    more = diabetes_table().random(200, (10,), seeded()).float()
    first = model.estimators_[:, 0]
    on = rows[:20].clone()
    for i, tree in enumerate(one.tree_ for one in first[:20]):
        on[i, tree.feature[0]] = float(np.float32(tree.threshold[0]))
    for some in (rows, more, on):
        wanted = torch.from_numpy(model.predict(some.numpy())).float()
        torch.testing.assert_close(trees(some)[:, 0], wanted, atol=1e-3, rtol=0)


def test_the_loss_of_the_autoencoder_is_the_lower_bound() -> None:
    two = torch.tensor([False, True, False])
    torch.manual_seed(0)
    module = RowVAE(two, code_dim=2, width=5)
    rows = torch.tensor([[1.0, 0.0, -2.0], [0.5, 1.0, 3.0]])
    module.standard = Standard.of(rows)
    spread = 0.7
    found = module.loss(rows, spread, seeded(4))
    mean, log_std = module.encode(rows)
    q = Normal(mean, log_std.exp())
    c = mean + log_std.exp() * torch.randn(2, 2, generator=seeded(4))
    out = module.decoder(c)
    z = module.standard(rows)
    log_p = Normal(out, spread).log_prob(z)[:, [0, 2]].sum(1)
    log_p = log_p + 2 * (math.log(spread) + math.log(2 * math.pi) / 2)  # constants
    log_p = log_p + Bernoulli(logits=out[:, 1]).log_prob(rows[:, 1])
    bound = log_p - kl_divergence(q, Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(found, -bound.mean())
    decoded = module(c)
    torch.testing.assert_close(decoded[:, 1], out[:, 1].sigmoid())
    torch.testing.assert_close(decoded[:, 0], rows[:, 0].mean() + rows[:, 0].std() * out[:, 0])


def test_decoded_rows_lie_as_real_ones_do() -> None:
    generator = diabetes_generator()
    rows, _ = diabetes_rows()
    assert isinstance(generator.prior, CodePrior)
    drawn = generator(generator.prior.decode(generator.prior.sample(2000, seeded())))
    spread = rows.std(0)
    assert ((drawn.mean(0) - rows.mean(0)).abs() < 0.2 * spread).all()
    numbers = [i for i, name in enumerate(COLUMNS) if name != "sex"]
    ratio = (drawn.std(0) / spread)[numbers]
    assert ((ratio > 0.5) & (ratio < 1.1)).all()  # means scatter less than rows
    # cholesterol / hdl is a column: rows between the bounds break it, decoded ones hardly

    def broken(x: Tensor) -> float:
        return (x[:, 7] - x[:, 4] / x[:, 6]).abs().mean().item()

    between = diabetes_table().random(2000, (10,), seeded()).float()
    assert broken(drawn) < 0.3 * broken(between)
    assert sorted(set(diabetes_table().round(drawn)[:, 1].tolist())) == [0, 1]


def test_a_decoder_of_a_persons_own_rows(tmp_path: Path) -> None:
    table = Table(["a", "b"], {"a": (-9, 9), "b": (-9, 9)}, units={"a": "cm"})
    a = torch.randn(200, generator=seeded()).tolist()
    lines = [f"{x},{2 * x}" for x in a]
    (tmp_path / "real.csv").write_text("\n".join(["a,b", *lines]) + "\n")
    generator = table_vae(table, tmp_path / "real.csv", code_dim=1, spread=0.1)
    rows = generator(torch.linspace(-1, 1, 9).unsqueeze(1))
    torch.testing.assert_close(rows[:, 1], 2 * rows[:, 0], atol=0.3, rtol=0.1)
    assert rows[:, 0].std() > 0.3
    with pytest.raises(InvsetError, match=r"type generator\.rows=real\.csv"):
        table_vae(table)
    with pytest.raises(InvsetError, match="the network takes pictures"):
        table_vae(None)
    with pytest.raises(InvsetError, match=r"generator\.spread must be a number above 0"):
        table_vae(table, tmp_path / "real.csv", spread=0)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "cache_folder", lambda: tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InvsetError, match=r'pip install "invset\[tables\]"'):
        diabetes_network()


WORDS = ("network=diabetes", "neuron=progression", "progress=false", "animation=false")


def test_patients_of_a_range_by_one_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*WORDS, "z1=150", "z2=160", "n=12", "judge=diabetes_trees")
    assert typed(monkeypatch, "run", *words, f"hydra.run.dir={tmp_path}/a") == 0
    with (tmp_path / "a/samples.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    x = torch.tensor([[float(v) - (name == "sex") for name, v in row.items()] for row in rows])
    f = told(diabetes_network(), x)
    assert ((f >= 150) & (f <= 160)).all()
    judged = told(diabetes_trees(), x)
    summary = json.loads((tmp_path / "a/summary.json").read_text(encoding="utf-8"))
    agreement = summary["agreement"]
    assert "judge" not in summary
    inside = ((judged >= 150) & (judged <= 160)).float().mean().item()
    assert agreement["samples"]["in_range"] == pytest.approx(inside)
    assert agreement["samples"]["mean"] == pytest.approx(judged.mean().item(), rel=1e-5)
    assert agreement["samples"]["apart"] == pytest.approx(
        (judged - f).abs().mean().item(), rel=1e-4
    )
    held = load_file(tmp_path / "a/samples.safetensors")
    torch.testing.assert_close(held["agreement.told"], judged)
    # the real rows that the network brings along are looked at, too
    assert summary["beside_real"]["images"] == 442
    assert 0 <= agreement["real"]["in_range"] <= 1
    assert f"tells {judged.mean():.4g} of them on average" in capsys.readouterr().out
    page = (tmp_path / "a/report.html").read_text(encoding="utf-8")
    assert "What another network tells" in page
    assert "bmi 18 to 42.2 kg/m²" in page
    assert "real image" not in page
    assert "real rows in range" in page or "real rows nearest to the range" in page
    assert f'["bmi", "{rows[0]["bmi"]} kg/m\\u00b2"]' in page


def test_the_smallest_by_one_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ("sampler=gradient", "goal=min", "generator=table", "n=2", "judge=diabetes_trees")
    assert typed(monkeypatch, "run", *WORDS, *words, f"hydra.run.dir={tmp_path}/a") == 0
    summary = json.loads((tmp_path / "a/summary.json").read_text(encoding="utf-8"))
    assert summary["agreement"]["samples"]["in_range"] is None
    ((low, _),) = summary["ranges"][0]
    rows, _ = diabetes_rows()
    assert low < told(diabetes_network(), rows).min()


def test_a_judge_of_other_columns_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*WORDS, "z1=150", "z2=160", f"hydra.run.dir={tmp_path}/a")
    assert typed(monkeypatch, "run", *words, "judge=mini") == 2
    assert "judge=mini can't look at what diabetes takes" in capsys.readouterr().err
    assert typed(monkeypatch, "run", *words, "judge=diabetes") == 2
    assert "judge=diabetes is the network that is asked" in capsys.readouterr().err


def test_trees_have_no_gradient_and_are_sampled_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("network=diabetes_trees", "generator=table", *WORDS[1:], "n=4", "z1=100", "z2=120")
    assert typed(monkeypatch, "run", *words, f"hydra.run.dir={tmp_path}/a") == 2
    assert "has no gradient" in capsys.readouterr().err
    words = (*words, "sampler=random", f"hydra.run.dir={tmp_path}/b")
    assert typed(monkeypatch, "run", *words) == 0

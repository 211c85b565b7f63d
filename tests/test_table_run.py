"""A table from end to end: a small network over six columns, by configuration and by the API; and
grey pictures.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pytest
import torch
from cases import seeded
from PIL import Image
from torch import Tensor, nn
from typed import typed

from invset.api import InverseSetSampler
from invset.core.space import Box, CodePrior
from invset.errors import InvsetError
from invset.files.tabular import Table
from invset.nets.custom import module_generator, module_network
from invset.nets.rows import table_generator
from invset.problem.neuron import Neuron
from invset.problem.problem import Problem

COLUMNS = ["age", "children", "income", "score", "height", "job"]
BOUNDS = {"age": [18, 90], "children": [0, 8], "income": [0, 2e5], "score": [-1, 1]}
BOUNDS["height"] = [1.4, 2.1]
JOBS = ["none", "clerk", "lion tamer"]
MEAN, STD = [54, 4, 1e5, 0, 1.75, 1], [36, 4, 1e5, 1, 0.35, 1]

OWN = """
import torch
from torch import nn
def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2))
def grey():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 6 * 8, 3))
def grey_maker():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 80), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 10)))
"""

WORDS = [
    "network=table",
    "network.module._target_=own_table.build",
    f"network.medium.columns=[{','.join(COLUMNS)}]",
    f"network.medium.bounds={str(BOUNDS).replace(chr(39), '')}",
    "network.medium.integers=[age,children]",
    f"network.medium.categories={{job: [{','.join(JOBS)}]}}",
    f"network.mean={MEAN}",
    f"network.std={STD}",
    "neuron=2",
    "progress=false",
]


def mlp() -> nn.Module:
    names: dict[str, Any] = {}
    exec(OWN, names)
    return names["build"]()


def table() -> Table:
    return Table(COLUMNS, BOUNDS, ["age", "children"], {"job": JOBS})


def activations(file: Path) -> np.ndarray:
    """Both outputs for rows of a CSV, with no more than the csv module and the network itself."""
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    x = np.array(
        [[float(r[c]) if c != "job" else JOBS.index(r[c]) for c in COLUMNS] for r in rows],
        np.float32,
    )
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)
    with torch.no_grad():
        return mlp()(torch.from_numpy((x - mean) / std)).numpy()


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "own_table.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_by_configuration(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        typed(monkeypatch, "run", *WORDS, "z1=-0.3", "z2=-0.25", "n=20", "hydra.run.dir=run") == 0
    )
    f = activations(own / "run/samples.csv")[:, 1]
    assert len(f) == 20
    assert ((f >= -0.3) & (f <= -0.25)).all()
    rows = list(csv.DictReader((own / "run/samples.csv").read_text().splitlines()))
    assert len({tuple(r.values()) for r in rows}) == 20
    for row in rows:
        assert 18 <= int(row["age"]) <= 90
        assert 0 <= int(row["children"]) <= 8
        assert row["job"] in JOBS
    summary = json.loads((own / "run/summary.json").read_text())
    assert summary["counts"]["in_range"] == 20
    assert summary["medium"]["kind"] == "table"
    assert [c["name"] for c in summary["medium"]["columns"]] == COLUMNS
    _check_page(own / "run", rows)


def _check_page(folder: Path, rows: list[dict[str, str]]) -> None:
    """The page has a strip for each row, tells what is drawn, and tells each row's cells."""
    parser = html5lib.HTMLParser(
        html5lib.treebuilders.getTreeBuilder("etree"), strict=True, namespaceHTMLElements=False
    )
    tree = parser.parse((folder / "report.html").read_text(encoding="utf-8"))
    items = [e for e in tree.iter("li") if e.get("data-number")]
    assert len(items) == len(rows)
    for item in items:
        (image,) = item.iter("img")
        assert image.get("src").startswith("data:image/webp;base64,")
        assert (int(image.get("width")), int(image.get("height"))) == (144, 6 * 17)
    text = " ".join("".join(tree.itertext()).split())
    assert "A picture shows a row as bars: age 18 to 90; children 0 to 8;" in text
    assert "measured on the saved rows" in text
    assert "job none, clerk, lion tamer" in text
    assert "are shrunk" not in text  # so that the text in a strip is sharp
    (script,) = (e for e in tree.iter("script") if e.get("id") == "samples")
    details = json.loads(script.text)
    for number, row in enumerate(rows, start=1):
        facts = dict(details[str(number)]["facts"])
        assert {name: facts[name] for name in COLUMNS} == row
        assert details[str(number)]["file"] == f"samples/{number:05d}.png"
        with Image.open(folder / details[str(number)]["file"]) as strip:
            assert strip.size == (144, 6 * 17)
    with Image.open(folder / "samples.png") as grid:
        assert grid.width > 10 * 144


def test_mistakes_in_a_table_are_one_sentence(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [w for w in WORDS if "integers" not in w]
    assert typed(monkeypatch, "run", *words, "network.medium.integers=[ages]", "z1=0", "z2=1") == 2
    err = capsys.readouterr().err
    assert err == "invset: integers= names 'ages', which is no column. Did you mean age? " + (
        f"Columns: {', '.join(COLUMNS)}\n"
    )


def test_by_the_api(tmp_path: Path) -> None:
    medium = table()
    network = module_network(mlp(), mean=MEAN, std=STD, medium=medium)
    assert (network.output, network.encoder) == ("4", "4.input")
    generator = table_generator(medium)
    problem = Problem(network, generator, neurons=[Neuron("4", 2, range=(-0.3, -0.25))])
    region = problem.region()
    assert isinstance(region, Box)
    assert (region.low, region.high) == (-1, 1)
    result = InverseSetSampler(n=20).run(problem)
    assert result.status == "reached"
    assert result.inputs.shape == (20, 6)
    assert result.in_range.all()
    assert torch.equal(medium.store(result.inputs), result.inputs)
    f, _ = problem.look(result.inputs)
    torch.testing.assert_close(f, result.activations)
    again = InverseSetSampler(n=20).run(problem)
    assert torch.equal(result.inputs, again.inputs)


def test_codes_of_a_table_are_its_columns_between_their_bounds() -> None:
    medium = table()
    generator = table_generator(medium)
    ends = torch.tensor([[-1.0], [0.0], [1.0], [3.0]]).expand(-1, 6)
    expected = torch.stack([medium.low, (medium.low + medium.high) / 2, medium.high, medium.high])
    torch.testing.assert_close(generator(ends), expected)


def test_real_rows_give_a_natural_region(tmp_path: Path) -> None:
    medium = Table(["a", "b", "same"], {"a": (-10, 10), "b": (-10, 10), "same": (0, 9)})
    a = torch.randn(500, generator=seeded())
    b = 2 * a + 0.1 * torch.randn(500, generator=seeded(1))
    lines = [f"{x!r},{y!r},4" for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    (tmp_path / "real.csv").write_text("\n".join(["a,b,same", *lines]) + "\n")
    generator = table_generator(medium, tmp_path / "real.csv")
    region = generator.prior
    assert isinstance(region, CodePrior)
    assert region.dim == 2  # the third column does not move
    rows = generator(region.decode(region.sample(4000, seeded(2))))
    assert torch.equal(rows[:, 2], torch.full((4000,), 4.0))
    torch.testing.assert_close(rows[:, 0].std(), a.std(), rtol=0.1, atol=0)
    correlation = torch.corrcoef(rows[:, :2].T)[0, 1]
    assert correlation > 0.99
    (tmp_path / "real.csv").write_text("a,b,same\n1,2,3\n")
    with pytest.raises(InvsetError, match="holds 1 rows; a natural region needs two"):
        table_generator(medium, tmp_path / "real.csv")


def test_normalisation_needs_a_number_a_column() -> None:
    with pytest.raises(InvsetError, match="hold 2 and 2 numbers; this network needs 6, one a col"):
        module_network(mlp(), mean=[0, 0], std=[1, 1], medium=table())


def test_grey_pictures_by_configuration(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["network=custom", "network.module._target_=own_table.grey", "network.channels=1"]
    words += ["network.image_size=[8,10]", "generator=custom", "generator.gaussian=true"]
    words += ["generator.module._target_=own_table.grey_maker", "generator.code_dim=5"]
    words += ["neuron=1", "z1=0", "z2=0.1", "n=6", "progress=false", "hydra.run.dir=run"]
    assert typed(monkeypatch, "run", *words) == 0
    names: dict[str, Any] = {}
    exec(OWN, names)
    pictures = []
    for number in range(1, 7):
        with Image.open(own / f"run/samples/{number:05d}.png") as image:
            assert (image.mode, image.size) == ("L", (10, 8))
            pictures.append(np.array(image))
    x = torch.from_numpy(np.stack(pictures)).float().div(255)[:, None]
    with torch.no_grad():
        f = names["grey"]()(x)[:, 0]
    assert ((f >= 0) & (f <= 0.1)).all()
    assert (own / "run/report.html").is_file()
    assert (own / "run/animation.gif").is_file()


def test_grey_pictures_by_the_api() -> None:
    names: dict[str, Any] = {}
    exec(OWN, names)
    network = module_network(names["grey"](), channels=1, image_size=[8, 10])
    generator = module_generator(names["grey_maker"](), 5, gaussian=True)
    problem = Problem(network, generator, neurons=[Neuron(network.output, 1, range=(0, 0.1))])
    result = InverseSetSampler(n=5).run(problem)
    assert result.images.shape == (5, 1, 8, 10)
    assert result.images.dtype == torch.uint8
    assert result.in_range.all()
    rgb = module_network(nn.Sequential(nn.Flatten(), nn.Linear(240, 3)), image_size=[8, 10])
    coloured = Problem(rgb, generator, neurons=[Neuron("1", 1, range=(0, 0.1))])
    assert coloured.input_shape == (3, 8, 10)


def test_images_of_tables_are_their_rows() -> None:
    def rows(count: int) -> Tensor:
        return table().random(count, (6,), seeded())

    assert table().misfit(rows(2)) is None
    assert ((rows(50) >= table().low) & (rows(50) <= table().high)).all()

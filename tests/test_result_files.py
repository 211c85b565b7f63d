"""Results in notebooks and in folders of their own."""

from __future__ import annotations

import base64
import io
import re
import webbrowser
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from invset import (
    Image8Bit,
    InverseSetSampler,
    InvsetError,
    Neuron,
    Problem,
    Result,
    Table,
    mini_generator,
    mini_network,
)
from invset.nets.custom import module_network
from invset.nets.rows import table_generator


@pytest.fixture(scope="module")
def horses() -> Result:
    neurons = [Neuron("fc8", "horse", range=(8, 12))]
    problem = Problem(mini_network(), mini_generator(), encoder="fc6", neurons=neurons)
    return InverseSetSampler(k=4, n=4).run(problem)


@pytest.fixture(scope="module")
def rows() -> Result:
    table = Table(["a", "job"], {"a": [0, 9]}, categories={"job": ["<none>", "clerk"]})
    network = module_network(torch.nn.Sequential(torch.nn.Linear(2, 1)), medium=table)
    neurons = [Neuron(network.output, 1, range=(-50, 50))]
    problem = Problem(network, table_generator(table), neurons=neurons)
    return InverseSetSampler(k=3, n=5).run(problem)


def test_a_result_comes_back_as_it_was(horses: Result, tmp_path: Path) -> None:
    horses.save(tmp_path / "new")
    found = Result.load(tmp_path / "new")
    assert found == horses
    assert found.medium == Image8Bit(3, (32, 32)) == horses.medium
    assert (found.status, found.meter, found.columns) == (
        horses.status,
        horses.meter,
        horses.columns,
    )
    pixels = np.array(Image.open(tmp_path / "new/samples/00003.png"))
    assert torch.equal(torch.from_numpy(pixels).permute(2, 0, 1), horses.inputs[2])


def test_rows_come_back_with_their_columns(rows: Result, tmp_path: Path) -> None:
    rows.save(tmp_path)
    found = Result.load(tmp_path)
    assert isinstance(found.medium, Table)
    assert torch.equal(found.medium.read(tmp_path), rows.inputs)
    assert found.medium.about() == rows.medium.about()


def test_an_empty_result_is_saved_too(horses: Result, tmp_path: Path) -> None:
    none = replace(horses, codes=horses.codes[:0], inputs=horses.inputs[:0])
    none.save(tmp_path)
    assert len(Result.load(tmp_path)) == 0
    assert "<img" not in none._repr_html_()
    with pytest.raises(InvsetError, match="nothing that can be drawn"):
        none.picture()


def test_nothing_of_yours_is_touched(horses: Result, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InvsetError, match=r"holds thesis\.txt; name a folder that is new or empty"):
        horses.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(InvsetError, match="can't be a folder"):
        horses.save(tmp_path / "thesis.txt")


def test_a_wrong_bit_is_told(horses: Result, tmp_path: Path) -> None:
    horses.save(tmp_path)
    file = tmp_path / "result.state"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InvsetError, match="damaged"):
        Result.load(tmp_path)
    with pytest.raises(InvsetError, match=r"there is no .*other/result\.state"):
        Result.load(tmp_path / "other")


@dataclass(frozen=True)
class Slide(Image8Bit):
    """A medium of one's own."""


def test_a_medium_of_ones_own_is_given(horses: Result, tmp_path: Path) -> None:
    own = replace(horses, medium=Slide(3, (32, 32)))
    own.save(tmp_path)
    with pytest.raises(InvsetError, match=r"a medium of your own, .*Slide"):
        Result.load(tmp_path)
    assert Result.load(tmp_path, medium=Slide(3, (32, 32))) == own


def test_a_notebook_shows_the_samples(horses: Result) -> None:
    text = horses._repr_html_()
    shown = re.findall(r"src='data:image/png;base64,([^']+)' alt='sample (\d): ([\d.]+)'", text)
    assert [int(number) for _, number, _ in shown] == [1, 2, 3, 4]
    for (data, _, told), stored, f in zip(shown, horses.inputs, horses.activations, strict=True):
        pixels = np.array(Image.open(io.BytesIO(base64.b64decode(data))))
        assert torch.equal(torch.from_numpy(pixels).permute(2, 0, 1), stored)
        assert float(told) == pytest.approx(f.item(), rel=1e-3)
    assert "fc8:8 horse in [8, 12]" in text
    assert repr(horses) == "Result(4 of 4 samples, fc8:8 horse in [8, 12], reached)"
    assert "&lt;b&gt;" in replace(horses, question="<b>")._repr_html_()
    alone = replace(horses, medium=None)._repr_html_()
    assert "<img" not in alone


def test_the_rows_of_a_grid_stay_rows(horses: Result) -> None:
    cells = torch.tensor([[3, 1], [-1, 0], [2, 0]])
    text = replace(horses, cells=cells)._repr_html_()
    assert re.findall(r"alt='sample (\d)", text) == ["4", "2", "3", "1"]
    assert "repeat(2, max-content)" in text
    picture = np.array(replace(horses, cells=cells).picture())
    assert picture.shape == (2 * 64 + 4, 2 * 64 + 4, 3)
    large = horses.inputs[3].repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert torch.equal(torch.from_numpy(picture[:64, :64]).permute(2, 0, 1), large)


def test_a_browser_shows_the_page(rows: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def browser(address: str, opens: bool = True) -> bool:
        asked.append(address)
        return opens

    monkeypatch.setattr(webbrowser, "open_new_tab", browser)
    rows.show()
    page = Path(asked[0].removeprefix("file://")).read_text(encoding="utf-8")
    assert page.count("<img") == 5
    monkeypatch.setattr(webbrowser, "open_new_tab", lambda address: browser(address, opens=False))
    with pytest.raises(InvsetError, match=r"no browser opened; the page is .*result\.html"):
        rows.show()

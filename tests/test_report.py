"""``report.html``: all that a run found, escaped, in one file that loads nothing."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pytest
from PIL import Image
from report_folders import write_run
from safetensors.numpy import load_file, save_file

from invset.analysis.discover import figures
from invset.commands.report import main
from invset.errors import InvsetError
from invset.report.charts import optimisation
from invset.report.pareto import Point, pareto
from invset.report.run_page import write_report
from invset.report.thumbnails import thumbnails


def page(folder: Path) -> Any:
    """The page's tree; the parser is strict, so that HTML that is not valid fails."""
    text = write_report(folder).read_text(encoding="utf-8")
    return html5lib.HTMLParser(
        html5lib.treebuilders.getTreeBuilder("etree"), strict=True, namespaceHTMLElements=False
    ).parse(text)


def text(element: Any) -> str:
    return " ".join("".join(element.itertext()).split())


def by_class(tree: Any, tag: str, name: str) -> list[Any]:
    return [e for e in tree.iter(tag) if name in e.get("class", "").split()]


def details(tree: Any) -> dict[str, Any]:
    (script,) = (e for e in tree.iter("script") if e.get("id") == "samples")
    return json.loads(script.text)


def decoded(uri: str) -> Image.Image:
    return Image.open(
        io.BytesIO(base64.b64decode(uri.removeprefix("data:image/webp;base64,")))
    ).convert("RGB")


def test_every_sample_is_there_as_the_files_say(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 25)
    tree = page(folder)
    rows = list(csv.DictReader((folder / "activations.csv").read_text().splitlines()))
    items = [e for e in tree.iter("li") if e.get("data-number")]
    assert len(items) == 25
    e = load_file(folder / "samples.safetensors")["encodings"].astype(float)
    gaps = np.linalg.norm(e[:, None] - e, axis=-1) + np.diag(np.full(25, np.inf))
    for i, (item, row) in enumerate(zip(items, rows, strict=True)):
        f = float(row["fc8:8 horse"])
        assert (item.get("data-number"), item.get("data-step")) == (row["sample"], row["step"])
        assert float(item.get("data-activation")) == f
        assert float(item.get("data-distances-nearest")) == pytest.approx(gaps[i].min(), rel=1e-5)
        assert float(item.get("data-distances-mean")) == pytest.approx(
            np.linalg.norm(e[i] - e.mean(0)), rel=1e-5
        )
        assert text(item) == f"{f:.2f}"
        (picture,) = item.iter("img")
        assert picture.get("alt") == f"Sample {i + 1}: fc8:8 horse {f:.2f}"
        with Image.open(folder / "samples" / f"{i + 1:05d}.png") as file:
            assert (
                decoded(picture.get("src")).tobytes() == file.tobytes()
            )  # small pictures lose nothing
        facts = dict(details(tree)[str(i + 1)]["facts"])
        assert (
            facts["Activation of fc8:8 horse"]
            == f"{f:.5g} ({float(row['fc8:8 horse before 8 bits']):.5g} before rounding to 8 bits)"
        )
        assert facts["Origin"] == f"{row['origin']}, of parent {i % 3}"
    # samples of one parent are linked
    assert set(details(tree)["25"]["kin"]) == {1, 4, 7, 10, 13, 16, 19, 22}
    numbers = sorted(
        int(b.get("data-sample"))
        for s in by_class(tree, "section", "group")
        for b in by_class(s, "button", "sample")
    )
    assert set(numbers) <= set(range(1, 26))


def test_the_header_says_what_the_summary_says(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 25)
    change(folder, device="cuda:0", gpu={"name": "NVIDIA H100"})
    tree = page(folder)
    facts = dict(
        zip(
            (text(e) for e in tree.find(".//dl").iter("dt")),  # type: ignore[union-attr]
            (text(e) for e in tree.find(".//dl").iter("dd")),  # type: ignore[union-attr]
            strict=True,
        )
    )
    assert text(tree.find(".//h1")) == "fc8:8 horse in [3, 4]"
    assert (facts["Samples"], facts["Share in range"], facts["Distinct"]) == ("25", "100%", "25")
    assert (facts["Gradient steps"], facts["Time (s)"], facts["Seed"]) == ("47", "4.20", "5")
    assert facts["Device"] == "NVIDIA H100"
    rows = [[text(cell) for cell in row] for row in tree.find(".//table").iter("tr")]  # type: ignore[union-attr]
    assert rows[1:] == [
        ["samples", "25", "17.9", "12.3", "25.6", "7.390"],
        ["real images in range", "41", "17.9", "11.1", "25.6", "7.390"],
    ]
    assert text(tree.find(".//code")) == "invset run network=mini neuron=horse z1=3 z2=4"


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 25)
    tree = page(folder)
    for element in tree.iter():
        if not isinstance(element.tag, str):
            continue
        assert element.tag not in ("iframe", "object", "embed", "base")
        for name, value in element.attrib.items():
            if "src" in str(name) or (element.tag == "link" and name == "href"):
                assert value.startswith("data:")
            elif "href" in str(name):
                assert (
                    value.startswith("#") or (folder / value).is_file()
                )  # a file beside the page, opened by a click
    page_text = (folder / "report.html").read_text()
    assert "@import" not in page_text
    assert not re.search(r"url\((?!#|data:)", page_text)


def test_ids_are_unique_and_found(tmp_path: Path) -> None:
    tree = page(write_run(tmp_path / "run", 25))
    ids = [e.get("id") for e in tree.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    used = {
        r for e in tree.iter() for v in e.attrib.values() for r in re.findall(r"url\(#([^)]+)\)", v)
    }
    assert used <= set(ids)


@pytest.mark.parametrize("side", [32, 227])
def test_five_hundred_samples_fit_five_megabytes(tmp_path: Path, side: int) -> None:
    folder = write_run(tmp_path / "run", 500, side=side)
    tree = page(folder)
    assert (folder / "report.html").stat().st_size < 5e6
    pictures = [e.get("src") for e in tree.iter("img") if e.get("src", "").startswith("data:image")]
    assert len(pictures) >= 500
    assert decoded(pictures[0]).width >= min(side, 128)
    assert bool(by_class(tree, "main", "pixelated")) is (side == 32)


def test_thumbnails_keep_to_their_budget(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 20, side=227)
    files = sorted((folder / "samples").iterdir())
    for budget in (1_000_000, 200_000, 40_000):
        made = thumbnails(files, budget)
        assert sum(map(len, made.pictures)) <= 1.1 * budget
        assert made.shrunk is (decoded(made.pictures[0]).width < 227)
    assert thumbnails(files, 10**8).shrunk is False


ODD = "x</script><script>alert(\"1\")</script> & 'y' <b> {{ 7*7 }}"


def test_odd_names_are_only_text(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 25, names=(ODD,))
    tree = page(folder)
    assert len(list(tree.iter("script"))) == 2  # ours, and the data
    assert not list(tree.iter("b"))
    assert text(tree.find(".//h1")) == f"{ODD} in [3, 4]"
    assert details(tree)["1"]["facts"][0][0] == f"Activation of {ODD}"


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 12)
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9, 10])
def test_few_samples(tmp_path: Path, n: int) -> None:
    tree = page(write_run(tmp_path / "run", n, status="interrupted" if n else "unreachable"))
    assert len([e for e in tree.iter("li") if e.get("data-number")]) == n
    titles = [text(e) for e in tree.iter("h2")]
    assert ("Samples" in titles) is (n > 0)
    assert ("Map of the encodings" in titles) is (n > 2)
    assert ("Groups" in titles) is (n > 9)
    assert "Optimisation" in titles


def test_samples_that_are_all_the_same(tmp_path: Path) -> None:
    tree = page(write_run(tmp_path / "run", 12, encodings=np.ones((12, 4))))
    assert len([e for e in tree.iter("li") if e.get("data-number")]) == 12


def test_several_neurons(tmp_path: Path) -> None:
    columns = [f"f{j}_{what}" for j in (1, 2) for what in ("min", "mean", "max")]
    folder = write_run(
        tmp_path / "run",
        12,
        names=("fc8:8 horse", "conv5:20"),
        ranges=((3.0, 4.0), (-1.0, 0.5)),
        log=[*columns, "inside", "kept"],
    )
    tree = page(folder)
    assert text(tree.find(".//h1")) == "fc8:8 horse in [3, 4] and conv5:20 in [-1, 0.5]"
    labels = [e.get("aria-label", "") for e in tree.iter() if e.get("role") == "img"]
    assert sum(label.startswith("histogram of the activations of") for label in labels) == 2
    curves = [label for label in labels if "over the gradient steps" in label]
    assert [
        name
        for label in curves
        for name in ("fc8:8 horse", "conv5:20")
        if f"activation of {name} of" in label
    ] == [
        "fc8:8 horse",
        "conv5:20",
    ]
    grouped = [
        text(e)
        for e in tree.iter()
        if len(e) == 0 and text(e).startswith("activation") and ", mean " in text(e)
    ]
    assert grouped
    assert all(line.startswith("activation of fc8:8 horse ") for line in grouped)
    row = next(csv.DictReader((folder / "activations.csv").read_text().splitlines()))
    assert (
        text(next(e for e in tree.iter("li")))
        == f"{float(row['fc8:8 horse']):.2f} {float(row['conv5:20']):.2f}"
    )
    assert "activation of fc8:8 horse" in [text(e) for e in tree.iter("option")]


def test_a_ladder_has_its_rungs_as_rows(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run",
        4,
        ranges=((1.0, 2.0), (3.0, 4.0)),
        log=("f_min", "f_mean", "f_max", "rung", "arrived"),
    )
    folder = write_run(
        tmp_path / "ladder", 4, ranges=((1.0, 2.0), (3.0, 4.0)), cells=[[0, 1, 2], [-1, 3, -1]]
    )
    (grid,) = by_class(page(folder), "div", "rungs")
    rows = list(grid.iter("tr"))
    assert [text(row.find("th")) for row in rows] == ["[3, 4]", "[1, 2]"]  # the highest on top
    numbers = [
        [b.get("data-sample") for cell in row.iter("td") for b in [next(cell.iter("button"), {})]]
        for row in rows
    ]
    assert numbers == [[None, "4", None], ["1", "2", "3"]]


def test_charts_of_the_log_are_titled_by_the_summary(tmp_path: Path) -> None:
    log = ("f_min", "f_mean", "f_max", "lambda_mean", "mu", "temperature", "inside")
    folder = write_run(tmp_path / "run", 3, log=log)
    assert charted(page(folder)) == ["lambda_mean", "mu", "temperature", "inside"]  # an older one
    titles = {
        "lambda_mean": "multipliers: λ, mean",
        "mu": "multipliers: μ",
        "temperature": "heat",
        "inside": "codes: in range",
    }
    change(folder, log=[{"name": name, "title": title} for name, title in titles.items()])
    assert charted(page(folder)) == ["λ, mean and μ", "heat", "in range"]


def test_numbers_of_a_logarithmic_axis_are_written_plainly() -> None:
    step = np.arange(3.0)
    curves = {"step": step, **dict.fromkeys(("f_min", "f_mean", "f_max"), step)}
    drawn = optimisation({**curves, "mu": np.array([1, 1, 1e6])}, {"mu": "μ"}, [[(0, 1)]], ["f"])
    assert "1e+06" in drawn[1]
    assert "default" not in drawn[1], "TeX, which the page's text does not read"
    points = [Point("a", 1, 1, 0, 0), Point("b", 1000, 2, 0, 0)]
    known = {one.key: one for one in figures()}
    chart = pareto(points, known["meter.code_steps"], known["beside_real.distinct"])
    assert ">1000<" in chart.replace(" ", "")
    assert "default" not in chart


def charted(tree: Any) -> list[str]:
    """What the charts behind that of the activations show."""
    labels = [e.get("aria-label", "") for e in tree.iter() if e.get("role") == "img"]
    of = " over the gradient steps"
    return [label.removesuffix(of) for label in labels if label.endswith(of)][1:]


def change(folder: Path, **values: Any) -> None:
    """Write other values into ``summary.json``."""
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, **values}))


def test_many_samples_are_thinned_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invset.report.shown.MOST", 10)
    folder = write_run(tmp_path / "run", 30)
    tree = page(folder)
    shown = [float(e.get("data-activation")) for e in tree.iter("li") if e.get("data-number")]
    f = sorted(
        float(row["fc8:8 horse"])
        for row in csv.DictReader((folder / "activations.csv").read_text().splitlines())
    )
    assert len(shown) == 10
    assert (min(shown), max(shown)) == (f[0], f[-1])
    assert "This page shows 10 of the 30 samples" in (folder / "report.html").read_text()


def test_pictures_that_are_a_display_say_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 3)
    change(folder, picture="stretch")
    assert "8-bit images that the network sees, not on this display of them" in text(
        page(folder).find(".//main")
    )


def test_a_run_of_an_older_version(tmp_path: Path) -> None:
    """It has no configuration beside it, no records, no titles, and nothing laid out."""
    folder = write_run(tmp_path / "run", 12, ranges=((1.0, 2.0), (3.0, 4.0)), cells=[[0, 1]])
    tensors = load_file(folder / "samples.safetensors")
    save_file(
        {name: tensors[name] for name in ("codes", "encodings", "activations")},
        folder / "samples.safetensors",
    )
    summary = json.loads((folder / "summary.json").read_text())
    known = ("status", "sentences", "network", "generator", "picture", "encoder", "prior", "seed")
    known += ("device", "neurons", "versions", "checksums", "command")
    (folder / "summary.json").write_text(json.dumps({key: summary[key] for key in known}))
    tree = page(folder)
    assert len([e for e in tree.iter("li") if e.get("data-number")]) == 12
    assert [text(e) for e in tree.iter("h2")][:3] == ["Samples", "Activations", "Optimisation"]
    assert text(tree.find(".//h1")) == "fc8:8 horse in [1, 2]"


def test_samples_without_real_images(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 4)
    beside = json.loads((folder / "summary.json").read_text())["beside_real"]
    change(folder, beside_real={**beside, "kind": None, "real": None})
    assert len(list(page(folder).find(".//table").iter("tr"))) == 2


def test_folders_that_hold_no_run(tmp_path: Path) -> None:
    with pytest.raises(InvsetError, match=r"has no summary\.json"):
        write_report(tmp_path)
    (tmp_path / "state.pt").touch()
    with pytest.raises(InvsetError, match="go on with: invset run --resume"):
        write_report(tmp_path)
    for name, message in {
        "samples.safetensors": "lacks samples.safetensors",
        "samples/00002.png": "00002.png is missing",
    }.items():
        folder = write_run(tmp_path / Path(name).stem, 3)
        (folder / name).unlink()
        with pytest.raises(InvsetError, match=message):
            write_report(folder)
    for name, content in (("samples.safetensors", "text"), ("summary.json", "{")):
        damaged = write_run(tmp_path / f"damaged {name}", 3)
        (damaged / name).write_text(content)
        with pytest.raises(InvsetError, match=r"can.t be read.*run it again"):
            write_report(damaged)
    damaged = write_run(tmp_path / "damaged", 3)
    (damaged / "summary.json").write_text("{}")
    (damaged / "activations.csv").write_text("sample,stage,step\n1,x,y\n")
    with pytest.raises(InvsetError, match="as a table of samples"):
        write_report(damaged)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "run", 3)
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}/report.html\n"
    with pytest.raises(InvsetError, match="needs a folder"):
        main([])
    with pytest.raises(InvsetError, match="there is no folder"):
        main([str(tmp_path / "nowhere")])


def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", 12)
    code = (
        f"import sys; from invset.commands.report import main; main([{str(folder)!r}]);"
        " print('torch' in sys.modules)"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert out.endswith("False\n")

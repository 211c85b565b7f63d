"""The page and picture of a sweep: a row a job, whatever became of the job."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import html5lib
import pytest
from PIL import Image
from report_folders import write_run

from invset.commands.report import main
from invset.errors import InvsetError


def text(element: Any) -> str:
    return "".join(element.itertext())


def write_job(folder: Path, words: list[str], reason: str = "", **run: Any) -> None:
    if run:
        write_run(folder, **run)
    folder.mkdir(exist_ok=True, parents=True)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps(words))
    if reason:
        (folder / "failed.json").write_text(json.dumps({"exit_code": 2, "reason": reason}))


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Four jobs: two with samples, one that failed, one that was killed; ten and more are sorted by
    number.
    """
    write_job(tmp_path / "0", ["network=mini", "range=[3,4]"], n=20)
    write_job(tmp_path / "2", ["network=mini", "range=[5,6]"], n=2, ranges=((5.0, 6.0),))
    write_job(tmp_path / "3", ["network=mini", "range=[7,6]"], "z1 must be <below> z2")
    write_job(tmp_path / "10", ["network=mini", "range=[8,9]"])
    return tmp_path


def test_the_page(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep)]) == 0
    made = [line.removeprefix(f"{sweep}/") for line in capsys.readouterr().out.splitlines()]
    assert made == ["0/report.html", "2/report.html", "sweep.csv", "sweep.png", "report.html"]
    parser = html5lib.HTMLParser(
        html5lib.treebuilders.getTreeBuilder("etree"), strict=True, namespaceHTMLElements=False
    )
    tree = parser.parse((sweep / "report.html").read_text(encoding="utf-8"))
    jobs = list(tree.iter("article"))
    assert [job.find("h3").text for job in jobs] == [
        "0: range=[3,4]",
        "2: range=[5,6]",
        "3: range=[7,6]",
        "10: range=[8,9]",
    ]
    assert [len(list(job.iter("img"))) for job in jobs] == [12, 2, 0, 0]
    assert [link.get("href") for job in jobs for link in job.iter("a")] == [
        "0/report.html",
        "2/report.html",
    ]
    failures = [p.text for p in tree.iter("p") if p.get("class") == "bad"]
    assert failures[0] == "Failed: z1 must be <below> z2"
    assert failures[1].startswith(
        "Failed: it was stopped before it ended; run it again: invset run network=mini"
        " 'range=[8,9]'"
    )
    table = [[text(cell) for cell in row] for row in tree.find(".//table").iter("tr")]
    assert table[0][:3] == ["job", "status", "samples"]
    place = table[0].index("Vendi score (real images)")
    assert [row[place] for row in table[1:]] == ["9.90 (11.1)"] * 2 + ["–"] * 2
    # the pictures of a row rise from the lowest activation to the highest
    rows = list(csv.DictReader((sweep / "0" / "activations.csv").read_text().splitlines()))
    f = sorted(float(row["fc8:8 horse"]) for row in rows)
    shown = [float(caption.text) for caption in jobs[0].iter("figcaption")]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (round(f[0], 2), round(f[-1], 2))


def test_the_table_and_the_picture(sweep: Path) -> None:
    assert main([str(sweep)]) == 0
    rows = list(csv.DictReader((sweep / "sweep.csv").read_text().splitlines()))
    assert [(row["job"], row["status"], row["counts.saved"]) for row in rows] == [
        ("0", "reached", "20"),
        ("2", "reached", "2"),
        ("3", "failed", ""),
        ("10", "failed", ""),
    ]
    # as many samples as there are real images, beside these
    keys = ("beside_real.alike.vendi", "beside_real.real.vendi")
    assert [tuple(row[key] for key in keys) for row in rows] == [("9.9", "11.1")] * 2 + [
        ("", "")
    ] * 2
    assert rows[0]["beside_real.alike.samples"] == "20"
    with Image.open(sweep / "sweep.png") as picture:
        assert picture.width > 12 * 96
        assert picture.height > 4 * 96
    assert not list(sweep.glob(".part-*"))


def sources(page: Path) -> list[str]:
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    tree = parser.parse(page.read_text(encoding="utf-8"))
    return [image.get("src") for image in tree.iter("img")]


def height(file: Path) -> int:
    with Image.open(file) as picture:
        return picture.height


def test_pictures_of_many_jobs_are_files_beside_the_page(
    sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("invset.report.sweep_page.MANY", 4)
    assert main([str(sweep)]) == 0
    inside = sources(sweep / "report.html")
    assert len(inside) == 14
    assert all(src.startswith("data:image/webp;") for src in inside)
    whole = height(sweep / "sweep.png")
    monkeypatch.setattr("invset.report.sweep_page.MANY", 2)
    assert main([str(sweep)]) == 0
    assert "only in its own place" in (sweep / "report.html").read_text(encoding="utf-8")
    moved = sweep.rename(sweep.with_name("elsewhere"))
    linked = sources(moved / "report.html")
    assert [src.split("/")[0] for src in linked] == ["0"] * 12 + ["2"] * 2
    for src in linked:
        with Image.open(moved / src) as picture:
            assert picture.size == (32, 32)
    # two of the four rows, so that the picture of a thousand jobs can be opened
    assert height(moved / "sweep.png") < 0.7 * whole


def test_the_joined_page_alone(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep), "jobs=false"]) == 0
    made = [line.removeprefix(f"{sweep}/") for line in capsys.readouterr().out.splitlines()]
    assert made == ["sweep.csv", "sweep.png", "report.html"]
    assert not (sweep / "0" / "report.html").exists()
    with pytest.raises(InvsetError, match="jobs is true or false, not no"):
        main([str(sweep), "jobs=no"])

"""``keep=``: what of the samples stays on the disk, and what is said where something is missing."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from typed import typed

from invset.commands.collect import main as collect
from invset.commands.draw import main as draw
from invset.commands.report import main as report
from invset.commands.status import main as status
from invset.errors import InvsetError
from invset.files.ledger import Ledger

WORDS = ["network=mini", "neuron=ship", "z1=2", "z2=5", "K=2", "n=2", "judge=null"]
WORDS += ["progress=false"]

PICTURES = {"samples.png", "animation.gif", "report.html", "samples/00001.png", "samples/00002.png"}


def files(folder: Path) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in found if not name.startswith(".") and not name.endswith(".mp4")}


def test_what_stays(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    sweep = tmp_path / "sweep"
    words = ["run", "-m", *WORDS, f"hydra.sweep.dir={sweep}"]
    job = sweep / "0"
    tensors = job / "samples.safetensors"

    assert typed(monkeypatch, *words, "keep=codes") == 0
    assert not PICTURES & files(job)
    of_codes = load_file(tensors)
    rows = (job / "activations.csv").read_bytes()
    page = (sweep / "report.html").read_text(encoding="utf-8")
    assert "1 jobs." in page
    assert "<img" not in page
    assert not (sweep / "sweep.png").exists()
    with pytest.raises(InvsetError, match=r"0 has no pictures \(keep=codes\); .* invset draw"):
        report([str(job)])
    assert report([str(sweep)]) == 0  # whose jobs have no pages
    assert collect([str(sweep), f"out={tmp_path}/samples.csv"]) == 0
    told = list(csv.DictReader((tmp_path / "samples.csv").read_text().splitlines()))
    assert [row["picture"] for row in told] == ["", ""]

    # the samples are the same: the job is not another one
    shutil.copytree(job, tmp_path / "drawn")
    capsys.readouterr()
    assert typed(monkeypatch, *words, "keep=all") == 0
    assert "job 0 is there" in capsys.readouterr().err
    assert not PICTURES & files(job)
    assert typed(monkeypatch, *words, "keep=all", "retry=all") == 0
    assert files(job) >= PICTURES
    of_all = load_file(tensors)

    # pictures that are drawn later are the same; so is the page, but for its lists of files
    drawn = tmp_path / "drawn"
    caplog.clear()
    assert draw([str(drawn)]) == 0
    assert caplog.messages[0].startswith(f"2 pictures in {drawn}; activations on them differ by 0 ")
    for number in (1, 2):
        name = f"samples/{number:05d}.png"
        assert (drawn / name).read_bytes() == (job / name).read_bytes()
    assert (drawn / "report.html").is_file()
    assert not Ledger(drawn).sums().keys() & {"samples.png", "animation.gif"}
    assert "samples/00002.png" in Ledger(drawn).sums()
    with pytest.raises(InvsetError, match="drawn has its pictures"):
        draw([str(drawn)])
    with pytest.raises(InvsetError, match="there is no folder"):
        draw([str(tmp_path / "none")])

    assert of_all.keys() == of_codes.keys()
    assert all((of_all[name] == of_codes[name]).all() for name in of_all)
    assert (job / "activations.csv").read_bytes() == rows
    whole = tensors.stat().st_size

    assert typed(monkeypatch, *words, "keep=pictures", "retry=all") == 0
    assert files(job) >= PICTURES
    assert of_all.keys() - load_file(tensors).keys() == {"codes", "encodings"}
    assert tensors.stat().st_size < whole / 4
    assert report([str(job)]) == 0
    pytest.importorskip("pyarrow")
    with pytest.raises(InvsetError, match=r"0 has no codes \(keep=pictures\)"):
        collect([str(sweep), f"out={tmp_path}/samples.parquet", "codes=true"])
    capsys.readouterr()
    assert status([str(sweep)]) == 0
    assert "1 jobs: 1 done" in capsys.readouterr().out

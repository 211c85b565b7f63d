"""The folder of ``invset compare``: what is made of its runs, anew each time.

runs.csv               a row a run
pictures/*.png         samples of each run
compare.json           the latest command, and the baseline
summary.csv            a row for each sampler and figure
summary.md             tables in Markdown
compare.png            samples of every sampler in one cell
report.html            all of it as a page
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from invset.analysis.selection import spread
from invset.errors import InvsetError
from invset.files.reading import read_json
from invset.files.rundir import RunDir
from invset.report.compare_table import Row, as_rows, summarize
from invset.report.mosaic import mosaic
from invset.report.printed import printed
from invset.report.runs_table import question, read_runs

#: File with the runs; a folder that has it is a comparison's.
RUNS = "runs.csv"

_AGAIN = "type invset compare out= and this folder again"


@dataclass(frozen=True)
class Comparison:
    """What a comparison's folder holds.

    Attributes:
        path: the folder.
        rows: the runs.
        command: the latest command.
        baseline: sampler that the others are set beside.
        note: a sentence on how to read them; empty: there is none.
        directory: where the command was typed, if that matters; empty: it does not.
    """

    path: Path
    rows: Sequence[Row]
    command: str
    baseline: str
    note: str = ""
    directory: str = ""

    def picture(self, row: Row) -> Path | None:
        """Samples of a run; None where there is no such file."""
        file = self.path / picture_name(row)
        return file if file.is_file() else None


def picture_name(row: Mapping[str, Any]) -> str:
    """Name of the file with a run's samples, by the question that it answers."""
    asked = "\n".join(question(row)).encode()
    return f"pictures/{hashlib.sha256(asked).hexdigest()[:12]}.png"


def write_pictures(
    out: RunDir, row: Mapping[str, Any], pictures: np.ndarray, f: Sequence[float], count: int
) -> None:
    """Keep some samples of a run to look at, from low to high activation.

    Args:
        out: the comparison's folder.
        row: of the run.
        pictures: uint8 RGB, with shape (n, 3, H, W).
        f: activations of the first neuron, n of them.
        count: samples to keep, at most.
    """
    places = spread(f, count) if count else []
    file = out / picture_name(row)
    if not places:
        file.unlink(missing_ok=True)
        return
    image = mosaic(pictures[places])
    out.write(picture_name(row), partial(image.save, format="PNG"))


def read_comparison(folder: Path) -> Comparison:
    """Read a comparison back.

    Raises:
        InvsetError: it holds none, or a file of it is damaged.
    """
    rows = read_runs(folder / RUNS)
    if not rows:
        raise InvsetError(f"{folder} holds no run of a comparison; {_AGAIN}")
    file = folder / "compare.json"
    about = read_json(file, "the command of a comparison", _AGAIN) if file.is_file() else {}
    baseline = str(about.get("baseline", rows[0]["method"]))
    command, *others = (str(about.get(key, "")) for key in ("command", "note", "directory"))
    return Comparison(folder, rows, command, baseline, *others)


def write_comparison(out: RunDir) -> list[str]:
    """Write what is made of the runs; return what a terminal shows of it."""
    from invset.report.compare_page import write_page

    held = read_comparison(out.path)
    text = "\n".join(summarize(held.rows, held.baseline)) + "\n"
    out.write("summary.md", lambda path: path.write_text(text, encoding="utf-8"))
    out.write_rows("summary.csv", as_rows(held.rows, held.baseline))
    write_page(out, held)
    return [*printed(held.rows), *filter(None, [held.note])]

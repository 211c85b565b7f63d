"""``invset figure FOLDER``: the picture and the table of a figure's sweep, without sampling
again.
"""

from __future__ import annotations

from pathlib import Path

from invset.errors import InvsetError

_REAL = "real="


def main(words: list[str]) -> int:
    """Write ``figure.png``, ``figure.csv`` and ``figure.md`` into each folder.

    Args:
        words: folders of sweeps ``invset run -m experiment=figures/…``, and ``real=PATH``, real
            inputs of which a row is shown.

    Raises:
        InvsetError: no folder, one that holds no such sweep, or a run works in it.
    """
    if not words or any(word.startswith("-") for word in words):
        print(
            "usage: invset figure outputs/figures/mini/fig1 … [real=PATH]    (folders of invset run"
            " -m experiment=figures/NETWORK/FIGURE; real inputs, a folder, zip or tar, to show"
            " those in range in a first row)"
        )
        return 0 if set(words) & {"-h", "--help"} else 2
    from invset.files.job_list import jobs_of
    from invset.files.owner import at_rest

    real = [Path(word[len(_REAL) :]) for word in words if word.startswith(_REAL)]
    for folder in (Path(word) for word in words if not word.startswith(_REAL)):
        with at_rest(folder):
            for job in jobs_of(folder):
                with at_rest(job):  # who works there now is told
                    pass
            _compose(folder, real)
    return 0


def _compose(folder: Path, real: list[Path]) -> None:
    from invset.commands.real_row import real_rows
    from invset.files.reading import reading
    from invset.files.rundir import RunDir
    from invset.report.folder import ANEW
    from invset.report.paper_figure import Composition, draw, rows, table
    from invset.report.sweep_folder import read_jobs

    jobs = read_jobs(folder)
    if not jobs:
        raise InvsetError(
            f"{folder} holds no jobs of a sweep; make them with: invset run -m"
            " experiment=figures/mini/fig1"
        )
    with reading(folder, "a sweep's folder", ANEW):  # what it holds may be anything
        figure = Composition.of(jobs, folder)
    found = [row for path in real for row in real_rows(figure, jobs, path)]
    with reading(folder, "a sweep's folder", ANEW):
        picture = draw(figure, jobs, found)
        figures = rows(figure, jobs)
        text = "\n".join(table(figure, jobs)) + "\n"
    out = RunDir(folder, listed=True)
    out.write("figure.png", picture.save)
    out.write_rows("figure.csv", figures)
    out.write("figure.md", lambda path: path.write_text(text, encoding="utf-8"))
    print(text + str(out / "figure.png"))

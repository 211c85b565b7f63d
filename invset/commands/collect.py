"""``invset collect SWEEP out=samples.parquet``: what sweeps found, as tables to query."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from invset.errors import InvsetError, did_you_mean

log = logging.getLogger(__name__)

USAGE = """usage: invset collect FOLDER ... [out=samples.parquet] [runs=runs.parquet] [codes=true]

  Writes tables of the sweeps and runs in folders:
  out=FILE    a row a sample: its run, activation, range, step, what the analyses say of it
  runs=FILE   a row a run: what was asked, how it ended, every figure of its records
  codes=true  out= has the codes, too, as lists of numbers (.parquet alone)

  A FILE ends in .parquet (pip install 'invset[data]') or .csv. Queries: docs/data.md
"""

_OPTIONS = ("out", "runs", "codes")


def main(words: list[str]) -> int:
    """Write the tables and print their paths.

    Args:
        words: what was typed behind ``invset collect``.

    Raises:
        InvsetError: bad words, a folder without runs, a damaged file, or a table that can't be
            written.
    """
    if "--help" in words or "-h" in words:
        print(USAGE, end="")
        return 0
    folders = [Path(word) for word in words if "=" not in word]
    typed = dict(word.split("=", 1) for word in words if "=" in word)
    _check(words, folders, typed)
    codes = typed.get("codes", "false") == "true"
    out, runs = (Path(typed[key]) if key in typed else None for key in ("out", "runs"))
    collect(folders, out, runs, codes)
    return 0


def _check(words: Sequence[str], folders: Sequence[Path], typed: dict[str, str]) -> None:
    for key in typed:
        if key not in _OPTIONS:
            raise InvsetError(
                f"invset collect has no {key}=.{did_you_mean(key, _OPTIONS)} It has"
                f" {', '.join(f'{one}=' for one in _OPTIONS)}"
            )
    example = "type for example: invset collect outputs/DATE/TIME out=samples.parquet"
    flags = [word for word in words if word.startswith("-")]
    if flags:
        raise InvsetError(f"invset collect has no option {flags[0]}; {example}")
    if typed.get("codes", "false") not in ("true", "false"):
        raise InvsetError(f"codes is true or false, not {typed['codes']}")
    if not folders or not {"out", "runs"} & typed.keys():
        raise InvsetError(f"invset collect needs a folder, and out= or runs=; {example}")
    if "codes" in typed and "out" not in typed:
        raise InvsetError("codes= is a column of the samples; type out=samples.parquet, too")
    for folder in folders:
        if not folder.is_dir():
            raise InvsetError(f"there is no folder {folder}; {example}")


def collect(
    folders: Sequence[Path], out: Path | None, runs: Path | None, codes: bool = False
) -> None:
    """Write the tables of folders.

    Args:
        folders: of sweeps and runs.
        out: the file of a row a sample; None: none is written.
        runs: the file of a row a run; None: none is written.
        codes: whether `out` has the codes, too.

    Raises:
        InvsetError: a folder without runs, a damaged file, or a table that can't be written.
    """
    from invset.files.datasets import Part, check_format, write_dataset
    from invset.files.owner import refuse_links
    from invset.report.collected import codes_of, jobs_in, run_rows, sample_rows

    if out is not None:
        check_format(out, codes)
    if runs is not None:
        check_format(runs)
    for folder in folders:
        refuse_links(folder)
    jobs = [job for folder in folders for job in jobs_in(folder)]
    for job in jobs:
        if job.path is not None:
            refuse_links(job.path)
    without = sum(job.summary is None for job in jobs)
    if without:
        log.warning("%d of %d runs have no result", without, len(jobs))

    def samples() -> Iterator[Part]:
        for job, rows in sample_rows(jobs):
            yield rows, codes_of(job) if codes and rows else None

    if out is not None:
        count = write_dataset(out, samples, "codes" if codes else "")
        print(f"{out}: {count} samples")
    if runs is not None:
        count = write_dataset(runs, lambda: [(run_rows(jobs), None)])
        print(f"{runs}: {count} runs")

"""The runs of sweeps as two tables: a row a sample, and a row a run. Read from what the folders
hold, without a run's configuration and pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from invset.analysis.record import figures_from_json, value_of
from invset.errors import InvsetError
from invset.files.job_list import jobs_of, waiting_jobs
from invset.files.plan import matching
from invset.files.reading import read_json, read_rows, reading
from invset.files.rundir import overrides_in
from invset.files.tensors import read_arrays
from invset.report.folder import ANEW

#: Columns of ``activations.csv`` that are whole numbers.
_WHOLE = ("sample", "step", "parent")

Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A job as its folder tells it.

    Attributes:
        sweep: the folder that was named.
        path: its own; None if it has not begun.
        options: option -> value, of what was typed for it.
        summary: ``summary.json``; None if it has no result.
        reason: why it has none.
    """

    sweep: Path
    path: Path | None
    options: Mapping[str, Any]
    summary: Mapping[str, Any] | None = None
    reason: str = ""
    neurons: Sequence[Mapping[str, Any]] = ()

    @property
    def name(self) -> str:
        """Its folder's path in the sweep's; empty of a run by itself."""
        if self.path is None or self.path == self.sweep:
            return ""
        return self.path.relative_to(self.sweep).as_posix()


def jobs_in(folder: Path) -> list[Job]:
    """The jobs of a sweep's folder, also those that have not begun; the run of a run's.

    Raises:
        InvsetError: it holds neither, or a file of it is damaged.
    """
    listed = jobs_of(folder)
    if not listed and (folder / "summary.json").is_file():
        listed = {folder: None}
    jobs = [_job(folder, path, words) for path, words in listed.items()]
    waiting = [Job(folder, None, _options(one), None, "not begun") for one in waiting_jobs(folder)]
    if not jobs and not waiting:
        raise InvsetError(
            f"{folder} holds no run and no sweep; type for example: invset collect"
            " outputs/DATE/TIME out=samples.parquet"
        )
    return [*jobs, *waiting]


def _job(sweep: Path, path: Path, words: Sequence[str] | None) -> Job:
    there = overrides_in(path)
    options = _options(there if words is None else words)
    same = words is None or matching(words) == matching(there)
    failed, file = path / "failed.json", path / "summary.json"
    if same and failed.is_file():
        told = read_json(failed, "a note of what failed", ANEW)
        return Job(sweep, path, options, None, str(told.get("reason", "")))
    if not same or not file.is_file():
        return Job(sweep, path, options, None, "stopped before it ended")
    summary = read_json(file, "a run's summary", ANEW)
    with reading(file, "a run's summary", ANEW):
        neurons = [dict(one) for one in summary["neurons"]]
        str(summary["status"])
    return Job(sweep, path, options, summary, "", neurons)


def _options(words: Sequence[str]) -> dict[str, Any]:
    pairs = (word.lstrip("+").partition("=") for word in words)
    return {key: _number(value) for key, _, value in pairs if key}


def varied(jobs: Sequence[Job]) -> list[str]:
    """The options that were not typed alike for all jobs."""
    keys = dict.fromkeys(key for job in jobs for key in job.options)
    return [key for key in keys if len({str(job.options.get(key)) for job in jobs}) > 1]


def run_rows(jobs: Sequence[Job]) -> list[Row]:
    """A row a run: what was asked, how it ended, and every figure of its records."""
    keys = varied(jobs)
    return [_run_row(job, keys) for job in jobs]


def _run_row(job: Job, keys: Sequence[str]) -> Row:
    row = _of_job(job, keys)
    row["folder"] = None if job.path is None else str(job.path)
    if job.summary is None:
        status = "not begun" if job.path is None else "failed"
        return {**row, "status": status, "reason": job.reason}
    summary = job.summary
    row |= {"status": summary["status"], "reason": None, "command": summary.get("command")}
    row |= {key: summary.get(key) for key in ("network", "generator", "encoder", "prior", "goal")}
    row |= {"seed": summary.get("seed"), "device": summary.get("device")}
    with reading(job.path or job.sweep, "a run", ANEW):
        figures = figures_from_json(summary.get("figures", []))
        row |= {one.key: value_of(summary, one.key) for one in figures}
    return row


def _of_job(job: Job, keys: Sequence[str]) -> Row:
    """What a sample's row tells of its run, too."""
    row: Row = {"sweep": str(job.sweep), "job": job.name}
    row |= {f"option.{key}": job.options.get(key) for key in keys}
    for number, one in enumerate(job.neurons, start=1):
        row |= {_numbered(key, number): one.get(key) for key in ("name", "z1", "z2")}
    return row


def _numbered(key: str, number: int) -> str:
    """The column of a neuron: neuron, z1, z2 of the first, neuron_2 … of the others."""
    key = "neuron" if key == "name" else key
    return key if number == 1 else f"{key}_{number}"


def sample_rows(jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Row]]]:
    """Each job that has a result, and its samples, a row each.

    Raises:
        InvsetError: a file of a job is damaged.
    """
    keys = varied(jobs)
    for job in jobs:
        if job.summary is not None and job.path is not None:
            yield job, _sample_rows(job, job.path, keys)


def _sample_rows(job: Job, path: Path, keys: Sequence[str]) -> list[Row]:
    file = path / "activations.csv"
    header, lines = read_rows(file, "a table of samples", ANEW)
    of_job = _of_job(job, keys)
    with reading(file, "a table of samples", ANEW):
        columns = _columns(header, [str(one["name"]) for one in job.neurons])
        rows = [
            of_job | {name: _value(name, cell) for name, cell in zip(columns, line, strict=True)}
            for line in lines
        ]
    drawn = (job.summary or {}).get("keep") != "codes"
    for row in rows:
        row["picture"] = str(path / "samples" / f"{row['sample']:05d}.png") if drawn else None
    _tell_rungs(job, path, rows)
    table = path / "samples.csv"
    if table.is_file():
        names, cells = read_rows(table, "a table of samples", ANEW)
        with reading(table, "a table of samples", ANEW):
            for row, line in zip(rows, cells, strict=True):
                row |= {f"row.{key}": _number(cell) for key, cell in zip(names, line, strict=True)}
    return rows


def _columns(header: Sequence[str], names: Sequence[str]) -> list[str]:
    """Names of the columns of ``activations.csv`` that are alike for all neurons."""
    held = header.index("in_range")
    p = (held - 4) // 2
    columns = [*header[:4], *("",) * (2 * p), *header[held:]]
    for i in range(p):
        columns[4 + i] = _of_neuron("activation_before", i)
        columns[4 + p + i] = _of_neuron("activation", i)
    for place in range(held + 1, len(header)):
        for i, name in enumerate(names):
            for where in ("in views", "in the whole"):
                if header[place] == f"{name} {where}":
                    columns[place] = _of_neuron(f"activation_{where.replace(' ', '_')}", i)
    return columns


def _of_neuron(name: str, i: int) -> str:
    return name if i == 0 else f"{name}_{i + 1}"


def _value(name: str, cell: str) -> Any:
    if name == "origin":
        return cell
    if name == "in_range":
        return cell == "True"
    return int(cell) if name in _WHOLE else _float(cell)


def _float(cell: str) -> float | None:
    return float(cell) if cell else None


def _number(text: str) -> Any:
    """What a person wrote: a number if it is one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _tell_rungs(job: Job, path: Path, rows: list[Row]) -> None:
    """Put the range of its rung in place of a ladder's first one, for each sample."""
    rungs = (job.summary or {}).get("ranges") or []
    if len(rungs) < 2:
        return
    cells = read_arrays(path / "samples.safetensors", "samples", ANEW).get("cells", np.zeros(0))
    for row in rows:
        row |= {"z1": None, "z2": None}
    with reading(path / "summary.json", "a run's summary", ANEW):
        for rung, places in zip(rungs, cells.tolist(), strict=True):
            for place in places:
                if 0 <= place < len(rows):
                    rows[place] |= {"z1": float(rung[0][0]), "z2": float(rung[0][1])}


def codes_of(job: Job) -> np.ndarray:
    """The codes of a job's samples, with shape (n, d), float32.

    Raises:
        InvsetError: the run kept none, or the file is damaged.
    """
    assert job.path is not None
    held = read_arrays(job.path / "samples.safetensors", "samples", ANEW)
    if "codes" not in held:
        raise InvsetError(
            f"{job.path} has no codes (keep=pictures); leave codes=true out, or repeat its command"
            " with keep=all retry=all"
        )
    codes = np.asarray(held["codes"], np.float32)
    return codes.reshape(len(codes), -1)

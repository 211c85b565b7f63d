"""What a sweep (``invset run -m``) writes when its jobs have ended: ``sweep.csv``, a row a job,
``sweep.png`` and ``report.html``.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from invset.commands.side_by_side import drain, finish
from invset.errors import InvsetError, first_lines
from invset.files.plan import read_plan

#: What launchers raise of a process that has died: joblib's, submitit's, Ray's.
_DIED = {
    *("TerminatedWorkerError", "BrokenExecutor", "UncompletedJobError", "FailedJobError"),
    "RayError",  # the base of all of them
}


class JoinRuns(Callback):
    """Hydra calls it at the end of a sweep."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Join the jobs, which may still be under way (``together=``)."""
        drain()
        folder = Path(config.hydra.sweep.dir)
        join(folder, config.report)
        if config.collect is not None:
            from invset.commands.collect import collect

            collect([folder], Path(config.collect), None)


def join_now(cfg: DictConfig) -> None:
    """Join the jobs where Hydra won't, because Ctrl-C ends the sweep."""
    join(Path(HydraConfig.get().sweep.dir), cfg.get("report", False))


@contextmanager
def deaths_told(sweep: Callable[[], Path | None]) -> Iterator[None]:
    """Let all jobs of a sweep end, and say in one sentence that a process of a launcher has died.

    Args:
        sweep: gives the folder of the sweep.

    Raises:
        InvsetError: one has; the jobs that came to an end are in the table.
    """
    try:
        yield
        finish()
    except Exception as error:
        folder = sweep()
        if folder is None or not _DIED & {kind.__name__ for kind in type(error).__mro__}:
            raise
        plan = read_plan(folder)
        join(folder, False)
        again = f"invset {shlex.join(plan.command)}" if plan is not None else "the same command"
        raise InvsetError(
            f"a process of the sweep has died ({type(error).__name__}: {first_lines(error, 150)});"
            f" jobs that came to an end are kept, go on with: {again}"
        ) from error


def join(folder: Path, report: bool) -> None:
    """Join what the jobs of a sweep's folder hold; a job that failed has its number and the reason.

    Args:
        folder: the sweep's folder.
        report: write the page and the joined picture, too.
    """
    from invset.files.rundir import RunDir
    from invset.report.sweep_folder import read_jobs

    jobs = read_jobs(folder)
    if not jobs:
        return
    rundir = RunDir(folder, listed=True)
    print(rundir.write_rows("sweep.csv", [job.row() for job in jobs]))
    if report:
        from invset.report.sweep_page import write_picture, write_sweep_report

        if any(job.run and job.run.samples and job.run.drawn for job in jobs):
            print(write_picture(rundir, jobs))
        print(write_sweep_report(rundir, jobs))

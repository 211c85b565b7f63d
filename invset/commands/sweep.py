"""What a sweep (``invset run -m``) writes when its jobs have ended: ``sweep.csv``, a row a job,
``sweep.png`` and ``report.html``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class JoinRuns(Callback):
    """Hydra calls it at the end of a sweep."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Join the jobs."""
        folder = Path(config.hydra.sweep.dir)
        join(folder, config.report)
        if config.collect is not None:
            from invset.commands.collect import collect

            collect([folder], Path(config.collect), None)


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

        if any(job.run and job.run.samples for job in jobs):
            print(write_picture(rundir, jobs))
        print(write_sweep_report(rundir, jobs))

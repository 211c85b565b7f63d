"""``hydra/callbacks=mlflow``: each job is a run of MLflow's, under a run of its sweep."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invset.commands.tracker import Tracked, Tracker

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Tags that a run is found again by.
_FOLDER, _RESULT = "invset.folder", "invset.result"


class MlflowTracker(Tracker):
    """Logs to MLflow.

    Args:
        uri: of the tracking server or file; None: what MLFLOW_TRACKING_URI says, or MLflow's own
            choice.
        experiment: the experiment that the runs are under.

    Raises:
        InvsetError: MLflow is not installed.
    """

    def __init__(self, uri: str | None, experiment: str) -> None:
        super().__init__("mlflow", "mlflow")
        self.uri = uri
        self.experiment = experiment
        #: The run of the sweep, which jobs in other processes get with the callback.
        self.parent: str | None = None

    def begin_sweep(self, sweep: Path) -> None:
        """Find the run of the sweep, where it was begun before, or make it."""
        client, experiment = self._opened()
        there = _found(client, experiment, {_FOLDER: str(sweep)})
        tags = {_FOLDER: str(sweep), "mlflow.runName": sweep.name}
        made = there or [client.create_run(experiment, tags=tags)]
        self.parent = made[0].info.run_id

    def end_sweep(self, sweep: Path, files: list[Path]) -> None:
        """Keep its table and page."""
        if self.parent is not None:
            client, _ = self._opened()
            _keep(client, self.parent, files)
            client.set_terminated(self.parent, "FINISHED")

    def log(self, job: Tracked) -> None:
        """Log a job, unless its result is logged."""
        from mlflow.entities import Metric, Param, RunTag

        client, experiment = self._opened()
        about = {_FOLDER: str(job.folder), _RESULT: job.result}
        if _found(client, experiment, {**about, "invset.whole": "true"}):
            return
        tags = {**about, "mlflow.runName": job.name}
        if self.parent is not None:
            tags["mlflow.parentRunId"] = self.parent
        run = client.create_run(experiment, tags=tags).info.run_id
        now = int(time.time() * 1000)
        client.log_batch(
            run,
            [Metric(key, value, now, 0) for key, value in job.figures.items()],
            [Param(key, value) for key, value in job.options.items()],
            [RunTag(key, value) for key, value in job.words.items()],
        )
        _keep(client, run, job.files)
        client.set_tag(run, "invset.whole", "true")  # a process may be killed before
        client.set_terminated(run, "FAILED" if job.failed else "FINISHED")

    def _opened(self) -> tuple[MlflowClient, str]:
        """The client, and the experiment's number."""
        from mlflow import MlflowClient

        client = MlflowClient(self.uri)
        there = client.get_experiment_by_name(self.experiment)
        return client, there.experiment_id if there else client.create_experiment(self.experiment)


def _found(client: MlflowClient, experiment: str, tags: dict[str, str]) -> list[Any]:
    """Runs that have these tags."""
    quoted = [f"tags.`{key}` = '{value}'" for key, value in tags.items()]
    return list(client.search_runs([experiment], " and ".join(quoted), max_results=1))


def _keep(client: MlflowClient, run: str, files: list[Path]) -> None:
    for file in files:
        client.log_artifact(run, str(file))

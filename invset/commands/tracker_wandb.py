"""``hydra/callbacks=wandb``: each job is a run of Weights & Biases, in the group of its sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from invset.commands.tracker import Tracked, Tracker
from invset.errors import InvsetError


class WandbTracker(Tracker):
    """Logs to Weights & Biases.

    Args:
        project: the project that the runs are in.
        mode: online, offline, or None: what WANDB_MODE says, else online.
        dir: a folder, in which ``wandb/`` is made.

    Raises:
        InvsetError: wandb is not installed, or `mode` is another.
    """

    def __init__(self, project: str, mode: Literal["online", "offline"] | None, dir: str) -> None:
        super().__init__("wandb", "wandb")
        if mode not in ("online", "offline", None):
            raise InvsetError(
                f"hydra.callbacks.wandb.mode is online, offline or null, not {mode!r}"
            )
        self.project = project
        self.mode = mode
        # a job may work elsewhere
        self.dir = Path(dir).absolute()

    def log(self, job: Tracked) -> None:
        """Log a job, unless its result is logged."""
        import wandb

        mark = self.dir / "wandb" / f"logged-{job.result}"
        if mark.exists():
            return
        self.dir.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=self.project,
            mode=self.mode,
            dir=str(self.dir),
            group=None if job.sweep is None else str(job.sweep),
            name=job.name,
            config=job.options | job.words,
            settings=wandb.Settings(silent=True, console="off"),
            reinit="create_new",
        )
        run.summary.update(job.figures)
        for file in job.files:
            if file.suffix in (".png", ".gif"):
                run.log({file.name: wandb.Image(str(file))})
            else:
                run.save(str(file), base_path=str(job.folder), policy="now")
        run.finish(exit_code=int(job.failed))
        mark.touch()

"""``hydra/callbacks=tensorboard``: each job is a folder of events, in the folder of its sweep."""

from __future__ import annotations

from pathlib import Path

from invset.commands.tracker import Tracked, Tracker


class TensorboardTracker(Tracker):
    """Writes files that ``tensorboard --logdir`` shows.

    Args:
        dir: the folder that ``--logdir`` is told.

    Raises:
        InvsetError: TensorBoard is not installed.
    """

    def __init__(self, dir: str) -> None:
        super().__init__("tensorboard", "tensorboard")
        # a job may work elsewhere
        self.dir = Path(dir).absolute()

    def log(self, job: Tracked) -> None:
        """Write a job, unless its result is written."""
        import numpy as np
        from torch.utils.tensorboard import SummaryWriter

        from invset.report.folder import open_picture

        # with the date: folders of runs and sweeps are DATE/TIME
        own = (job.sweep or job.folder).parts[1:][-2:]
        folder = self.dir.joinpath(*own, job.name if job.sweep else "")
        mark = folder / f"logged-{job.result}"
        if mark.exists():
            return
        with SummaryWriter(str(folder)) as writer:
            # "." keeps options and figures in one folder
            writer.add_hparams(job.options | job.words, job.figures, run_name=".")
            for name, text in (job.options | job.words).items():
                writer.add_text(name, text)
            for file in job.files:
                if file.suffix == ".png":
                    writer.add_image(file.name, np.asarray(open_picture(file)), dataformats="HWC")
                else:
                    writer.add_text(file.name, str(file))  # TensorBoard keeps no files
        mark.touch()

"""What trackers of experiments (MLflow, Weights & Biases, TensorBoard) have in common.

A tracker is a callback of Hydra's, ``hydra/callbacks=mlflow``. It reads the folder of a job that
has ended, so that it can neither change a result nor lose one.
"""

from __future__ import annotations

import hashlib
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from invset.commands.own_folder import job_folder, words_of_job
from invset.errors import InvsetError, brief, first_lines
from invset.report.sweep_folder import read_job
from invset.streams import tell

#: What a tracker keeps of a folder, in this order.
_FILES = ("samples.png", "samples.csv", "animation.gif", "report.html", "summary.json")

#: The same, of a sweep.
_OF_SWEEP = ("sweep.csv", "sweep.png", "report.html")

#: Cells of a row that are no figures.
_WORDS = ("job", "status", "reason", "neurons", "command")


@dataclass(frozen=True)
class Tracked:
    """A job that has ended.

    Attributes:
        folder: of the job.
        sweep: the folder of its sweep; None: it is a run by itself.
        name: of the job in its sweep, or of the folder.
        result: a checksum of its result: who has logged it once need not again.
        options: its configuration, ``sampler.K`` -> text.
        words: how it ended and what was asked.
        figures: the numbers of its row of ``sweep.csv``.
        files: pictures, page and summary.
    """

    folder: Path
    sweep: Path | None
    name: str
    result: str
    options: dict[str, str]
    words: dict[str, str]
    figures: dict[str, float]
    files: list[Path]

    @property
    def failed(self) -> bool:
        return self.words["status"] == "failed"


class Tracker(Callback, ABC):
    """Gives each job that has ended to a tracker, once.

    Args:
        extra: of invset's, which brings the tracker.
        module: that it is imported by.

    Raises:
        InvsetError: it is not installed.
    """

    def __init__(self, extra: str, module: str) -> None:
        self.extra = extra
        if find_spec(module) is None:
            raise InvsetError(
                f"hydra/callbacks={extra} needs the package {module}, which is not installed;"
                f" type pip install 'invset[{extra}]'"
            )

    @abstractmethod
    def log(self, job: Tracked) -> None:
        """Log a job, unless its result is logged."""

    def begin_sweep(self, sweep: Path) -> None:
        """A sweep begins, in the process that launches its jobs."""

    def end_sweep(self, sweep: Path, files: list[Path]) -> None:
        """All its jobs have ended; `files` are its table, picture and page."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra calls it before the first job."""
        self._try("the sweep", lambda: self.begin_sweep(sweep_folder(config)))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Hydra calls it after the last one."""
        folder = sweep_folder(config)
        files = _there(folder, _OF_SWEEP)
        self._try("the sweep", lambda: self.end_sweep(folder, files))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Hydra calls it in the process of the job."""
        if _result(job_folder()) is not None:
            self._try("the job", lambda: self.log(_tracked(config)))

    def _try(self, what: str, log: Callable[[], None]) -> None:
        """What happens to a tracker happens to no run."""
        try:
            log()
        except Exception as error:
            why = brief(first_lines(error, 300) or type(error).__name__)
            tell(f"the results are kept, but {self.extra} has not logged {what} ({why})")


def sweep_folder(config: DictConfig) -> Path:
    """The folder of a sweep, wherever a job of it works.

    Args:
        config: with Hydra's part.
    """
    return Path(os.path.abspath(Path(config.hydra.runtime.cwd, config.hydra.sweep.dir)))


def _tracked(config: DictConfig) -> Tracked:
    folder = job_folder()
    sweep = sweep_folder(config) if HydraConfig.get().mode == RunMode.MULTIRUN else None
    name = folder.name if sweep is None else Path(os.path.relpath(folder, sweep)).as_posix()
    row = read_job(folder, name, words_of_job()).row()
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return Tracked(
        folder,
        sweep,
        name,
        str(_result(folder)),
        {key: str(value) for key, value in _flat(OmegaConf.to_container(own, resolve=True))},
        {key: str(row[key]) for key in _WORDS if row.get(key)},
        {key: float(value) for key, value in row.items() if _is_figure(value)},
        _there(folder, _FILES),
    )


def _result(folder: Path) -> str | None:
    """The checksum of the file that says how a job ended; None: it has not."""
    for file in _there(folder, ("failed.json", "summary.json")):
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    return None


def _there(folder: Path, names: tuple[str, ...]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def _is_figure(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _flat(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Each option under its place, ``limits.seconds``."""
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    inner = [(f"{path}.{key}" if path else str(key), held) for key, held in value.items()]
    return [one for key, held in inner for one in _flat(held, key)]

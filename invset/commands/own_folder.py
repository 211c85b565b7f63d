"""The folder of a job: held while it works, its configuration written into it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from invset.config.foreign import as_values
from invset.files.job_list import check_inside, new_sweep, note_job
from invset.files.owner import owned
from invset.files.rundir import RunDir


def job_folder() -> Path:
    """The folder that Hydra gives the job."""
    return Path(HydraConfig.get().runtime.output_dir)


def in_own_folder(cfg: DictConfig, work: Callable[[], int]) -> int:
    """Work with the job's folder held.

    Raises:
        InvsetError: the folder is not the job's; nothing in it was touched.
    """
    if "overwrite" not in cfg:  # a command that writes where it is told: its out=
        return work()
    hydra = HydraConfig.get()
    sweep = None
    if hydra.mode == RunMode.MULTIRUN:
        # a job may work elsewhere (hydra.job.chdir)
        sweep = Path(os.path.abspath(Path(hydra.runtime.cwd, hydra.sweep.dir)))
        check_inside(sweep, hydra.job.num, job_folder())
    # what is no boolean is told with the other options
    with owned(job_folder(), overwrite=cfg.overwrite is True):
        if sweep is not None:
            note_job(sweep, hydra.job.num, job_folder(), words_of_job())
        return work()


@contextmanager
def own_sweep(cfg: DictConfig) -> Iterator[None]:
    """Hold the folder of a sweep, which replaces what an earlier sweep wrote if that was typed.

    Args:
        cfg: the configuration of the sweep, with Hydra's.

    Raises:
        InvsetError: the folder is not the sweep's; nothing in it was touched.
    """
    folder = Path(cfg.hydra.sweep.dir).absolute()
    with owned(folder, overwrite=cfg.overwrite is True), new_sweep(folder):
        yield


def begin_in(rundir: RunDir, cfg: DictConfig) -> None:
    """Replace what earlier runs left in the folder by the configuration of this one: what Hydra
    would write before the folder is known to be ours.
    """
    rundir.begin(
        {
            "config.yaml": OmegaConf.to_yaml(OmegaConf.create(as_values(cfg))),
            "hydra.yaml": OmegaConf.to_yaml(HydraConfig.instance().cfg),
            "overrides.yaml": OmegaConf.to_yaml(OmegaConf.create(words_of_job())),
        }
    )


def note_failure(code: int, reason: str) -> None:
    """Keep in the folder of a sweep's job why it has no result, for the page of the sweep."""
    words = words_of_job()
    about = {"exit_code": code, "reason": reason, "command": f"invset run {shlex.join(words)}"}
    RunDir(job_folder(), listed=True).write_json("failed.json", {**about, "words": words})


def words_of_job() -> list[str]:
    """What was typed for the job; who repeats its command replaces nothing by it."""
    words = [str(word) for word in HydraConfig.get().overrides.task]
    return [word for word in words if word.split("=")[0].lstrip("+") != "overwrite"]

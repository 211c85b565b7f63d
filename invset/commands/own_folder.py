"""The folder of a job: held while it works, its configuration written into it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from invset.config.foreign import as_values
from invset.files.own_options import own_words
from invset.files.owner import owned
from invset.files.run_log import log_in
from invset.files.rundir import RunDir

#: Options that say what becomes of jobs that are there already.
_OF_THE_SWEEP = ("overwrite", "retry")


def job_folder() -> Path:
    """The folder that Hydra gives the job."""
    return Path(HydraConfig.get().runtime.output_dir)


def in_own_folder(cfg: DictConfig, work: Callable[..., int]) -> int:
    """Work with the job's folder held. A job of a sweep that is there already is left as it is, or
    goes on: see `invset.commands.job_again`.

    Args:
        cfg: the job's configuration.
        work: takes how it goes on, ``folder=`` and ``resume=``, where it does; gives the exit code.

    Raises:
        InvsetError: the folder is not the job's; nothing in it was touched.
    """
    if "overwrite" not in cfg:  # a command that writes where it is told: its out=
        return work()
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        from invset.commands.job_again import in_sweep

        return in_sweep(cfg, work)
    # what is no boolean is told with the other options
    with owned(job_folder(), overwrite=cfg.overwrite is True):
        return work()


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
    log_in(rundir)


def note_failure(code: int, reason: str) -> None:
    """Keep in the folder of a sweep's job why it has no result, for the page of the sweep."""
    words = words_of_job()
    command = f"invset run {shlex.join(typed_again())}"
    about = {"exit_code": code, "reason": reason, "command": command}
    RunDir(job_folder(), listed=True).write_json("failed.json", {**about, "words": words})


def words_of_job() -> list[str]:
    """What was typed for the job; who repeats its command replaces nothing by it."""
    return words_in(HydraConfig.get())


def typed_again() -> list[str]:
    """The same, with ``--config-dir``: what runs again."""
    return [*own_words(HydraConfig.get()), *words_of_job()]


def words_in(hydra: Any) -> list[str]:
    """The same, of Hydra's part of a configuration."""
    words = [str(word) for word in hydra.overrides.task]
    return [word for word in words if word.split("=")[0].lstrip("+") not in _OF_THE_SWEEP]

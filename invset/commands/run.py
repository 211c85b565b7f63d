"""``invset run``: sample an inverse set and write its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from invset.commands.own_folder import job_folder
from invset.commands.side_by_side import settled
from invset.config.published import prepare
from invset.config.validate import check_config


def main(
    cfg: DictConfig,
    folder: Path | None = None,
    resume: bool = False,
    accept: Sequence[str] = (),
    how: Sequence[str] = (),
    anew: bool = False,
) -> int:
    """Run one job; return 0, 3 if the range was not reached, or 130 after Ctrl-C.

    Args:
        cfg: ``configs/run.yaml``.
        folder: the run's folder; None takes Hydra's.
        resume: go on with the run in `folder`.
        accept: kinds of surroundings that may have changed since.
        how: options of the configuration that were typed to go on.
        anew: begin anew where the state in `folder` does not belong here.
    """
    # before torch is imported: a typing mistake, or weights that can't be had, are told at once
    folder = folder or job_folder()
    check_config(cfg)
    prepare(cfg)
    from invset.commands.run_job import Job
    from invset.problem.repeatable import repeatable
    from invset.problem.runtime import Runtime

    runtime = Runtime.of(cfg.get("runtime"))
    # also what a problem is made with
    around = settled(str(cfg.device), cfg.gpu_jobs, runtime) if _in_sweep() else repeatable(runtime)
    with around:
        return Job(cfg, folder, resume, accept, how, anew).run()


def _in_sweep() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN

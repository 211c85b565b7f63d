"""A job of a sweep whose folder holds jobs already: what is finished is skipped, what was cut off
goes on, what failed is repeated, and what is new has a folder of its own.

A job is known by its identity (`invset.config.identity`), not by its number: the same command may
be typed again, and another one in the same folder finds the jobs that both have.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, read_write

from invset.commands.outcome import ended, exit_code, failure
from invset.commands.own_folder import job_folder, words_in, words_of_job
from invset.commands.status import forecast
from invset.commands.turns import beside, pause
from invset.config.identity import identity
from invset.config.kept_parts import forget, keeping
from invset.files.job_list import (
    begin_plan,
    check_inside,
    free_folder,
    job_with,
    new_sweep,
    note_job,
    replaces,
)
from invset.files.own_options import own_words
from invset.files.owner import alive, owned
from invset.files.plan import Planner, matching, read_plan

log = logging.getLogger(__name__)

#: Seconds between two looks at a job that another process works on.
_PAUSE = 0.5

#: Jobs, from 0, after which it is told what all of them take.
_FORECASTS = (0, 1, 9, 99)


@contextmanager
def own_sweep(cfg: DictConfig, loader: Any) -> Iterator[None]:
    """Hold the folder of a sweep, and write down its jobs as they are composed. What an earlier
    sweep wrote is kept, or replaced if that was typed.

    Args:
        cfg: the configuration of the sweep, with Hydra's.
        loader: composes the jobs (`invset.config.compose.Loader`).

    Raises:
        InvsetError: the folder is not the sweep's; nothing in it was touched.
    """
    folder = Path(cfg.hydra.sweep.dir).absolute()
    overwrite = cfg.overwrite is True
    with owned(folder, overwrite, sweep=True), new_sweep(folder, overwrite):
        loader.on_job = partial(_note, Planner(folder, _typed(cfg, folder)))
        try:
            yield
        finally:
            forget()


def _typed(cfg: DictConfig, folder: Path) -> list[str]:
    """The words that begin the same sweep again."""
    typed = [str(word) for word in cfg.hydra.overrides.hydra]
    hydras = [word for word in typed if not word.startswith(("hydra.mode=", "hydra.sweep.dir="))]
    command = str(cfg.hydra.job.config_name).replace("_", " ")
    own = own_words(cfg.hydra)
    return [command, *own, "-m", *words_in(cfg.hydra), *hydras, f"hydra.sweep.dir={folder}"]


def _note(planner: Planner, cfg: DictConfig) -> None:
    """Take down a job that is going to be."""
    if planner.sweep is not None:
        planner.note(words_in(cfg.hydra), _identity(cfg))


def _identity(cfg: DictConfig) -> str:
    own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    return identity(own, HydraConfig.get().runtime.cwd if HydraConfig.initialized() else ".")


def in_sweep(cfg: DictConfig, work: Callable[..., int]) -> int:
    """Work on a job of a sweep, or leave it as it is; return its exit code.

    Args:
        cfg: the job's configuration.
        work: see `invset.commands.own_folder.in_own_folder`.

    Raises:
        InvsetError: the job's folder is not its own; nothing in it was touched.
    """
    hydra = HydraConfig.get()
    # a job may work elsewhere (hydra.job.chdir)
    sweep = Path(os.path.abspath(Path(hydra.runtime.cwd, hydra.sweep.dir)))
    wanted = job_folder()
    check_inside(sweep, hydra.job.num, wanted)
    begin_plan(sweep)
    own = _planned(sweep) or _identity(cfg)
    there = job_with(sweep, own)
    folder = there[0] if there else free_folder(sweep, wanted)
    _move_to(folder)
    if there:
        _wait(folder, hydra.job.num)
        code = _left(folder, str(cfg.get("retry", "failed")))
        if code is not None:
            log.info("job %d is there: %s", hydra.job.num, folder)
            return code
    overwrite = cfg.overwrite is True or there is not None or replaces(sweep, folder)
    with owned(folder, overwrite):
        how = _going_on(cfg, folder) if there else {}
        if not how:
            note_job(sweep, hydra.job.num, folder, words_of_job(), own, wanted)
        with keeping():
            code = work(**how)
    if hydra.job.num in _FORECASTS:
        told = forecast(sweep, beside())
        if told:
            log.info("%s", told)
    return code


def _planned(sweep: Path) -> str:
    """The identity that was taken down for this job before the first one began."""
    plan = read_plan(sweep)
    words = matching(words_of_job())
    jobs = plan.jobs.items() if plan else ()
    return next((own for own, typed in jobs if matching(typed) == words), "")


def _wait(folder: Path, number: int) -> None:
    """Let another process that works on the same job end: one of a sweep that was killed may."""
    told = False
    while holder := alive(folder):
        if not told:
            log.info("job %d waits for %s, which works on it", number, holder)
        told = True
        pause(_PAUSE)


def _left(folder: Path, retry: str) -> int | None:
    """The exit code of a job that is left as it is; None for one that is to be run.

    Args:
        folder: of the job.
        retry: ``retry=``.
    """
    if retry == "all":
        return None
    left_failed = retry == "none" and failure(folder) is not None
    return exit_code(folder) if left_failed else ended(folder)


def _going_on(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """How a job goes on from its state; nothing where it begins anew."""
    if cfg.get("retry") == "all" or not (folder / "state.pt").is_file():
        return {}
    log.info("going on in %s", shlex.quote(str(folder)))
    return {"folder": folder, "resume": True, "anew": True}


def _move_to(folder: Path) -> None:
    """Let the job work in another folder than Hydra has made for it."""
    made = job_folder()
    if folder == made:
        return
    hydra: Any = HydraConfig.instance().cfg
    with read_write(hydra.hydra.runtime):
        hydra.hydra.runtime.output_dir = str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if Path.cwd() == made:  # hydra.job.chdir
        os.chdir(folder)
    if not any(made.iterdir()):
        made.rmdir()

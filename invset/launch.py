"""Behind a command: its words composed to a configuration, the folder of its run, bad input told in
one sentence.
"""

from __future__ import annotations

import os
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from invset import interrupt
from invset.bad_input import bad_input, unwritable
from invset.config.unused import Unused, register, remove_if_empty, unused_folders
from invset.errors import InvsetError, brief, did_you_mean
from invset.own_modules import own_modules_last
from invset.progress import bars, listen, stage, volume
from invset.streams import tell

# Hydra and OmegaConf are imported where a command runs: `invset --help` needs neither

Main = Callable[..., "int | None"]

#: What ``-m`` is to Hydra.
_SWEEP = "hydra.mode=MULTIRUN"


def launch(main: Callable[[], Main], config: str, name: str, words: list[str]) -> int:
    """Run a command; return its exit code: 0, 2 for bad input, 3 for a range that was not reached,
    130 for Ctrl-C. In a sweep, the highest one.

    Args:
        main: gives the function that takes the configuration; asked when there is one to take, so
            that help imports no torch.
        config: name of a file of ``configs/``.
        name: of the command, as it is typed.
        words: what was typed behind it.

    Raises:
        InvsetError: bad words, or a folder that can't be written.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    job = _Job(main, name)
    try:
        with unused_folders():
            _dispatch(job, config, name, words)
    except (HydraException, OmegaConfBaseException) as error:
        raise InvsetError(str(bad_input(error, name))) from error
    except OSError as error:
        why = unwritable(error, job.begun)
        if why is None:
            raise
        raise InvsetError(why) from error
    if job.broken is not None:
        raise job.broken
    return job.ended()


class _Job:
    """What Hydra calls with a configuration: once, or for each job of a sweep.

    Attributes:
        begun: whether it was called.
        codes: exit codes.
        broken: why a standard stream can't be written.
        sweep: the folder of the sweep; None: there is none.
    """

    def __init__(self, main: Callable[[], Main], name: str) -> None:
        self.main = main
        self.name = name
        self.begun = False
        self.codes: list[int] = []
        self.broken: OSError | None = None
        self.sweep: Path | None = None
        self.volume = volume()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"cwd": os.getcwd()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In the process of a job that a launcher (joblib, submitit, Ray) began."""
        os.chdir(state.pop("cwd"))  # Ray's processes work where their node was begun
        self.__dict__.update(state)
        register(Unused())
        listen(self.volume, alone=False)

    def ended(self) -> int:
        """The highest exit code; that of jobs in other processes stands in their folders."""
        from invset.commands.outcome import worst

        others = 0 if self.codes or self.sweep is None else worst(self.sweep)
        return max(self.codes, default=others)

    def __call__(self, cfg: Any) -> float:
        from hydra.core.hydra_config import HydraConfig

        self.begun = True
        own_modules_last(HydraConfig.get().runtime.cwd)  # a launcher may begin a job elsewhere
        if not _sweeping():
            return self._one(cfg, False)
        from invset.commands.side_by_side import take
        from invset.commands.sweep import join_now

        try:
            return take(cfg, lambda: self._one(cfg, True))
        except KeyboardInterrupt:
            join_now(cfg)
            raise  # a signal ends the sweep, not the job alone

    def _one(self, cfg: Any, sweeping: bool) -> float:
        """Work on a job; return what the sweeper gets."""
        from invset.commands.outcome import told
        from invset.commands.own_folder import job_folder

        try:
            code = guarded(lambda: self._work(cfg, sweeping), self.name)
            sys.stdout.flush()
        except OSError as error:
            if error.filename is not None:
                raise
            self.broken = error  # no failure of the job, as Hydra would say
            return 1
        self.codes.append(code)
        if code == 2 and not sweeping and "overwrite" in cfg:  # others have no folder of their own
            remove_if_empty(job_folder())
        if code > 128 and sweeping:
            raise KeyboardInterrupt
        return told(cfg, code, job_folder()) if sweeping else code

    def _work(self, cfg: Any, sweeping: bool) -> int:
        """Run in the job's own folder; a folder that is refused is not written to, not even why."""
        from invset.commands.own_folder import in_own_folder, note_failure

        note = note_failure if sweeping else None

        def work(**how: Any) -> int:
            return guarded(partial(begin, self.main, self.name, cfg, **how), self.name, note)

        return in_own_folder(cfg, work)


def begin(main: Callable[[], Main], name: str, cfg: Any, **rest: Any) -> int | None:
    """Check all options, before `main` is asked for: then torch is imported."""
    from invset.config.commands import OPTIONS
    from invset.config.validate import check_components, check_own
    from invset.files.run_log import logged

    check_components(cfg, whole="what" not in cfg)  # `invset list` shows what is missing, too
    check_own(cfg, OPTIONS[name])
    with logged(), bars(cfg.get("progress", True)):
        with stage("loading PyTorch"):
            work = main()
        return work(cfg, **rest)


def _dispatch(task: _Job, config: str, name: str, words: list[str]) -> None:
    """What Hydra's own main does, with our loader."""
    from hydra._internal.hydra import Hydra
    from hydra.core.global_hydra import GlobalHydra

    from invset.commands.sweep import deaths_told
    from invset.config.compose import loader

    parser, args = _parse(name, words)
    config = args.config_name or config
    hydra = Hydra(config, loader(args.config_path, args.config_dir))
    GlobalHydra.instance().initialize(hydra)
    held = _Held()
    try:
        if args.help:
            hydra.app_help(config, parser, args)
        elif args.hydra_help:
            hydra.hydra_help(config, parser, args)
        elif args.cfg:
            hydra.show_cfg(config, args.overrides, args.cfg, args.package, args.resolve)
        elif args.info:
            hydra.show_info(args.info, config, args.overrides)
        elif args.multirun or _SWEEP in args.overrides:
            _hold(hydra, held, task)
            with deaths_told(lambda: task.sweep):
                hydra.multirun(config, task, [*args.overrides, _SWEEP])
        else:
            hydra.run(config, task, args.overrides)
    finally:
        GlobalHydra.instance().clear()
        held.close()


class _Held(ExitStack):
    """What a sweep holds. A job in another process, which gets a copy of Hydra, holds nothing."""

    def __reduce__(self) -> Any:
        return _Held, ()


def _hold(hydra: Any, held: ExitStack, job: _Job) -> None:
    """Let the sweep take its folder as soon as its configuration is known: Hydra writes next."""
    from invset.commands.job_again import own_sweep

    compose = hydra.compose_config

    def composed(*words: Any, **options: Any) -> Any:
        del hydra.compose_config  # once; and a launcher may send Hydra to other processes
        cfg = compose(*words, **options)
        if "overwrite" in cfg:
            held.enter_context(own_sweep(cfg, hydra.config_loader))
            job.sweep = Path(cfg.hydra.sweep.dir).absolute()
        return cfg

    hydra.compose_config = composed


def _parse(name: str, words: list[str]) -> tuple[Any, Namespace]:
    from hydra._internal.utils import get_args_parser

    parser = get_args_parser()
    flags = [flag for action in parser._actions for flag in action.option_strings]
    flags.remove("--experimental-rerun")  # which reads a pickle
    for word in words:
        flag = word.split("=")[0]
        if flag.startswith("-") and flag not in flags:
            raise InvsetError(
                f"invset {name} has no option {flag}.{did_you_mean(flag, flags)} Options are typed"
                " key=value"
            )
    return parser, parser.parse_intermixed_args(words)  # -m may stand anywhere


def _sweeping() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.get().mode == RunMode.MULTIRUN


def guarded(
    run: Callable[[], int | None], command: str, note: Callable[[int, str], None] | None = None
) -> int:
    """Run; bad input is one sentence and 2, never a traceback, so that the other jobs of a sweep go
    on.

    Args:
        run: what to run.
        command: its name.
        note: given in a sweep, where a defect of ours, too, ends one job only: takes the exit code
            (1 for a defect) and the reason.
    """
    try:
        return run() or 0
    except Exception as error:
        interrupt.check()  # some library may have made another exception of a signal's
        message = bad_input(error, command)
        if message is None and note is None:
            raise
        if message is None:
            traceback.print_exc()
        code, reason = (1, f"{type(error).__name__}: {error}") if message is None else (2, message)
        reason = brief(reason)
        tell(reason)
        if note is not None:
            note(code, reason)
        return code

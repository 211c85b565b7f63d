"""``invset COMMAND [hydra overrides]``: picks the command, nothing else.

Every command but ``fetch`` is a Hydra application; torch is imported when there is something to
compute, so that help is quick.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from invset.config.mistakes import config_dir, one_sentence
from invset.errors import InvsetError, did_you_mean, is_out_of_memory
from invset.problem.allocator import keep_freed_memory

#: command -> (module whose function ``main(cfg)`` runs it, configuration, what help says); without
#: a configuration, main takes the words that were typed
COMMANDS: dict[str, tuple[str, str | None, str]] = {
    "run": (
        "invset.commands.run",
        "run",
        "sample an inverse set:  invset run network=mini neuron=horse z1=3 z2=4",
    ),
    "probe": (
        "invset.commands.probe",
        "probe",
        "which range to ask for:  invset probe network=mini neuron=[horse,ship]",
    ),
    "list": (
        "invset.commands.listing",
        "list",
        "names that can be typed:  invset list networks, layers, neurons, labels, …",
    ),
    "compare": (
        "invset.commands.compare",
        "compare",
        "compare samplers over neurons and ranges, beside real images",
    ),
    "report": (
        "invset.commands.report",
        None,
        "make report.html of runs and sweeps anew:  invset report outputs/DATE/TIME",
    ),
    "train network": (
        "invset.commands.train_network",
        "train_network",
        "train the small CaffeNet on a folder or archive of images",
    ),
    "train generator": (
        "invset.commands.train_generator",
        "train_generator",
        "train a generator for a network:  G(E(x)) = x",
    ),
    "fit prior": (
        "invset.commands.fit_prior",
        "fit_prior",
        "fit the natural region of a generator's codes to real images",
    ),
    "fit reference": (
        "invset.commands.fit_reference",
        "fit_reference",
        "measure what real images do, to compare samples with",
    ),
    "figure": (
        "invset.commands.figure",
        None,
        "the picture and table of a figure's sweep:  invset figure outputs/figures/mini/fig1",
    ),
    "fetch": (
        "invset.commands.fetch",
        None,
        "bring published weights into the cache:  invset fetch caffenet",
    ),
}

#: Hydra's options; all else is key=value.
FLAGS = (
    *(
        "--help",
        "-h",
        "--hydra-help",
        "--version",
        "--cfg",
        "-c",
        "--resolve",
        "--package",
        "-p",
        "--run",
        "-r",
        "--multirun",
        "-m",
    ),
    *(
        "--shell-completion",
        "-sc",
        "--config-path",
        "-cp",
        "--config-name",
        "-cn",
        "--config-dir",
        "-cd",
        "--info",
        "-i",
    ),
    "--experimental-rerun",
)


def usage() -> str:
    """What ``invset --help`` prints."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, (_, _, about) in COMMANDS.items()]
    return "\n".join(
        [
            (
                "invset: what does this neuron respond to? Samples the inverse set {x : z1 <= f(x)"
                " <= z2} of a neuron."
            ),
            "",
            "usage: invset COMMAND [key=value ...]",
            "",
            *lines,
            "",
            (
                "invset COMMAND --help lists every option; --cfg job shows the configuration; -m"
                " sweeps lists of values."
            ),
            "invset run --resume outputs/DATE/TIME goes on with an interrupted run.",
        ]
    )


def pick(arguments: list[str]) -> tuple[str, list[str]]:
    """Split arguments into the command and the rest.

    Raises:
        InvsetError: no such command.
    """
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in COMMANDS:
            return name, arguments[words:]
    word = arguments[0]
    group = [name for name in COMMANDS if name.startswith(f"{word} ")]
    if group:
        raise InvsetError(
            f"`invset {word}` needs one more word: {', '.join(f'invset {name}' for name in group)}"
        )
    raise InvsetError(
        f"there is no command {word!r}.{did_you_mean(word, COMMANDS)} Commands:"
        f" {', '.join(COMMANDS)}"
    )


def main() -> None:
    """Entry point of the console script."""
    try:
        try:
            _main()
        finally:
            sys.stdout.flush()  # a pipe that has been closed, as by head, is told now
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes again when it ends
        sys.exit(1)


def _main() -> None:
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if arguments[0] in ("-V", "--version"):
        from invset import __version__

        print(f"invset {__version__}")
        return
    try:
        name, rest = pick(arguments)
        sys.exit(start(name, rest))
    except InvsetError as error:
        print(f"invset: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("invset: interrupted", file=sys.stderr)
        sys.exit(130)


def start(name: str, rest: list[str]) -> int:
    """Run a command; return its exit code: 0, 2 for bad input, 3 for a range that was not reached,
    130 for Ctrl-C.
    """
    module, config, _ = COMMANDS[name]
    if name == "list":
        rest = _listed(rest)
    if config is None:
        return importlib.import_module(module).main(rest)
    keep_freed_memory()
    sys.path.insert(0, os.getcwd())  # network.module._target_=my_network.build finds my_network.py
    if "--resume" in rest:
        return _resume(name, rest)
    codes: list[int] = []
    broken: list[BrokenPipeError] = []

    def task(cfg: Any) -> int:
        try:
            code = _guarded(
                lambda: importlib.import_module(module).main(cfg),
                config,
                _note_failure if _sweeping() else None,
            )
            sys.stdout.flush()
        except BrokenPipeError as error:  # no failure of the job, as Hydra would say
            broken.append(error)
            return 1
        codes.append(code)
        if code == 2:
            _remove_empty_run()
        if code == 130 and _sweeping():
            _join_sweep(cfg)
            raise KeyboardInterrupt  # Ctrl-C ends the sweep, not the job alone
        return code

    _hydra(task, config, name, rest)
    if broken:
        raise broken[0]
    return max(codes, default=0)


def _listed(rest: list[str]) -> list[str]:
    """``labels volc network=mini`` as Hydra takes it: ``what=labels 'words=["volc"]'
    network=mini``.
    """
    plain = [word for word in rest if "=" not in word and not word.startswith("-")]
    words = [json.dumps(word, ensure_ascii=False) for word in plain]
    return [
        *(word for word in rest if word not in plain),
        *(f"what={word}" for word in words[:1]),
        f"words=[{','.join(words[1:])}]",
    ]


def _sweeping() -> bool:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return HydraConfig.get().mode == RunMode.MULTIRUN


def _note_failure(code: int, reason: str) -> None:
    """Keep in the job's folder why it has no result, for the page of the sweep."""
    from hydra.core.hydra_config import HydraConfig

    from invset.files.rundir import RunDir

    folder = RunDir(HydraConfig.get().runtime.output_dir)
    command = f"invset run {shlex.join(folder.overrides())}"
    folder.write_json("failed.json", {"exit_code": code, "reason": reason, "command": command})


def _join_sweep(cfg: Any) -> None:
    """Hydra's callback does it at the end of a sweep, which Ctrl-C does not come to."""
    from hydra.core.hydra_config import HydraConfig

    from invset.commands.sweep import join

    join(Path(HydraConfig.get().sweep.dir), cfg.get("report", False))


def _remove_empty_run() -> None:
    """Bad input leaves no folder: delete Hydra's if it holds nothing but the configuration. A sweep
    keeps its numbered ones.
    """
    from hydra.core.hydra_config import HydraConfig

    folder = Path(HydraConfig.get().runtime.output_dir)
    if not _sweeping() and [p.name for p in folder.iterdir()] == [".hydra"]:
        shutil.rmtree(folder / ".hydra")
        _remove_if_empty(folder)


def _remove_if_empty(folder: Path) -> None:
    """Delete an empty folder, and those of its day and of all days if nothing else is in them."""
    day = folder.parent
    for empty in (folder, day, day.parent) if day.parent.name == "outputs" else (folder,):
        if not empty.is_dir() or any(empty.iterdir()):
            return
        empty.rmdir()


def _guarded(
    run: Callable[[], int | None], config: str, note: Callable[[int, str], None] | None = None
) -> int:
    """Run; bad input is one sentence and 2, never a traceback, so that the other jobs of a sweep go
    on.

    Args:
        run: what to run.
        config: its configuration's name.
        note: given in a sweep, where a defect of ours, too, ends one job only: takes the exit code
            (1 for a defect) and the reason.
    """
    try:
        return run() or 0
    except Exception as error:
        message = _bad_input(error, config)
        if message is None and note is None:
            raise
        if message is None:
            traceback.print_exc()
        code, reason = (1, f"{type(error).__name__}: {error}") if message is None else (2, message)
        print(f"invset: {reason}", file=sys.stderr)
        if note is not None:
            note(code, reason)
        return code


def _bad_input(error: BaseException, config: str) -> str | None:
    """What to tell a person, or None for a defect of ours."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    cause: BaseException | None = error
    while cause is not None:  # Hydra wraps what a constructor raises
        if isinstance(cause, InvsetError):
            return str(cause)
        cause = cause.__cause__
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return one_sentence(error, config)
    if is_out_of_memory(error):
        return "there is not enough memory for that; type smaller K= and n="
    return None


def _resume(name: str, rest: list[str]) -> int:
    from omegaconf import OmegaConf

    others = [word for word in rest if word != "--resume"]
    if name != "run" or len(others) != 1:
        raise InvsetError(
            "--resume takes one run folder and nothing else, because a run goes on as it was:"
            " invset run --resume outputs/DATE/TIME"
        )
    folder = Path(others[0])
    saved = folder / ".hydra" / "config.yaml"
    if not saved.is_file():
        raise InvsetError(
            f"{folder} is no run folder: it has no .hydra/config.yaml; type invset run --resume"
            " outputs/DATE/TIME"
        )
    cfg = OmegaConf.load(saved)
    return _guarded(
        lambda: importlib.import_module(COMMANDS[name][0]).main(cfg, folder=folder, resume=True),
        "run",
    )


def _hydra(task: Callable[[Any], int], config: str, name: str, rest: list[str]) -> None:
    import hydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for word in rest:
        flag = word.split("=")[0]
        if flag.startswith("-") and flag not in FLAGS:
            raise InvsetError(
                f"invset {name} has no option {flag}.{did_you_mean(flag, FLAGS)} Options are typed"
                " key=value"
            )
    unused = _Unused()
    OmegaConf.register_new_resolver("unused", unused, replace=True)
    begun: list[bool] = []

    def job(cfg: Any) -> int:
        begun.append(True)
        return task(cfg)

    # argparse takes overrides in one piece only: -m may stand anywhere
    sweep = [word for word in rest if word in ("-m", "--multirun")]
    sys.argv = [f"invset {name}", *sweep, *(word for word in rest if word not in sweep)]
    os.environ["HYDRA_FULL_ERROR"] = (
        "1"  # errors come to us as they are, instead of to Hydra's own printing
    )
    try:
        hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=config)(job)()
    except (HydraException, OmegaConfBaseException) as error:
        raise InvsetError(one_sentence(error, config)) from error
    except ValueError as error:  # network=null
        if begun:
            raise
        null = next((word for word in rest if word.endswith("=null")), "")
        raise InvsetError(
            f"{one_sentence(error, config)} {null} names no option".rstrip()
        ) from error
    except OSError as error:
        if begun and error.errno not in (errno.ENOSPC, errno.EACCES, errno.EROFS):
            raise
        raise InvsetError(
            f"can't write to {error.filename} ({error.strerror}); type"
            " hydra.run.dir=/a/folder/of/yours"
        ) from error
    finally:  # Hydra asks for the folder of a sweep also where an experiment names another
        for folder in unused.taken.values():
            _remove_if_empty(Path(folder))
        OmegaConf.clear_resolver(
            "unused"
        )  # who composes a configuration in this process later makes no folders


class _Unused:
    """``${unused:outputs/DATE/TIME}``: that folder, or with a number behind it if another run began
    in the same second.
    """

    def __init__(self) -> None:
        self.taken: dict[str, str] = {}  # Hydra asks more than once

    def __call__(self, path: str) -> str:
        if path not in self.taken:
            for folder in (path, *(f"{path}-{number}" for number in range(2, 1000))):
                try:
                    os.makedirs(folder)  # made at once: two processes can't both have it
                except FileExistsError:
                    continue
                except OSError:
                    pass  # Hydra says why
                self.taken[path] = folder
                break
        return self.taken[path]


if __name__ == "__main__":
    main()

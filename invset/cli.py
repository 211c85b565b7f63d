"""``invset COMMAND [hydra overrides]``: picks the command, nothing else.

Every command but ``fetch`` is a Hydra application; torch is imported when there is something to
compute, so that help is quick.
"""

from __future__ import annotations

import importlib
import os
import sys

from invset import __version__, interrupt
from invset.completion import complete
from invset.config.words import VALUED, counted, listed
from invset.errors import InvsetError, brief, did_you_mean
from invset.launch import begin, guarded, launch
from invset.own_modules import own_modules_last
from invset.problem.allocator import keep_freed_memory
from invset.progress import ABOUT_FLAGS, listening, volume_typed
from invset.streams import give_up, open_streams, tell
from invset.terminal import shown

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
    "status": (
        "invset.commands.status",
        None,
        "how far a sweep is:  invset status outputs/DATE/TIME",
    ),
    "draw": (
        "invset.commands.draw",
        None,
        "pictures of runs with keep=codes:  invset draw outputs/DATE/TIME",
    ),
    "collect": (
        "invset.commands.collect",
        None,
        "sweeps as tables:  invset collect outputs/DATE/TIME out=samples.parquet",
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
    "train autoencoder": (
        "invset.commands.train_autoencoder",
        "train_autoencoder",
        "train an encoder and the generator of its codes on images",
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
    "fit spectrum": (
        "invset.commands.fit_spectrum",
        "fit_spectrum",
        "measure how strong each frequency is in images, for generator=spectrum",
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


_STREAMS = ("stdout", "stderr")

#: How a command that a signal has ended goes on; a run says it itself.
_GOES_ON = {
    "train network": "; the same command goes on from the checkpoint in out=",
    "train generator": "; the same command goes on from the checkpoint in out=",
    "train autoencoder": "; the same command goes on from the checkpoint in out=",
    "compare": "; the same command goes on from the runs in out=",
    "fetch": "; the same command goes on from what has come",
}


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
            ABOUT_FLAGS,
            "A sweep goes on by the same command in the same hydra.sweep.dir=.",
        ]
    )


_COMPLETION = {"-sc", "--shell-completion"}


def flags_last(arguments: list[str]) -> list[str]:
    """Put flags that stand before the command behind it: ``invset --config-dir mine run``."""
    count = 0
    while arguments[count : count + 1] and arguments[count].startswith("-"):
        count += 2 if arguments[count] in VALUED else 1
    if not arguments[count:]:
        raise InvsetError(f"a command is missing: {', '.join(COMMANDS)}")
    return [*arguments[count:], *arguments[:count]]


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
    open_streams()
    with interrupt.listening(), shown() as streams:
        try:
            try:
                _main()
            finally:
                sys.stdout.flush()  # a pipe that has been closed, as by head, is told now
        except OSError as error:
            broken = [name for name, one in zip(_STREAMS, streams, strict=True) if one.broken]
            if error.filename is not None or not broken:
                raise
            give_up(error, broken)
            sys.exit(1)
        except (KeyboardInterrupt, Exception) as error:
            if not interrupt.received() and not isinstance(error, KeyboardInterrupt):
                raise
            # some library may have made another exception of it
            words = " ".join(sys.argv[1:])
            hint = next((_GOES_ON[name] for name in _GOES_ON if words.startswith(name)), "")
            tell(f"interrupted{hint}")
            sys.exit(interrupt.exit_code())


def _main() -> None:
    try:
        volume, arguments = volume_typed(sys.argv[1:])
        with listening(volume):
            _begin(arguments)
    except InvsetError as error:
        tell(brief(str(error)))
        sys.exit(2)


def _begin(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if "-V" in arguments or "--version" in arguments:
        print(f"invset {__version__}")
        return
    if _COMPLETION & {*arguments}:
        words = [word for word in arguments if word not in _COMPLETION and "=" in word]
        configured = {name: config for name, (_, config, _) in COMMANDS.items()}
        print(*complete(words, configured), sep="\n")
        return
    name, rest = pick(flags_last(arguments))
    if any("\0" in word for word in rest):
        raise InvsetError("a word that is typed can't hold a NUL byte; leave it out")
    code = start(name, rest)
    if {"-h", "--help"} & {*rest}:
        print(f"\n{ABOUT_FLAGS}")
    sys.exit(code)


def start(name: str, rest: list[str]) -> int:
    """Run a command; return its exit code: 0, 2 for bad input, 3 for a range that was not reached,
    130 for Ctrl-C.
    """
    module, config, _ = COMMANDS[name]
    if name == "list":
        rest = listed(rest)
    if config is None:
        return guarded(lambda: importlib.import_module(module).main(rest), name)
    keep_freed_memory()
    own_modules_last(os.getcwd())
    if "--resume" in rest:
        return _resume(name, rest)
    if name == "run":
        rest = counted(rest)
    return launch(lambda: importlib.import_module(module).main, config, name, rest)


def _resume(name: str, rest: list[str]) -> int:
    from invset.commands.resume import parsed
    from invset.files.owner import owned

    if name != "run":
        raise InvsetError(f"invset {name} has no --resume; invset run has")
    typed = parsed(rest)
    if typed is None:
        return 0
    cfg = typed.config()
    module = COMMANDS[name][0]
    resumed = {"folder": typed.folder, "resume": True, "accept": typed.accept, "how": typed.how}

    def go_on() -> int | None:
        typed.check(cfg)
        return begin(lambda: importlib.import_module(module).main, name, cfg, **resumed)

    with owned(typed.folder, resume=True):
        return guarded(go_on, name)


if __name__ == "__main__":
    main()

"""Type random words at every command; each must end with 0, 2 or 3, in time, without a traceback.

    python tests/stress/words.py COUNT [SEED]     1000 words take about 15 minutes on one core

A word that fails is printed as it is typed, with its number: words.py SEED:NUMBER runs it alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import resource
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[2]))

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from invset import cli
from invset.config.compose import compose
from invset.hub import obtain

#: Seconds that one command line may take, and bytes that it may ask for beyond what is loaded.
SECONDS, BYTES = 30, 2**30

#: Command -> words that make it a short one.
BASE: dict[str, list[str]] = {
    "run": [
        *("network=mini", "neuron=horse", "z1=3", "z2=4", "n=2", "K=2", "limits.seconds=1"),
        *("judge=null", "animation=false", "progress=false"),
    ],
    "probe": [
        *("network=mini", "neuron=horse", "seconds=1", "codes=4", "starts=2", "steps=1"),
        "progress=false",
    ],
    "list": ["layers", "network=mini"],
    "compare": [
        *["n=2", "use=[stream]", "seeds=[0]", "judge=null", "~fractions.low", "~fractions.middle"],
        "neurons=[{layer: fc8, neuron: [1]}]",
    ],
    "train network": ["data.train=nothing", "data.val=nothing", "out=trained"],
    "train generator": ["data.train=nothing", "data.val=nothing", "out=trained"],
    "fit prior": ["data=nothing", "out=fitted"],
    "fit reference": ["data=nothing", "out=fitted"],
    "fit spectrum": ["data=nothing", "out=fitted"],
    "report": [],
    "figure": [],
    "fetch": [],
}

NUMBERS = (
    *("0", "-0", "1", "-1", "1.5", "nan", "inf", "-inf", "1e999", "1e-999", "0x10", "1_0", "010"),
    *("9" * 30, "9" * 5000, str(2**63), str(-(2**63) - 1), "1e18", ".", "+", "1.10", "1e3"),
)
TEXTS = (
    *("", " ", "null", "true", "off", "???", "a b", "a,b", "a\nb", "#", "a: b", "&a", "*a", "!!a"),
    *("Größe", "日本", "🦊", "\u202eabc", "\ufeff", "\x1b[31m", "\x00", "a\x00b", "\udc80", "\r"),
    *("'", '"', "'a", "\"a'", "\\", "a\\", "\\'", "$", "$x$", "~", "~x", "=", "a=b", "(1)", "a(1)"),
    *("../..", "/dev/null", "/nowhere/x", ".", "-", "--", "x" * 300, "x/" * 200, "x" * 100_000),
    *("%s", "{0}", "{}", "{a}", "<b>", "&amp;", "*", "?", "cuda:99", "auto", "mini", "stream"),
)
LISTS = (
    *(
        "[]",
        "[1]",
        "[a,b]",
        "[[]]",
        "[null]",
        "[1,[2,[3]]]",
        "{a: 1}",
        "{a: {b: {c: 1}}}",
        "{1: 2}",
    ),
    *("[" * 50 + "]" * 50, "[" * 400 + "]" * 400, "{a: " * 60 + "1" + "}" * 60, "[1,", "{a:", "]"),
    *("{_target_: os.getcwd}", "{_target_: x}", "{_target_: 3}", "[{neuron: 1}]", "[{a: b}]"),
)
REFERENCES = (
    *("${%s}", "${.%s}", "${nothing}", "${..a}", "${}", "${", "${a", "$}", "${oc.env:NOTHING}"),
    *("${oc.env:HOME}", "${now:%%Y}", "${unused:x}", "${hydra:runtime.cwd}", "${oc.create:[1]}"),
    *(
        "${oc.decode:'['}",
        "${no_resolver:1}",
        "${network}",
        "a${%s}b",
        "${oc.select:%s}",
        "${sampler}",
    ),
)
CALLS = (
    *(
        "choice(1,2)",
        "range(1,3)",
        "range(3,1)",
        "range(1,2,0)",
        "interval(0,1)",
        "glob(*)",
        "int(x)",
    ),
    *(
        "sort(3,1,2)",
        "shuffle(1,2)",
        "str(1)",
        "float(nan)",
        "tag(a,choice(1))",
        "json_str(1)",
        "f()",
    ),
)
FLAGS = (
    *("-m", "--help", "--hydra-help", "--cfg", "job", "--cfg=job", "--resolve", "--package", "a.b"),
    *(
        "--info",
        "all",
        "--config-dir",
        "--config-name",
        "--resume",
        "-x",
        "--multirun=1",
        "--version",
    ),
    *("hydra.verbose=true", "hydra.job.chdir=true", "hydra.mode=MULTIRUN", "hydra.output_subdir=x"),
    *("hydra/launcher=x", "hydra.searchpath=[x]", "hydra.run.dir=x", "hydra.sweep.subdir=x", "-sc"),
    *("hydra.sweep.subdir=${x}", "hydra.callbacks=null", "hydra.job.name=1.10", "hydra=null", "-h"),
)


def keys(node: DictConfig, before: str = "") -> Iterator[str]:
    """Every option of a configuration, whole parts of it, too."""
    for key in node:
        yield f"{before}{key}"
        part = node._get_node(key)
        if isinstance(part, DictConfig) and not part._is_none():
            yield from keys(part, f"{before}{key}.")


def value(rng: random.Random, key: str) -> str:
    """A value of one of the kinds, or a piece of one behind another."""
    kind = rng.choice((NUMBERS, TEXTS, TEXTS, LISTS, REFERENCES, CALLS))
    text = rng.choice(kind)
    if kind is REFERENCES:
        text = text.replace("%s", key).replace("%%", "%")
    if rng.random() < 0.15:
        text += rng.choice((",", " ", "\\", "")) + rng.choice(rng.choice((NUMBERS, TEXTS, LISTS)))
    if rng.random() < 0.1:
        text = rng.choice((f"[{text}]", f"'{text}'", f'"{text}"', f"{{a: {text}}}", f" {text}"))
    return text


def word(rng: random.Random, known: list[str]) -> str:
    """What somebody may type behind a command."""
    key = rng.choice(known)
    if rng.random() < 0.1:
        return rng.choice(FLAGS)
    if rng.random() < 0.15:
        cut = rng.randrange(len(key) + 1)
        piece = rng.choice(("", ".", "@", "/", "x", "ö", "..", "_target_", "[0]", "=", "@x", ":"))
        key = f"{key[:cut]}{piece}{key[cut + rng.randrange(2) :]}"
    before = rng.choice(("",) * 12 + ("+", "++", "~", "+++", "~~", " ", "-"))
    form = rng.random()
    if form < 0.04:
        return f"{before}{key}"
    return value(rng, key) if form < 0.08 else f"{before}{key}={value(rng, key)}"


def command_line(seed: int, number: int, known: dict[str, list[str]]) -> list[str]:
    """The words of one case: those of a short command, and one to three at random."""
    rng = random.Random(f"{seed}:{number}")
    name = rng.choice((*BASE, "run", "run", "run"))
    count = rng.choice((1, 1, 1, 2, 3))
    words = [word(rng, known[name]) for _ in range(count)]
    return [*name.split(), *BASE[name], *words]


class Hang(BaseException):
    """The command did not end in time."""


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise Hang


def end(words: list[str]) -> tuple[str, str]:
    """How a command line ends: "" where all is well, or what is wrong; and what was printed."""
    told = io.StringIO()
    sys.argv = ["invset", *words]
    GlobalHydra.instance().clear()
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            cli.main()
        code: object = 0
    except SystemExit as error:
        code = error.code or 0
    except Hang:
        return f"no end after {SECONDS} s", told.getvalue()
    except BaseException:
        return "traceback", told.getvalue() + traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    text = told.getvalue()
    if re.search(r"^(Traceback \(most|[\w.]*Error:)", text, re.MULTILINE):
        return "traceback", text
    if code not in (0, 2, 3):
        return f"exit code {code}", text
    if code == 2 and "invset" not in text:
        return "no sentence", text
    return ("raw escape code" if "\x1b" in text or "\x00" in text else ""), text


def main() -> int:
    """Try so many command lines; return how many failed, at most 1."""
    first, alone, number = sys.argv[1].partition(":")
    seed = int(first if alone else [*sys.argv, "0"][2])
    numbers = [int(number)] if alone else range(int(first))
    obtain.unreachable = lambda urls: dict.fromkeys(urls, "no network")  # type: ignore[assignment]
    signal.signal(signal.SIGALRM, _hang)
    configured = {name: config for name, (_, config, _) in cli.COMMANDS.items()}
    known = {n: [*keys(compose(c))] if c else ["a", "mini", "x"] for n, c in configured.items()}
    failed = slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["INVSET_CACHE"] = f"{folder}/cache"
        import torch  # before memory is limited

        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * 4096
        resource.setrlimit(resource.RLIMIT_AS, (used + 4 * BYTES, resource.RLIM_INFINITY))
        for number in numbers:
            words = command_line(seed, number, known)
            began = time.monotonic()
            problem, text = end(words)
            slowest = max(slowest, time.monotonic() - began)
            os.chdir(folder)
            if problem or alone:
                failed += bool(problem)
                print(f"{number}: {problem}: {shlex.join(words)!r:.600}")
                print(f"{text[:700]}\n…\n{text[-1500:]}", flush=True)
        del torch
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{len(numbers)} command lines, {failed:.0f} failed, slowest {slowest:.1f} s, {peak:.1f} GB"
    )
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())

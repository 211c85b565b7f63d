"""(f) How long `invset --help` and `invset run --help` take, whole processes, beside a Python that
does nothing.

    python benchmarks/startup.py [--repeats 10]

Every repeat starts each of them once, in turn. Told are seconds, by the clock that counts, and
which heavy packages were imported (in a start of its own, by `-X importtime`): help needs neither
torch nor NumPy. What `invset run --help` takes is Hydra's, so a program that only imports Hydra is
timed too. The goal is 0.4 s for each of the two.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from common import Spread, begin, parser, side_by_side_processes, write

GOAL = 0.4
HEAVY = ("torch", "torchvision", "numpy", "matplotlib", "scipy", "PIL")


def commands() -> dict[str, list[str]]:
    """What is started, by name."""
    script = Path(sysconfig.get_path("scripts")) / "invset"
    if not script.exists():
        raise SystemExit(
            f"there is no {script}: install invset where this Python finds it (make install)"
        )
    python = [sys.executable]
    return {
        "python -c pass": [*python, "-c", "pass"],
        "import hydra": [*python, "-c", "import hydra, hydra._internal.hydra"],
        "invset --help": [*python, str(script), "--help"],
        "invset run --help": [*python, str(script), "run", "--help"],
    }


def imported(command: list[str]) -> list[str]:
    """Which of `HEAVY` a command imports."""
    done = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    names = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    return [name for name in HEAVY if name in names]


def main() -> None:
    """Measure, print and write."""
    arguments = parser(__doc__, "startup", repeats=20).parse_args()
    clock = begin(arguments)
    found = commands()
    times = side_by_side_processes(
        found, arguments.repeats, clock, "starts of Python, Hydra, invset"
    )
    results: dict[str, Any] = {}
    for name, t in times.items():
        heavy = imported(found[name])
        results[name] = {**t.as_dict(times["python -c pass"]), "imports": heavy}
        seconds = Spread.of(ms / 1000 for ms in t.milliseconds)
        verdict = (
            f"   goal {GOAL} s: {'met' if seconds.median <= GOAL else 'missed'}"
            if name.startswith("invset")
            else ""
        )
        print(
            f"{name:18} {seconds} s {clock}   imports {', '.join(heavy) or 'none'} of"
            f" {', '.join(HEAVY)}{verdict}"
        )
    write(arguments, results)


if __name__ == "__main__":
    main()

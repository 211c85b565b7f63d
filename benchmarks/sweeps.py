"""Neurons a minute of CPU time: one process a neuron, one sweep in one process, the same with
shared passes, joblib's launcher.

    python benchmarks/sweeps.py [NEURONS] [WORD ...]

Counted is the CPU time of all processes (user and system), which other work on the machine hardly
changes; words are options of `invset run`, such as report=true.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

WORDS = ("network=mini", "z1=2", "z2=6", "n=20", "judge=null", "progress=false")

#: Jobs that share passes.
SHARED = 8

QUICK = ("report=false", "animation=false")


def invset(folder: Path, *words: str) -> float:
    """CPU seconds of a command and its children."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "invset", "run", *WORDS, *words]
    subprocess.run(command, cwd=folder, env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Time the four ways and print what a neuron costs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    more = sys.argv[2:] or list(QUICK)
    swept = ["-m", "neuron=1..10", f"seed=0..{(count - 1) // 10}", *more]
    jobs = 10 * ((count - 1) // 10 + 1)
    ways = {
        "one process": [],
        "one process, shared passes": [f"together={SHARED}"],
        "joblib, 2 workers": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    }
    print(f"{jobs} neurons of mini, n=20, {' '.join(more)}")
    with tempfile.TemporaryDirectory() as where:
        # a few of them say what one costs
        some = range(0, jobs, max(6, jobs // 4))
        first = sum(
            invset(
                Path(where),
                *(f"neuron={i % 10 + 1}", f"seed={i // 10}", *more, f"hydra.run.dir={where}/{i}"),
            )
            for i in some
        ) / len(some)
        tell("one process a neuron", first, first)
        for way, words in ways.items():
            folder = Path(where, way)
            took = invset(Path(where), *swept, *words, f"hydra.sweep.dir='{folder}'")
            tell(way, took / jobs, first)


def tell(way: str, seconds: float, first: float) -> None:
    """Print what a neuron costs in CPU seconds, beside the first way."""
    print(
        f"{way:26} {seconds:5.2f} CPU s a neuron, {60 / seconds:4.0f} a minute and core,"
        f" {first / seconds:.1f} times the first",
        flush=True,
    )


if __name__ == "__main__":
    main()

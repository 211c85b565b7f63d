"""Neurons a minute of CPU time: one process a neuron, one sweep in one process, joblib's launcher.

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
    """Time the three ways and print what a neuron costs."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    more = sys.argv[2:] or list(QUICK)
    neurons = [f"neuron={i % 10 + 1}" for i in range(count)]
    seeds = [f"seed={i // 10}" for i in range(count)]
    swept = ["-m", "neuron=1..10", f"seed=0..{(count - 1) // 10}", *more]
    jobs = 10 * ((count - 1) // 10 + 1)
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        # a sixth of them says what one costs
        some = range(0, count, 6)
        each = sum(
            invset(folder, neurons[i], seeds[i], *more, f"hydra.run.dir={folder}/each/{i}")
            for i in some
        )
        took = {"one process a neuron": each / len(some)}
        took["one process"] = invset(folder, *swept, f"hydra.sweep.dir={folder}/one") / jobs
        joblib = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
        took["joblib, 2 workers"] = (
            invset(folder, *swept, *joblib, f"hydra.sweep.dir={folder}/joblib") / jobs
        )
    first = took["one process a neuron"]
    print(f"{count} neurons of mini, n=20, {' '.join(more)}")
    for name, seconds in took.items():
        print(
            f"{name:22} {seconds:5.2f} CPU s a neuron, {60 / seconds:4.0f} a minute and core,"
            f" {first / seconds:.1f} times the first"
        )


if __name__ == "__main__":
    main()

"""Kill a sweep (SIGKILL, every process of it) at random moments, type its command again each time,
and compare what is there in the end with a sweep that nobody disturbed.

    python tests/stress/sweeps.py JOBS KILLS [LAUNCHER] [SEED]

LAUNCHER is basic, joblib or submitit_local. Printed are the steps of samplers that were taken more
than once, as a share of those of the undisturbed sweep.
"""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kills import ROOT, content

#: A job takes about a second.
WORDS = (
    *("network=mini", "z1=2", "z2=6", "K=4", "n=24", "judge=null", "report=false"),
    *("animation=false", "progress=false", "checkpoint_seconds=0.05"),
)

LAUNCHERS: dict[str, tuple[str, ...]] = {
    "basic": (),
    "joblib": ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
    # each job is a process, begun at once: 60 of PyTorch would not fit into memory
    "submitit_local": ("hydra/launcher=submitit_local", "hydra.sweeper.max_batch_size=2"),
}

#: In every process of Python that is begun with this folder on its path: steps are counted.
COUNTING = """
import importlib.abc, importlib.util, os, sys

class Counting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "invset.samplers.stream":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            step = module.Stream.step
            def counted(*words):
                fd = os.open(os.environ["STEPS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.write(fd, b".")
                os.close(fd)
                return step(*words)
            module.Stream.step = counted
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Counting())
"""


def begin(words: list[str], folder: Path, steps: Path) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    env["STEPS"] = str(steps)
    log = (folder / "log.txt").open("ab")
    command = [sys.executable, "-m", "invset", *words]
    # a group of its own: every process of the sweep is killed
    return subprocess.Popen(
        command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
    )


def results(folder: Path) -> dict[str, str]:
    """The files of a sweep, but for what submitit writes of its own."""
    found = content(folder)
    return {name: held for name, held in found.items() if not name.startswith(".submitit/")}


def main() -> None:
    jobs, kills = int(sys.argv[1]), int(sys.argv[2])
    launcher = sys.argv[3] if len(sys.argv) > 3 else "basic"
    rng = random.Random(sys.argv[4] if len(sys.argv) > 4 else "0")
    neurons, seeds = range(1, 11), range((jobs + 9) // 10)
    words = ["run", "-m", *WORDS, *LAUNCHERS[launcher], f"neuron={','.join(map(str, neurons))}"]
    words.append(f"seed={','.join(map(str, seeds))}")
    with tempfile.TemporaryDirectory() as where:
        folder = Path(where)
        (folder / "sitecustomize.py").write_text(COUNTING, encoding="utf-8")
        whole, cut = folder / "whole", folder / "cut"
        begun = time.monotonic()
        code = begin([*words, f"hydra.sweep.dir={whole}"], folder, folder / "steps").wait()
        lasted = time.monotonic() - begun
        typed = [*words, f"hydra.sweep.dir={cut}"]
        done = 0
        while done < kills:
            process = begin(typed, folder, folder / "cut-steps")
            try:
                process.wait(timeout=2 + rng.random() * 2 * lasted / kills)
                break  # it has ended by itself
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                done += 1
        again = begin(typed, folder, folder / "cut-steps").wait()
        alone, all_steps = (len((folder / name).read_bytes()) for name in ("steps", "cut-steps"))
        a, b = results(whole), results(cut)
        other = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))
        with (cut / "sweep.csv").open(encoding="utf-8") as file:
            rows = [row["status"] for row in csv.DictReader(file)]
        print(
            f"{launcher}: {len(rows)} of {len(neurons) * len(seeds)} jobs in the table, exit codes"
            f" {code} and {again}, {done} kills, {all_steps} steps for {alone}:"
            f" {all_steps / alone - 1:.1%} repeated; {len(other)} files differ {other[:4]}"
        )
        log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        if other or "Traceback" in log:
            print(log[-2000:])
        sys.exit(bool(other or code != again or len(rows) != len(neurons) * len(seeds)))


if __name__ == "__main__":
    main()

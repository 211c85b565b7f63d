"""What the folder of a sweep of 1,000 jobs costs to read: `invset status`, `invset collect` and the
joined page, in CPU time; bytes of the page.

    python benchmarks/thousand.py [JOBS] [FOLDER]

Ten neurons of `network=mini` are sampled with n=20. Their folders are copied under other seeds
until there are so many jobs. A FOLDER that is there is taken as it is.
"""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

WORDS = "network=mini z1=2 z2=6 n=20 judge=null report=false animation=false progress=false"

#: Neurons that are sampled.
NEURONS = 10


def invset(*words: str) -> float:
    """CPU seconds of a command and its children."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "invset", *words]
    subprocess.run(command, env=env, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make(sweep: Path, count: int) -> None:
    """Sample, and copy until there are `count` jobs."""
    invset("run", "-m", *WORDS.split(), f"neuron=1..{NEURONS}", f"hydra.sweep.dir={sweep}")
    lists = {name: sweep / ".invset" / f"{name}.jsonl" for name in ("jobs", "plan")}
    jobs, plan = (
        [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for file in lists.values()
    )
    head, planned = plan[0], plan[1:]
    for number in range(NEURONS, count):
        seed, first = divmod(number, NEURONS)
        folder = sweep / str(number)
        shutil.copytree(sweep / str(first), folder)
        words = [*jobs[first]["words"], f"seed={seed}"]
        text = "".join(f"- {json.dumps(word)}\n" for word in words)
        (folder / ".hydra" / "overrides.yaml").write_text(text, encoding="utf-8")
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        summary |= {"command": f"invset run {shlex.join(words)}", "seed": seed}
        (folder / "summary.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
        own = {"identity": f"{number:032x}", "words": words}
        jobs.append({**jobs[first], **own, "number": number, "folder": str(number)})
        planned.append(own)
    for file, rows in ((lists["jobs"], jobs), (lists["plan"], [head, *planned])):
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Make the folder and time what reads it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as where:
        sweep = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(where) / "sweep"
        if not sweep.exists():
            make(sweep, count)
        table = f"out={where}/samples.csv"
        print(f"{count} jobs of mini, n=20")
        print(f"status  {invset('status', str(sweep)):5.1f} CPU s")
        print(
            f"collect {invset('collect', str(sweep), table, f'runs={where}/runs.csv'):5.1f} CPU s"
        )
        took = invset("report", str(sweep), "jobs=false")
        size = (sweep / "report.html").stat().st_size
        print(f"page    {took:5.1f} CPU s, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

"""How long an atlas takes on a cluster: every unit of a network, several ranges each. A simulation
of jobs on workers, with start-up, preemption, saved states and one shared file system.

    python benchmarks/atlas.py [--units 42664] [--workers 8 800] [--code-step 1.35e-3] …

A worker takes a job, works on it, writes its files and takes the next. A worker that is preempted
loses what its job did since the last saved state; the job goes back to the queue. Files are written
through one server that makes so many a second. Without preemption the time has a closed form, which
stands beside the simulation. Every number of the model is an option; ``--help`` says which defaults
were measured, and which are assumed.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
from collections import deque
from dataclasses import dataclass, replace

#: Bytes of a sample of 224 pixels on the disk, without pages and animations. Measured: 72 kB of a
#: PNG (generator=spectrum) and 15 kB of its cell in samples.png. Counted: a code of 4,096 numbers,
#: an encoding of 2,048, and a row of a table.
BYTES = {"pictures": 87e3, "codes": 25e3, "all": 112e3}

#: Files of a job beside its pictures. Counted.
FILES = 12


@dataclass(frozen=True)
class Cluster:
    """What the simulation knows; times are in seconds.

    Attributes:
        workers: that work at once.
        start_up: from a process's start until its first job begins.
        save_every: work between two saved states.
        save: a state takes to be saved.
        rate: preemptions of a worker a second.
        away: from a preemption until the worker starts again.
        making: the shared file system takes for the files of a job.
    """

    workers: int
    start_up: float = 0.0
    save_every: float = math.inf
    save: float = 0.0
    rate: float = 0.0
    away: float = 0.0
    making: float = 0.0

    def with_saves(self, work: float) -> float:
        """How long work takes with its states; none is saved at its end."""
        return work + self.save * max(0, math.ceil(work / self.save_every) - 1)

    def saved(self, took: float) -> float:
        """Work whose state is saved after so long."""
        if math.isinf(self.save_every):
            return 0.0
        return math.floor(took / (self.save_every + self.save)) * self.save_every


@dataclass(frozen=True)
class Outcome:
    """What a simulation gave; times in seconds.

    Attributes:
        makespan: until the last job's files are written.
        lost: work that was done again, of all workers.
        waited: for the file system, of all workers.
        preempted: preemptions of workers that worked.
    """

    makespan: float
    lost: float
    waited: float
    preempted: int


def simulate(cluster: Cluster, work: float, jobs: int, seed: int = 0) -> Outcome:
    """Let the workers do jobs that take `work` seconds each.

    Only work is preempted: writing files is short, and a worker that starts has nothing to lose.
    """
    rng = random.Random(seed)
    queue = deque([work] * jobs)
    # time, worker, work that is done at that time (None: the worker is free)
    events: list[tuple[float, int, float | None]] = [
        (cluster.start_up, worker, None) for worker in range(cluster.workers)
    ]
    idle: deque[int] = deque()
    files_free = makespan = lost = waited = 0.0
    preempted = 0
    while events:
        now, worker, done = heapq.heappop(events)
        if done is not None:  # the job's files
            begun = max(now, files_free)
            files_free = begun + cluster.making
            waited += begun - now
            makespan = max(makespan, files_free)
            heapq.heappush(events, (files_free, worker, None))
            continue
        if not queue:
            idle.append(worker)
            continue
        left = queue.popleft()
        takes = cluster.with_saves(left)
        after = rng.expovariate(cluster.rate) if cluster.rate else math.inf
        if after >= takes:
            heapq.heappush(events, (now + takes, worker, left))
            continue
        preempted += 1
        kept = min(cluster.saved(after), left)
        lost += after - kept
        at = now + after
        queue.append(left - kept)
        heapq.heappush(events, (at + cluster.away + cluster.start_up, worker, None))
        if idle:  # takes the job as soon as it is back in the queue
            heapq.heappush(events, (at, idle.popleft(), None))
    return Outcome(makespan, lost, waited, preempted)


def closed_form(cluster: Cluster, work: float, jobs: int) -> float:
    """The makespan without preemption, exactly.

    Workers end their first jobs together and write one after another, so that from then on they are
    apart by one writing. If they write more slowly than they work, the file system never rests.
    """
    each, making = cluster.with_saves(work), cluster.making
    if cluster.workers * making >= each + making:
        return cluster.start_up + each + jobs * making
    rounds = math.ceil(jobs / cluster.workers)
    return cluster.start_up + rounds * (each + making) + (jobs - 1) % cluster.workers * making


def expected(cluster: Cluster, work: float) -> float:
    """Mean time of a job on one worker that is preempted, from its start.

    Each part between two states is repeated until it is done. A part of t seconds is done at once
    with probability exp(-rate t), so it is preempted exp(rate t) - 1 times in the mean; and the
    mean time of it all is (1 / rate + the way back) times that.
    """
    parts = max(1, math.ceil(work / cluster.save_every))
    lengths = [cluster.save_every + cluster.save] * (parts - 1)
    lengths.append(work - (parts - 1) * cluster.save_every if parts > 1 else work)
    back = cluster.away + cluster.start_up
    return sum((1 / cluster.rate + back) * math.expm1(cluster.rate * one) for one in lengths)


def parsed() -> argparse.Namespace:
    """What was typed."""
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    numbers = {
        "units": (42664, "units or features; default: ResNet-50's, counted"),
        "ranges": (4, "ranges of each"),
        "samples": (100, "samples of each range"),
        "code-steps": (4.35, "code-steps a sample; measured: stream, embedded pair"),
        "code-step": (1.35e-3, "seconds of a code-step; assumed: 27 GFLOP at 20 TFLOP/s"),
        "after": (0.01, "seconds a sample of analyses and tables; measured on a core"),
        "drawing": (0.022, "seconds of a picture, none with keep=codes; measured: 224 pixels"),
        "job": (0.25, "seconds of a job beside its samples; measured on a core"),
        "start-up": (4.0, "seconds of a process before its first job; measured"),
        "files": (3.0, "operations of the file system a file; counted: make, rename, list"),
        "operations": (5000.0, "of them a second that it does; assumed"),
        "save-every": (30.0, "seconds between two states; checkpoint_seconds"),
        "save": (0.05, "seconds of a saved state; assumed"),
        "preemptions": (0.05, "of a worker an hour; assumed"),
        "away": (120.0, "seconds until a preempted worker is back; assumed"),
        "price": (2.0, "of a worker an hour; assumed"),
    }
    for name, (default, about) in numbers.items():
        found.add_argument(f"--{name}", type=type(default), default=default, help=about)
    found.add_argument("--workers", type=int, nargs="+", default=[8, 800], help="GPUs")
    keep = "what stays; bytes a sample at 224 pixels: " + str(BYTES)
    found.add_argument("--keep", choices=tuple(BYTES), default="pictures", help=keep)
    found.add_argument("--bytes", type=float, default=None, help="a sample, in place of these")
    found.add_argument("--each", action="store_true", help="a process for each job, which starts")
    return found.parse_args()


def main() -> None:
    """Simulate, and print a row for each number of workers."""
    typed = parsed()
    jobs = typed.units * typed.ranges
    sampling = typed.samples * typed.code_steps * typed.code_step
    after = typed.after + (0 if typed.keep == "codes" else typed.drawing)
    work = sampling + typed.samples * after + typed.job
    work += typed.start_up if typed.each else 0
    files = FILES + (0 if typed.keep == "codes" else typed.samples)
    size = BYTES[typed.keep] if typed.bytes is None else typed.bytes
    making = files * typed.files / typed.operations
    print(f"{jobs:,} jobs, {jobs * typed.samples:,} samples, ", end="")
    print(f"{jobs * typed.samples * size / 1e12:.2f} TB, {jobs * files:,} files")
    print(f"a job: {work:.2f} s, of which sampling {sampling:.2f} s; its files {making:.3f} s")
    print("| workers | hours | closed form, no preemption | lost | waited for files | price |")
    print("|---" * 6 + "|")
    for workers in typed.workers:
        cluster = Cluster(
            workers,
            typed.start_up,
            typed.save_every,
            typed.save,
            typed.preemptions / 3600,
            typed.away,
            making,
        )
        found = simulate(cluster, work, jobs)
        whole = workers * found.makespan
        exact = closed_form(replace(cluster, rate=0.0), work, jobs)
        print(
            f"| {workers} | {found.makespan / 3600:.2f} | {exact / 3600:.2f} |"
            f" {found.lost / whole:.2%} | {found.waited / whole:.1%} |"
            f" {typed.price * whole / 3600:,.0f} |"
        )


if __name__ == "__main__":
    main()

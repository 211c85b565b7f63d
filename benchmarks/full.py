"""(e) Time and memory of eq. (6)/(16) for all n codes together (`sampler=full`), n = 100, 1,000,
10,000, on the embedded pair.

    python benchmarks/full.py [--n 100 1000 10000] [--K 10] [--repeats 3] [--threads 2]

Every n of every repeat is a process of its own. It takes gradient steps with K codes in memory at a
time and tells

- milliseconds of a code-step, which is twice forwards and once backwards, by the clock and of the
  CPU (the latter hardly minds other work on the machine). Linear time: the same for every n;
- the peak of its resident memory (getrusage), less what must grow with n (codes, encodings of those
  inside, Adam's averages, f, lambda; once before the round and once after). Constant memory: the
  same for every n, the target is 1.2 times that of the first.

Printed are medians, and median and quartiles of the ratios to the first n in the same repeat.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import replace
from typing import Any

import torch
from common import Spread, bar, begin, in_a_process, parser, write

from invset import Neuron, Problem, mini_generator, mini_network
from invset.problem.allocator import keep_freed_memory
from invset.samplers.base import Limits, Status
from invset.samplers.drive import drive
from invset.samplers.full import Full

#: Figures that are to be the same for every n.
RATIOS = ("milliseconds_a_code_step", "cpu_milliseconds_a_code_step", "peak_less_stored_mib")


def one(n: int, K: int, threads: int) -> dict[str, float]:
    """Take at least one gradient step of n codes and, for small n, 1,000 code-steps."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    problem = Problem(
        mini_network(),
        mini_generator(),
        encoder="fc6",
        neurons=[Neuron("fc8", "horse", range=(8, 10))],
    )
    rng = torch.Generator().manual_seed(0)
    loaded = _peak()
    target = problem.target(problem.region("natural"))
    sampler = Full(K=K, n=n, inner_steps=1)
    first = drive(sampler, target, rng, limits=Limits(code_steps=1))
    steps = max(1, 1000 // n)
    start, busy = time.perf_counter(), time.process_time()
    going = replace(first, status=Status.RUNNING)
    per_step = first.meter.code_steps - n / 3  # less the look at the start
    limits = Limits(code_steps=first.meter.code_steps + (steps - 0.5) * per_step)
    run = drive(sampler, target, rng, going, limits=limits)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    assert run.kept is not None
    tensors = [run.state.u, run.state.f, run.state.lambda_, run.kept.u, run.kept.f, run.kept.e]
    stored = 2 * sum(t.nbytes for t in [*tensors, *run.state.memory.values()])
    peak = _peak()
    return {
        "seconds_a_step": seconds / steps,
        "milliseconds_a_code_step": 1000 * seconds / steps / n,
        "cpu_milliseconds_a_code_step": 1000 * busy / steps / n,
        "loaded_mib": loaded / 2**20,
        "peak_mib": peak / 2**20,
        "stored_mib": stored / 2**20,
        "peak_less_stored_mib": (peak - stored) / 2**20,
    }


def _peak() -> int:
    """Most bytes of resident memory so far; the unit of getrusage differs between systems."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def summarize(repeats: list[dict[str, float]], first: list[dict[str, float]]) -> dict[str, Any]:
    """Median and quartiles of each figure, and of its ratio to the first n in the same repeat."""
    return {
        name: {
            "median": Spread.of(r[name] for r in repeats).median,
            "ratio": (
                Spread.of(r[name] / f[name] for r, f in zip(repeats, first, strict=True)).as_dict()
            ),
            "values": [r[name] for r in repeats],
        }
        for name in repeats[0]
    }


def table(results: dict[int, dict[str, Any]]) -> list[str]:
    """A line for each n, under a line of names."""
    columns = (
        ("seconds_a_step", 2),
        ("milliseconds_a_code_step", 2),
        ("cpu_milliseconds_a_code_step", 2),
    )
    columns += (("peak_mib", 0), ("stored_mib", 1), ("peak_less_stored_mib", 0))
    lines = [" | ".join(["n", *(name.replace("_", " ") for name, _ in columns)])]
    for n, r in results.items():
        cells = [f"{r[name]['median']:.{digits}f}" for name, digits in columns]
        # seconds of a step grow with n and what is stored too: of these no ratio is told
        told = [f" ({Spread(**r[name]['ratio'])})" if name in RATIOS else "" for name, _ in columns]
        lines.append(
            " | ".join([str(n), *(cell + ratio for cell, ratio in zip(cells, told, strict=True))])
        )
    return lines


def main() -> None:
    """Measure, print a table and write the file."""
    arguments_ = parser(__doc__, "full", repeats=3)
    arguments_.add_argument(
        "--n", type=int, nargs="+", default=[100, 1000, 10000], help="numbers of codes"
    )
    arguments_.add_argument("--K", type=int, default=10, help="codes in memory at a time")
    arguments_.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = arguments_.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one, arguments.K, arguments.threads)))
        return
    begin(arguments)
    words = ["--K", arguments.K, "--threads", arguments.threads]
    found: dict[int, list[dict[str, float]]] = {n: [] for n in arguments.n}
    for _ in bar(
        range(arguments.repeats), f"processes with n = {', '.join(map(str, arguments.n))}"
    ):
        for n, repeats in found.items():
            repeats.append(in_a_process(__file__, ["--one", n, *words]))
    results = {n: summarize(repeats, found[arguments.n[0]]) for n, repeats in found.items()}
    print("\n".join(table(results)))
    write(arguments, results)


if __name__ == "__main__":
    main()

"""Time and memory of eq. (6)/(16) for all n codes together (`sampler=full`), n = 100, 1,000, 10,000, on the embedded pair.

    python benchmarks/full.py [--n 100 1000 10000] [--K 10] [--repeats 3] [--threads 2] [--out outputs/bench/full.json]

Every repeat of every n is a process of its own. It takes gradient steps with K codes in memory at a time and tells

- milliseconds of a code-step, which is twice forwards and once backwards, by the clock and of the CPU (the latter hardly minds other
  work on the machine). Linear time: the same for every n;
- the peak of its resident memory (getrusage), less what must grow with n (codes, encodings of those inside, Adam's averages, f,
  lambda; once before the round and once after). Constant memory: the same for every n, the target is 1.2 times that of the first.

Printed are medians, ratios to the first n, and in brackets the spread over the repeats (largest less smallest, as a share of the median).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def one(n: int, K: int, threads: int) -> dict[str, float]:
    """Take at least one gradient step of n codes and, for small n, 1,000 code-steps."""
    import torch

    from invset import Neuron, Problem, mini_generator, mini_network
    from invset.allocator import keep_freed_memory
    from invset.samplers.full import Full

    keep_freed_memory()
    torch.set_num_threads(threads)
    problem = Problem(mini_network(), mini_generator(), encoder="fc6", neurons=[Neuron("fc8", "horse", range=(8, 10))])
    rng = torch.Generator().manual_seed(0)
    loaded = _peak()
    target, sampler = problem.inverse_set(problem.region("natural")), Full(K=K, n=n, inner_steps=1)
    state, _ = sampler.round(target, sampler.init(target, rng), rng)
    steps = max(1, 1000 // n)
    start, busy = time.perf_counter(), time.process_time()
    for _ in range(steps):
        state, _ = sampler.round(target, state, rng)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    tensors = [state.u, state.kept.u, state.kept.f, state.kept.e, *(state.extra[name] for name in ("f", "lambda_"))]
    stored = 2 * sum(t.nbytes for t in [*tensors, *state.extra["memory"].values()])
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
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_a_process(n: int, arguments: argparse.Namespace) -> dict[str, float]:
    """The same in a process of its own, so that its peak is its own."""
    words = [sys.executable, __file__, "--one", str(n), "--K", str(arguments.K), "--threads", str(arguments.threads)]
    return json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)


def summarize(repeats: list[dict[str, float]]) -> dict[str, Any]:
    """Median and spread of each figure."""
    summary = {}
    for name in repeats[0]:
        values = [repeat[name] for repeat in repeats]
        median = statistics.median(values)
        summary[name] = {"median": median, "spread": (max(values) - min(values)) / median, "values": values}
    return summary


def main() -> None:
    """Measure, print a table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, nargs="+", default=[100, 1000, 10000], help="numbers of codes")
    parser.add_argument("--K", type=int, default=10, help="codes in memory at a time")
    parser.add_argument("--repeats", type=int, default=3, help="processes for each n")
    parser.add_argument("--threads", type=int, default=2, help="threads of torch")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one(arguments.one, arguments.K, arguments.threads)))
        return
    results: dict[int, dict[str, Any]] = {}
    print("     n   s a step   ms a code-step    ratio      CPU ms      ratio   peak MiB   stored MiB   peak less stored    ratio")
    for n in arguments.n:
        results[n] = r = summarize([in_a_process(n, arguments) for _ in range(arguments.repeats)])
        first, names = results[arguments.n[0]], ("milliseconds_a_code_step", "cpu_milliseconds_a_code_step", "peak_less_stored_mib")
        cost, busy, memory = (r[name] for name in names)
        for name in names:
            r[name]["ratio"] = r[name]["median"] / first[name]["median"]
        print(
            f"{n:6d} {r['seconds_a_step']['median']:10.2f} {cost['median']:10.2f} ({cost['spread']:3.0%}) {cost['ratio']:8.2f} "
            f"{busy['median']:10.2f} ({busy['spread']:3.0%}) {busy['ratio']:6.2f} "
            f"{r['peak_mib']['median']:10.0f} {r['stored_mib']['median']:12.1f} {memory['median']:12.0f} ({memory['spread']:3.0%}) "
            f"{memory['ratio']:8.2f}",
            flush=True,
        )
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        about = {"K": arguments.K, "threads": arguments.threads, "repeats": arguments.repeats}
        arguments.out.write_text(json.dumps({**about, "n": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""A pass of K codes, forwards and backwards, with the options of `runtime:`, side by side.

    python benchmarks/runtime.py [--pair mini caffenet] [--K 10] [--repeats 10] [--threads 2] \
        [--compile]

Every repeat takes one pass with each option in turn and divides its time by that of float32 without
options ("off"); printed are the median of these ratios and their quartiles. `caffenet` is CaffeNet
with PPGN's generator, of random weights. `--compile` adds runtime.compile=true, which takes a
minute to begin. The last line is about the allocator's thresholds (invset/allocator.py), with and
without, each in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections.abc import Callable
from typing import Any

import torch
from common import Spread, bar, begin, in_a_process, pair, parser, side_by_side, some_codes, write

from invset import Neuron, Problem
from invset.problem.allocator import keep_freed_memory
from invset.problem.runtime import Runtime


def stepper(name: str, K: int, **options: Any) -> Callable[[], None]:
    """A function that takes one pass and its gradient."""
    network, generator = pair(name)
    problem = Problem(
        network,
        generator,
        encoder="fc6",
        neurons=[Neuron("fc8", 1, range=(0, 1))],
        runtime=Runtime(**options),
    )
    codes = some_codes(generator, K)

    def step() -> None:
        u = codes.clone().requires_grad_()
        f, e = problem.evaluate(u)
        torch.autograd.grad(f.sum() + e.sum(), u)

    return step


def options(K: int, compiled: bool) -> dict[str, dict[str, Any]]:
    """Names and options; the first is what the others are divided by."""
    known: dict[str, dict[str, Any]] = {
        "off": {"channels_last": False},
        "channels_last": {"channels_last": True},
        "bf16": {"autocast": "bf16", "channels_last": False},
        "bf16, channels_last": {"autocast": "bf16", "channels_last": True},
        "micro_batch": {"micro_batch": max(1, K // 2), "channels_last": False},
    }
    return {**known, "compile": {"compile": True, "channels_last": False}} if compiled else known


def faults(name: str, K: int, keep: bool) -> dict[str, float]:
    """CPU milliseconds, those of them in the kernel, and page faults of a pass, with the
    allocator's thresholds or without.
    """
    if keep:
        keep_freed_memory()
    step, passes = stepper(name, K), 5
    step()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(passes):
        step()
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return {
        "milliseconds": 1000 * (user + system) / passes,
        "kernel_milliseconds": 1000 * system / passes,
        "page_faults": (after.ru_minflt - before.ru_minflt) / passes,
    }


def allocator(name: str, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Medians over processes that come in turns."""
    words = ["--pair", name, "--K", arguments.K, "--threads", arguments.threads, "--faults"]
    found: dict[str, list[dict[str, float]]] = {"as it is": [], "thresholds raised": []}
    for _ in bar(range(5), f"{name}: processes with and without the allocator's thresholds"):
        for which, runs in found.items():
            runs.append(in_a_process(__file__, [*words, which]))
    return {
        which: {k: Spread.of(run[k] for run in runs).median for k in runs[0]}
        for which, runs in found.items()
    }


def main() -> None:
    """Measure, print tables and write the file."""
    arguments_ = parser(__doc__, "runtime", pairs=True)
    arguments_.add_argument("--compile", action="store_true", help="runtime.compile=true too")
    arguments_.add_argument("--faults", help=argparse.SUPPRESS)
    arguments = arguments_.parse_args()
    clock = begin(arguments)
    if arguments.faults:
        print(
            json.dumps(
                faults(arguments.pair[0], arguments.K, arguments.faults == "thresholds raised")
            )
        )
        return
    results: dict[str, Any] = {}
    for name in arguments.pair:
        memory = allocator(name, arguments)
        keep_freed_memory()
        steps = {
            label: stepper(name, arguments.K, **chosen)
            for label, chosen in options(arguments.K, arguments.compile).items()
        }
        times = side_by_side(steps, arguments.repeats, clock, f"{name}: passes with each option")
        first = times["off"]
        results[name] = {
            "options": {label: t.as_dict(first) for label, t in times.items()},
            "allocator": memory,
        }
        for label, t in times.items():
            print(
                f"{name:9} {label:20} {Spread.of(t.milliseconds).median:7.0f} ms {clock}   ratio"
                f" {t.over(first)}"
            )
        for label, r in memory.items():
            kernel = (
                f"{r['kernel_milliseconds']:.1f} in the kernel, {r['page_faults']:.0f} page faults"
            )
            print(f"{name:9} allocator {label:18} {r['milliseconds']:7.0f} ms cpu, {kernel}")
    write(arguments, results)


if __name__ == "__main__":
    main()

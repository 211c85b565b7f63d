"""A pass of K codes, forwards and backwards, with the options of `runtime:`, side by side.

    python benchmarks/runtime.py [--pair mini caffenet] [--K 10] [--repeats 10] [--threads 1] [--compile] [--out FILE]

Every repeat takes one pass with each option in turn and divides its CPU time by that of float32 without options ("off"); printed are
the median of these ratios and their quartiles. `caffenet` is CaffeNet with PPGN's generator, of random weights. `--compile` adds
runtime.compile=true, which takes a minute to begin. The last line is about the allocator's thresholds (invset/allocator.py), with
and without, each in processes of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def pair(name: str) -> tuple[Any, Any]:
    """The network and the generator."""
    import torch

    from invset import mini_generator, mini_network
    from invset.models.caffenet import CaffeNet
    from invset.models.generator import Generator
    from invset.models.network import Network
    from invset.models.upconv_fc6 import UpConvFc6

    if name == "mini":
        return mini_network(), mini_generator()
    torch.manual_seed(0)
    aliases = {"fc6": "relu6", "fc7": "relu7"}
    network = Network(CaffeNet(), name=name, image_size=227, aliases=aliases, output="fc8", encoder="fc6")
    return network, Generator(UpConvFc6(), 4096)


def stepper(name: str, K: int, **options: Any) -> Callable[[], None]:
    """A function that takes one pass and its gradient."""
    import torch

    from invset import Neuron, Problem
    from invset.runtime import Runtime

    network, generator = pair(name)
    problem = Problem(network, generator, encoder="fc6", neurons=[Neuron("fc8", 1, range=(0, 1))], runtime=Runtime(**options))
    codes = torch.randn(K, generator.code_dim, generator=torch.Generator().manual_seed(0)).clamp_min(0)

    def step() -> None:
        u = codes.clone().requires_grad_()
        f, e = problem.evaluate(u)
        torch.autograd.grad(f.sum() + e.sum(), u)

    step()
    step()
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


def side_by_side(steps: dict[str, Callable[[], None]], repeats: int) -> dict[str, dict[str, Any]]:
    """CPU milliseconds of each, and ratios to the first in the same repeat."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.process_time()
            step()
            taken[name].append(1000 * (time.process_time() - start))
    first = taken[next(iter(taken))]
    ratios = {name: [mine / theirs for mine, theirs in zip(times, first, strict=True)] for name, times in taken.items()}
    quartiles = {name: statistics.quantiles(values, n=4) for name, values in ratios.items()}
    return {
        name: {"milliseconds": statistics.median(taken[name]), "ratio": quartiles[name][1], "quartiles": quartiles[name][::2]}
        for name in steps
    }


def faults(name: str, K: int, keep: bool) -> dict[str, float]:
    """CPU milliseconds, those of them in the kernel, and page faults of a pass, with the allocator's thresholds or without."""
    from invset.allocator import keep_freed_memory

    if keep:
        keep_freed_memory()
    step, passes = stepper(name, K), 5
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
    words = [sys.executable, __file__, "--pair", name, "--K", str(arguments.K), "--threads", str(arguments.threads), "--faults"]
    found: dict[str, list[dict[str, float]]] = {"as it is": [], "thresholds raised": []}
    for _ in range(5):
        for which, runs in found.items():
            done = subprocess.run([*words, which], check=True, stdout=subprocess.PIPE, text=True)
            runs.append(json.loads(done.stdout))
    return {which: {k: statistics.median(run[k] for run in runs) for k in runs[0]} for which, runs in found.items()}


def main() -> None:
    """Measure, print tables and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", nargs="+", default=["mini", "caffenet"], choices=["mini", "caffenet"])
    parser.add_argument("--K", type=int, default=10, help="codes of a pass")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    parser.add_argument("--compile", action="store_true", help="runtime.compile=true too")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--faults", help=argparse.SUPPRESS)
    arguments = parser.parse_args()

    import torch

    from invset.allocator import keep_freed_memory

    torch.set_num_threads(arguments.threads)
    if arguments.faults:
        print(json.dumps(faults(arguments.pair[0], arguments.K, arguments.faults == "thresholds raised")))
        return
    results: dict[str, Any] = {}
    for name in arguments.pair:
        memory = allocator(name, arguments)
        keep_freed_memory()
        steps = {label: stepper(name, arguments.K, **chosen) for label, chosen in options(arguments.K, arguments.compile).items()}
        results[name] = {"options": side_by_side(steps, arguments.repeats), "allocator": memory}
        for label, r in results[name]["options"].items():
            low, high = r["quartiles"]
            print(f"{name:9} {label:20} {r['milliseconds']:7.0f} ms CPU   ratio {r['ratio']:.2f} [{low:.2f}, {high:.2f}]")
        for label, r in memory.items():
            kernel = f"{r['kernel_milliseconds']:.1f} in the kernel, {r['page_faults']:.0f} page faults"
            print(f"{name:9} allocator {label:18} {r['milliseconds']:7.0f} ms CPU, {kernel}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"K": arguments.K, "threads": arguments.threads, **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
